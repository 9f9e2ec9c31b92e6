package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"airlock/internal/cli"
)

// askpass returns the program that is to be asked for a passphrase, by the rules
// of ssh(1), ENVIRONMENT: SSH_ASKPASS, where there is no terminal and a display
// to ask on; SSH_ASKPASS_REQUIRE takes it before the terminal (prefer), without a
// display as well (force) or not at all (never). It returns "" for none.
func askpass(terminal bool) string {
	display := os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
	switch strings.ToLower(os.Getenv("SSH_ASKPASS_REQUIRE")) {
	case "never":
		return ""
	case "force":
		terminal, display = false, true
	case "prefer":
		terminal = false
	}
	if terminal || !display {
		return ""
	}
	return os.Getenv("SSH_ASKPASS")
}

// askProgram asks a program as ssh does: the prompt is its argument, and the first
// line that it prints the answer. One that fails has refused.
func askProgram(ctx context.Context, env *cli.Env, program, prompt string) ([]byte, error) {
	printed := secret{make([]byte, 0, maxLine)}
	cmd := exec.CommandContext(ctx, program, prompt)
	cmd.Stdout, cmd.Stderr = &printed, env.Stderr
	cmd.WaitDelay = time.Second // what it started may go on and hold its output
	if err := cmd.Run(); err != nil {
		clear(printed.text)
		return nil, fmt.Errorf("asking %q, which SSH_ASKPASS names: %w", program, errors.Join(ctx.Err(), err))
	}
	line, rest, _ := bytes.Cut(printed.text, []byte("\n"))
	clear(rest)
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// secret keeps what is written to it in one place, as far as that has room.
type secret struct{ text []byte }

func (s *secret) Write(p []byte) (int, error) {
	if len(p) > cap(s.text)-len(s.text) {
		return 0, fmt.Errorf("an answer of more than %d bytes", cap(s.text))
	}
	s.text = append(s.text, p...)
	return len(p), nil
}
