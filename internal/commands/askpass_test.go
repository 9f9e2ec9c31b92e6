//go:build linux

package commands

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"airlock/internal/cli"
)

// program writes a shell script that can be run.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ask pass")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAskpass holds who is asked for a passphrase: what ssh(1) says.
func TestAskpass(t *testing.T) {
	keys, screen := terminal(t)
	ask := program(t, `[ "$1" = "Passphrase: " ] && [ $# = 1 ] && printf 'asked\r\nmore\n'`)
	for _, c := range []struct {
		program, require, display, wayland string
		terminal                           bool
		want                               string // "": nobody is asked
	}{
		{ask, "", ":0", "", false, "asked"},
		{ask, "", "", "wayland-0", false, "asked"},
		{ask, "", "", "", false, ""},
		{ask, "", ":0", "", true, "typed"},
		{ask, "prefer", ":0", "", true, "asked"},
		{ask, "prefer", "", "", true, "typed"},
		{ask, "prefer", "", "", false, ""},
		{ask, "force", "", "", true, "asked"},
		{ask, "force", "", "", false, "asked"},
		{ask, "FORCE", "", "", false, "asked"},
		{ask, "never", ":0", "", false, ""},
		{ask, "never", ":0", "", true, "typed"},
		{"", "force", ":0", "", true, "typed"},
		{"", "", ":0", "", false, ""},
	} {
		t.Setenv("SSH_ASKPASS", c.program)
		t.Setenv("SSH_ASKPASS_REQUIRE", c.require)
		t.Setenv("DISPLAY", c.display)
		t.Setenv("WAYLAND_DISPLAY", c.wayland)
		env := &cli.Env{Stdin: strings.NewReader(""), Stderr: io.Discard}
		if c.terminal {
			env.Stdin = screen
		}
		if c.want == "typed" {
			if _, err := io.WriteString(keys, "typed\n"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // else the terminal waits for ever
		got, err := AskSecret(ctx, env, "Passphrase: ")
		cancel()
		if string(got) != c.want || errors.Is(err, ErrNoPassphrase) != (c.want == "") || err != nil && c.want != "" {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

// TestAskpassRefuses holds that a program that fails gives no passphrase.
func TestAskpassRefuses(t *testing.T) {
	t.Setenv("SSH_ASKPASS_REQUIRE", "force")
	for what, path := range map[string]string{
		"exit status 1": program(t, `echo secret; exit 1`),
		"more than":     program(t, `head -c 5000 /dev/zero`),
		"no such file":  "/nowhere/askpass",
	} {
		t.Setenv("SSH_ASKPASS", path)
		got, err := AskSecret(t.Context(), &cli.Env{Stderr: io.Discard}, "Passphrase: ")
		if got != nil || err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	t.Setenv("SSH_ASKPASS", program(t, `sleep 100`))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := AskSecret(ctx, &cli.Env{Stderr: io.Discard}, "Passphrase: "); got != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %q, %v", got, err)
	}
}
