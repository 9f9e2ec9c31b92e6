//go:build linux

package e2e

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soon is how quickly an interrupted command has to end. It takes a few
// hundredths of a second; a busy machine may take longer.
const soon = 5 * time.Second

// interrupted starts a command, sends it SIGINT when reached is closed, and
// checks that it ends soon, with 130 and a hint to run it again.
func interrupted(t *testing.T, cmd *exec.Cmd, reached <-chan struct{}) {
	t.Helper()
	var took time.Duration
	e := finish(t, cmd, func(cmd *exec.Cmd) error {
		must(t, cmd.Start())
		select {
		case <-reached:
		case <-time.After(30 * time.Second):
			t.Error("the command has not come to the point at which it is to be interrupted")
		}
		begun := time.Now()
		must(t, cmd.Process.Signal(syscall.SIGINT))
		watchdog := time.AfterFunc(2*soon, func() { cmd.Process.Kill() })
		defer watchdog.Stop()
		err := cmd.Wait()
		took = time.Since(begun)
		return err
	})
	t.Logf("%s ended after %s", cmd.Args[1], took.Round(time.Millisecond))
	if e.code != 130 || took > soon {
		t.Errorf("%s: exit code %d after %s, want 130", cmd.Args[1], e.code, took)
	}
	if !strings.Contains(e.stderr, ": error: interrupted\n") || !strings.Contains(e.stderr, ": hint: run the same command again") {
		t.Errorf("%s: printed %q", cmd.Args[1], e.stderr)
	}
}

// hold returns a function that closes reached and waits until the connection
// ends, and one that lets everybody pass.
func hold() (wait func(ended <-chan struct{}), reached <-chan struct{}, pass func()) {
	at, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	return func(ended <-chan struct{}) {
		once.Do(func() { close(at) })
		select {
		case <-open:
		case <-ended:
		}
	}, at, func() { close(open) }
}

// TestInterruptCreate interrupts create while a layer is on its way.
func TestInterruptCreate(t *testing.T) {
	for _, out := range []string{"usb", "usb.tar"} {
		t.Run(out, func(t *testing.T) {
			origin, d := newOrigin(t, 3, 9<<20), newDesk(t)
			wait, reached, pass := hold()
			layers := 0
			var mu sync.Mutex
			before := interceptor(func(_ http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				if strings.Contains(r.URL.Path, "/blobs/") {
					layers++
				}
				late := layers > 2
				mu.Unlock()
				if late {
					wait(r.Context().Done())
				}
				return false
			})
			origin.before.Store(&before)
			args := []string{"create", origin.ref(), "-o", out, "--key", "key", "--as", "ana", "--quiet"}
			interrupted(t, d.command("bundle", args...), reached)
			if e := d.try("unbundle", load(out, "oci:early")...); e.code == 0 {
				t.Errorf("what was interrupted can be loaded")
			}
			pass()
			d.run("bundle", args...)
			d.run("unbundle", load(out, "oci:far")...)
			left, err := os.ReadDir(d.dir)
			must(t, err)
			for _, file := range left {
				if strings.Contains(file.Name(), "partial") {
					t.Errorf("%s is left", file.Name())
				}
			}
		})
	}
}

