package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Args holds a command to the arguments of these names, in order; the last one
// may be repeated if its name ends with "…".
func Args(names ...string) cobra.PositionalArgs {
	repeats := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "…")
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			missing := strings.TrimSuffix(names[len(args)], "…")
			return Hint(Usagef("%s: %s is missing", cmd.CommandPath(), missing), "for example: %s", example(cmd))
		case len(args) > len(names) && !repeats && len(names) == 0:
			return Usagef("%s: %q is one argument too many; it takes none", cmd.CommandPath(), args[0])
		case len(args) > len(names) && !repeats:
			return Hint(Usagef("%s: %q is one argument too many; it takes %s", cmd.CommandPath(), args[len(names)], strings.Join(names, " ")),
				"for example: %s", example(cmd))
		}
		return nil
	}
}

// example returns a command's first example.
func example(cmd *cobra.Command) string {
	line, _, _ := strings.Cut(cmd.Example, "\n")
	if line = strings.TrimSpace(line); line == "" {
		return fmt.Sprintf("%s --help", cmd.CommandPath())
	}
	return line
}
