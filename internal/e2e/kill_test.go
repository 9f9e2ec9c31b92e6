//go:build linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"airlock/internal/realtest"
)

// killings is how often each command is killed, each time at another moment.
const killings = 24

// killed starts a command and kills it (SIGKILL) at a random moment of the
// time that it takes. It reports whether the command was still running.
func killed(t *testing.T, cmd *exec.Cmd, of time.Duration) bool {
	t.Helper()
	e := finish(t, cmd, func(cmd *exec.Cmd) error {
		must(t, cmd.Start())
		time.Sleep(rand.N(of))
		_ = cmd.Process.Kill() // it may have ended
		err := cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && !status.Signaled() {
			t.Errorf("%s ended by itself: %v", strings.Join(cmd.Args, " "), err)
		}
		return err
	})
	return e.code != 0
}

// timed runs a command and returns how long it took.
func (d *desk) timed(name string, args ...string) time.Duration {
	d.t.Helper()
	begun := time.Now()
	d.run(name, args...)
	return time.Since(begun)
}

// TestKillCreate kills create and runs it again: the same bundle comes of it
// as if nothing had happened.
func TestKillCreate(t *testing.T) {
	origin, d := newOrigin(t, 4, 9<<20), newDesk(t)
	args := func(out string) []string {
		return []string{"create", origin.ref(), "-o", out, "--key", "key", "--as", "ana", "--quiet", "--created", "2026-01-02T03:04:05Z", "--volume-size", "16MiB"}
	}
	took := d.timed("bundle", args("good")...)
	d.run("bundle", args("good.tar")...)
	want := digestOfFile(t, d.path("good.tar"))
	hits := 0
	for i := range killings {
		out := fmt.Sprintf("out%d", i)
		if i%3 == 0 {
			out += ".tar"
		}
		hit := killed(t, d.command("bundle", args(out)...), took)
		again := d.try("bundle", args(out)...)
		switch {
		case hit:
			hits++
		case again.code == 1: // it was complete before
			again.code = 0
		}
		// Killed after the last byte, it is complete and is not overwritten.
		if again.code != 0 && !strings.Contains(again.stderr, "holds a bundle already") && !strings.Contains(again.stderr, "file already exists") {
			t.Errorf("the second run: exit code %d: %s", again.code, again.stderr)
		}
		if strings.HasSuffix(out, ".tar") {
			if got := digestOfFile(t, d.path(out)); got != want {
				t.Errorf("%s differs from the tar of an undisturbed run", out)
			}
		} else if e := d.try("diff", "-r", "good", out); e.code != 0 {
			t.Errorf("%s differs from the bundle of an undisturbed run: %s", out, e.stdout)
		}
		must(t, os.RemoveAll(d.path(out)))
	}
	t.Logf("killed %d times out of %d within %s", hits, killings, took)
	if hits < killings/2 {
		t.Errorf("only %d of %d kills hit a running command", hits, killings)
	}
}

// TestKillLoad kills loads into a registry and into a layout: what a name
// stands for is whole at any time, and a second run finishes the work.
func TestKillLoad(t *testing.T) {
	origin, far, d := newOrigin(t, 4, 18<<20), realtest.Registry(t), newDesk(t)
	d.create("usb", origin.ref())
	for _, kind := range []string{"registry", "layout"} {
		t.Run(kind, func(t *testing.T) {
			d := &desk{t, d.dir}
			to := func(i int) string {
				if kind == "layout" {
					return fmt.Sprintf("oci:far%d", i)
				}
				return fmt.Sprintf("registry://%s/far%d", far.Addr, i)
			}
			took := d.timed("unbundle", load("usb", to(0))...)
			hits := 0
			for i := 1; i <= killings; i++ {
				// What is in a registry already would be mounted, and not sent.
				if killed(t, d.command("unbundle", load("usb", to(i))...), took) {
					hits++
				}
				complete(d, origin, to(i), false)
				d.run("unbundle", load("usb", to(i))...)
				complete(d, origin, to(i), true)
				if kind == "layout" {
					must(t, os.RemoveAll(d.path(fmt.Sprintf("far%d", i))))
				}
			}
			t.Logf("killed %d times out of %d within %s", hits, killings, took)
			if hits < killings/3 {
				t.Errorf("only %d of %d kills hit a running command", hits, killings)
			}
		})
	}
}

// complete checks with skopeo that the image is whole at a destination, if its
// name is there; and that it is there, if it must be.
func complete(d *desk, o *origin, to string, must bool) {
	d.t.Helper()
	source, host := "", strings.TrimPrefix(to, "registry://")
	if dir, ok := strings.CutPrefix(to, "oci:"); ok {
		source = "oci:" + dir + ":" + o.host + "/big/image:1"
	} else {
		source = "docker://" + host + "/big/image:1"
	}
	e := d.try("skopeo", "inspect", "--tls-verify=false", "--raw", source)
	if e.code != 0 {
		if must {
			d.t.Errorf("the image is not at %s: %s", to, e.stderr)
		}
		return
	}
	if digestOf([]byte(e.stdout)) != o.digest() {
		d.t.Errorf("at %s is another image", to)
	}
	witness := d.path("witness")
	if e := d.try("skopeo", "copy", "-q", "--src-tls-verify=false", source, "dir:"+witness); e.code != 0 {
		d.t.Errorf("the image at %s is not whole: %s", to, e.stderr)
	}
	if err := os.RemoveAll(filepath.Clean(witness)); err != nil {
		d.t.Error(err)
	}
}