// TestInterruptPackedAside interrupts create --pack small while what it has
// packed is on its way to somebody who does not read on.
func TestInterruptPackedAside(t *testing.T) {
	origin, d := newOrigin(t, 1, 9<<20), newDesk(t)
	must(t, syscall.Mkfifo(d.path("pipe"), 0o600))
	pipe, err := os.OpenFile(d.path("pipe"), os.O_RDWR, 0)
	must(t, err)
	defer pipe.Close()
	reached := make(chan struct{})
	go func() {
		defer close(reached)
		if _, err := pipe.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}()
	cmd := d.command("sh", "-c", "exec bundle create "+origin.ref()+" -o - --pack small --key key --as ana --quiet > pipe")
	interrupted(t, cmd, reached)
	if left, err := filepath.Glob(d.path("airlock-packing-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}

// TestKilledPackedAside kills create --pack small as TestInterruptPackedAside
// interrupts it. The next one removes what it has left, and nothing else.
func TestKilledPackedAside(t *testing.T) {
	origin, d := newOrigin(t, 1, 9<<20), newDesk(t)
	packing := func() []string {
		left, err := filepath.Glob(d.path("airlock-packing-*"))
		must(t, err)
		return left
	}
	start := func(pipe string) (folder string, kill func()) {
		must(t, syscall.Mkfifo(d.path(pipe), 0o600))
		reader, err := os.OpenFile(d.path(pipe), os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { reader.Close() })
		before := packing()
		cmd := d.command("sh", "-c", "exec bundle create "+origin.ref()+" -o - --pack small --key key --as ana --quiet > "+pipe)
		must(t, cmd.Start())
		kill = sync.OnceFunc(func() {
			must(t, cmd.Process.Kill())
			_ = cmd.Wait() // says that it was killed
		})
		t.Cleanup(kill)
		_, err = reader.Read(make([]byte, 1)) // all is packed
		must(t, err)
		after := packing()
		if len(after) != len(before)+1 {
			t.Fatalf("%q, then %q", before, after)
		}
		return after[slices.IndexFunc(after, func(path string) bool { return !slices.Contains(before, path) })], kill
	}
	alive, _ := start("alive")
	killed, kill := start("killed")
	kill()
	others := []string{d.path("airlock-packing-1x"), d.path("airlock-packing-12/34"), d.path("airlock-packed-56")}
	for _, path := range others {
		must(t, os.MkdirAll(path, 0o700))
	}
	must(t, os.WriteFile(d.path("airlock-packing-78"), nil, 0o600))
	must(t, os.Mkdir(d.path("elsewhere"), 0o700))
	must(t, os.Symlink(d.path("elsewhere"), d.path("airlock-packing-90")))
	note := "note: " + filepath.Base(killed) + " is removed: a create that was killed has left it"
	e := d.try("sh", "-c", "bundle create "+origin.ref()+" -o - --pack small --key key --as ana > out.tar")
	if e.code != 0 || strings.Count(e.stderr, "is removed: a create") != 1 || !strings.Contains(e.stderr, note) {
		t.Errorf("exit code %d, %q; want %q", e.code, e.stderr, note)
	}
	if _, err := os.Lstat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
	for _, path := range append(others, alive, d.path("airlock-packing-78"), d.path("airlock-packing-90"), d.path("elsewhere")) {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestInterruptLoad interrupts load while a layer is on its way.
func TestInterruptLoad(t *testing.T) {
	origin, sink, d := newOrigin(t, 3, 9<<20), newSink(t), newDesk(t)
	d.create("usb", origin.ref())
	d.run("tar", "-C", "usb", "-cf", "usb.tar", ".")
	for _, bundle := range []string{"usb", "usb.tar"} {
		wait, reached, pass := hold()
		ended := make(chan struct{})
		sink.empty(func(body io.Reader) io.Reader {
			return readerFunc(func(p []byte) (int, error) {
				n, err := body.Read(p)
				wait(ended)
				return n, err
			})
		})
		args := load(bundle, "registry://"+sink.host+"/"+strings.ReplaceAll(bundle, ".", "-"))
		interrupted(t, d.command("unbundle", args...), reached)
		close(ended)
		if sink.arrived("1", origin.digest()) {
			t.Error("the name was set though the load was interrupted")
		}
		pass()
		d.run("unbundle", args...)
		if !sink.arrived("1", origin.digest()) {
			t.Error("the image has not arrived after the second run")
		}
	}
}

// TestInterruptStream interrupts commands that wait for their standard input.
func TestInterruptStream(t *testing.T) {
	d := newDesk(t)
	for _, args := range [][]string{
		load("-", "oci:far"),
		{"verify", "-", "--trust", "allowed_signers"},
	} {
		cmd := d.command("unbundle", args...)
		in, err := cmd.StdinPipe()
		must(t, err)
		defer in.Close()
		reached := make(chan struct{})
		time.AfterFunc(500*time.Millisecond, func() { close(reached) })
		interrupted(t, cmd, reached)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
