//go:build linux

package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"airlock/internal/cli"
)

// terminal returns both ends of a terminal.
func terminal(t *testing.T) (keys, screen *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("a terminal: %v", err)
	}
	t.Cleanup(func() { keys.Close() })
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keys, screen
}

// TestAskUntilSettled holds that a question that answers itself ends, and that
// what is typed then answers the next one.
func TestAskUntilSettled(t *testing.T) {
	keys, screen := terminal(t)
	a := NewAsker(&cli.Env{Stdin: screen, Stderr: io.Discard})
	a.every = time.Millisecond
	looked := 0
	line, err := a.Ask(t.Context(), "Mount it: ", func() bool { looked++; return looked == 3 })
	if line != "" || err != nil || looked != 3 {
		t.Errorf("settled: %q, %v, looked %d times", line, err, looked)
	}
	for _, want := range []string{"/media/usb", ""} {
		if _, err := io.WriteString(keys, want+"\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := a.Ask(t.Context(), "Mount it: ", func() bool { return false }); line != want || err != nil {
			t.Errorf("typed %q, and got %q, %v", want, line, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Ask(ctx, "Mount it: ", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
