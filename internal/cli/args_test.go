package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
)

func TestArgs(t *testing.T) {
	root := func() *cobra.Command {
		top := &cobra.Command{Use: "tool"}
		run := func(*cobra.Command, []string) error { return nil }
		top.AddCommand(
			&cobra.Command{Use: "none", Args: cli.Args(), RunE: run},
			&cobra.Command{Use: "copy", Args: cli.Args("FROM", "TO"), Example: "  tool copy a b\n  tool copy c d", RunE: run},
			&cobra.Command{Use: "list", Args: cli.Args("PLACE…"), RunE: run})
		return top
	}
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"none", "", 0},
		{"none x", `tool: error: tool none: "x" is one argument too many; it takes none`, 2},
		{"copy a b", "", 0},
		{"copy", "tool: error: tool copy: FROM is missing\ntool: hint: for example: tool copy a b\n", 2},
		{"copy a", "tool: error: tool copy: TO is missing\n", 2},
		{"copy a b c", `tool copy: "c" is one argument too many; it takes FROM TO`, 2},
		{"copy a b --x", "tool: error: unknown flag: --x\ntool: hint: tool copy --help lists its flags", 2},
		{"list", "tool list: PLACE is missing\ntool: hint: for example: tool list --help", 2},
		{"list a b c", "", 0},
		{"frob", "tool: hint: tool --help lists commands and flags", 2},
	} {
		var stderr bytes.Buffer
		env := &cli.Env{Args: strings.Fields(c.args), Stdin: strings.NewReader(""), Stdout: &stderr, Stderr: &stderr}
		if code := cli.Run(t.Context(), env, cli.Classes{}, root()); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: %d, %s", c.args, code, stderr.String())
		}
	}
}
