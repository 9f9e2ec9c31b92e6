// Package cli is what both commands share on the side of people: the one place
// that ends the process, error and hint lines, exit codes, progress.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// Exit codes of both commands.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2   // wrong flags or arguments
	ExitRejected    = 3   // not authentic, damaged, or against policy
	ExitIncomplete  = 4   // run again to resume
	ExitInterrupted = 130 // by a signal
)

// ExitCodes is the table for help texts.
const ExitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 rejected (not authentic, damaged,
against policy), 4 incomplete (run again to resume), 130 interrupted.`

// Classes says which errors belong to which exit code.
type Classes struct {
	Rejected   []error
	Incomplete []error
}

// Env is what a command has of the world.
type Env struct {
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer // results
	Stderr io.Writer // progress and messages
	Now    func() time.Time
}

// Main runs a command as a process and ends it.
func Main(classes Classes, root func(*Env) *cobra.Command) {
	os.Exit(run(classes, root))
}

// memoryLimit is how many bytes the garbage collector lets the process grow
// to, well under the 256 MiB that are promised. What is in use at once is
// bounded where it is used.
const memoryLimit = 192 << 20

func run(classes Classes, root func(*Env) *cobra.Command) int {
	debug.SetMemoryLimit(memoryLimit)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends the process at once
	}()
	env := &Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}
	return Run(ctx, env, classes, root(env))
}

// Run runs a command and returns its exit code. It prints an error as
// "name: error: …" and, where something can be done about it, "name: hint: …".
func Run(ctx context.Context, env *Env, classes Classes, root *cobra.Command) int {
	started := false
	prepare(root, env, &started)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	code := classes.code(ctx, err, started)
	fmt.Fprintf(env.Stderr, "%s: error: %s\n", root.Name(), indent(message(ctx, err, code)))
	for _, hint := range hints(err, code, cmd) {
		fmt.Fprintf(env.Stderr, "%s: hint: %s\n", root.Name(), indent(hint))
	}
	return code
}

func prepare(root *cobra.Command, env *Env, started *bool) {
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	if build, ok := debug.ReadBuildInfo(); ok {
		root.Version = version(build)
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateFlagGroups(); err != nil {
			return err
		}
		*started = true
		return nil
	}
}

func (c Classes) code(ctx context.Context, err error, started bool) int {
	is := func(class error) bool { return errors.Is(err, class) }
	switch {
	case !started || is(errUsage):
		return ExitUsage
	case ctx.Err() != nil:
		return ExitInterrupted
	case contains(c.Rejected, is):
		return ExitRejected
	case contains(c.Incomplete, is):
		return ExitIncomplete
	}
	return ExitFailed
}

func contains(classes []error, is func(error) bool) bool {
	for _, class := range classes {
		if is(class) {
			return true
		}
	}
	return false
}

func message(ctx context.Context, err error, code int) string {
	if code == ExitInterrupted {
		return "interrupted"
	}
	return Printable(err.Error())
}

// Printable replaces what a hostile text could use to show something else than
// it says: control characters, which rewrite the terminal, and characters that
// turn the direction of writing, or cannot be seen; line feeds stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Quote returns s as a word of a POSIX shell.
func Quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// indent sets further lines of a message apart.
func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n  ") }

var errUsage = errors.New("usage")

type usageError struct{ text string }

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == errUsage }

// Usagef returns an error of wrong usage.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint adds to an error what the user can do about it: a sentence, best with a
// command to paste. A nil error stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// RejectedHint gives both readings of a bundle that is not what was signed.
const RejectedHint = "either the copy was damaged on its way (copy it again from where it was made, and compare), " +
	"or somebody changed it (keep it, and ask who signed it before you do anything else)"

func hints(err error, code int, cmd *cobra.Command) []string {
	var all []string
	for h := (*hinted)(nil); errors.As(err, &h); err = h.error {
		all = append(all, h.hint)
	}
	if len(all) > 0 {
		return all
	}
	switch code {
	case ExitUsage:
		if cmd.HasParent() {
			return []string{cmd.CommandPath() + " --help lists its flags"}
		}
		return []string{cmd.CommandPath() + " --help lists commands and flags"}
	case ExitRejected:
		return []string{RejectedHint}
	case ExitIncomplete, ExitInterrupted:
		return []string{"run the same command again to finish; nothing half-made counts until then"}
	}
	return nil
}
