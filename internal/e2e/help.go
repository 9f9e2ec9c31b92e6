//go:build linux

package e2e

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
)

// Help checks what a program's commands say of themselves: each has a short
// and a long text and examples, the examples name commands and flags that
// there are, --help shows them, and a shell can complete them.
func Help(t *testing.T, root func(*cli.Env) *cobra.Command) {
	t.Helper()
	commands := visible(root(&cli.Env{Stderr: io.Discard}))
	if len(commands) < 4 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, cmd := range commands {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s has no short text, long text or example", path)
		}
		checkExamples(t, cmd)
		help := output(t, root, append(strings.Fields(path)[1:], "--help")...)
		if !strings.Contains(help, "Examples:") || !strings.Contains(help, "Usage:") {
			t.Errorf("%s --help prints %q", path, help)
		}
		for line := range strings.Lines(help) {
			if strings.ContainsRune(line, '\t') || strings.HasSuffix(strings.TrimRight(line, "\n"), " ") {
				t.Errorf("%s --help has a tab or a blank at the end of %q", path, line)
			}
		}
	}
	checkCompletion(t, root, commands)
}

// visible returns the command and all below it that help lists.
func visible(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, visible(sub)...)
		}
	}
	return all
}

// checkExamples checks that each line calls the program with a command that
// there is, and with flags that the command has.
func checkExamples(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	program := cmd.Root().Name()
	for line := range strings.Lines(cmd.Example) {
		line, _, _ = strings.Cut(line, " | ")
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != program || !strings.HasPrefix(line, "  "+program) {
			t.Errorf("%s: the example %q does not begin with %q", cmd.CommandPath(), line, "  "+program)
			continue
		}
		used, _, err := cmd.Root().Find(words[1:])
		if err != nil || used == cmd.Root() || cmd != cmd.Root() && used != cmd {
			t.Errorf("%s: the example %q is of another command, %v", cmd.CommandPath(), line, err)
			continue
		}
		for _, word := range words {
			name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			if strings.HasPrefix(word, "--") && used.Flags().Lookup(name) == nil {
				t.Errorf("%s: the example %q has the flag %s, which there is not", cmd.CommandPath(), line, word)
			}
		}
	}
}

func checkCompletion(t *testing.T, root func(*cli.Env) *cobra.Command, commands []*cobra.Command) {
	t.Helper()
	offered := output(t, root, "__complete", "")
	for _, cmd := range commands[1:] {
		if !strings.Contains(offered, cmd.Name()+"\t"+cmd.Short+"\n") {
			t.Errorf("%s is not offered as a completion", cmd.CommandPath())
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := output(t, root, "completion", shell)
		if len(script) < 1000 {
			t.Errorf("the completion for %s is %q", shell, script)
		}
		if path, err := exec.LookPath(shell); err == nil {
			check := exec.Command(path, "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s does not take its completion: %v: %s", shell, err, out)
			}
		}
	}
}

func output(t *testing.T, root func(*cli.Env) *cobra.Command, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now}
	if code := cli.Run(t.Context(), env, cli.Classes{}, root(env)); code != 0 {
		t.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, stderr.String())
	}
	return stdout.String()
}
