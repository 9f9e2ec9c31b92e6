//go:build linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
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
	origin, d := newOrigin(t, 4, 5<<20), newDesk(t)
	args := func(out string) []string {
		return []string{"create", origin.ref(), "-o", out, "--key", "key", "--as", "ana", "--quiet", "--created", "2026-01-02T03:04:05Z", "--volume-size", "8MiB"}
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
		if killed(t, d.command("bundle", args(out)...), took) {
			hits++
		}
		again := d.try("bundle", args(out)...)
		// Killed after its last byte, it is complete and not overwritten.
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
	// More than 64 MiB, so that blobs are sent while others are not yet proven.
	origin, far, d := newOrigin(t, 4, 17<<20), realtest.Registry(t), newDesk(t)
	d.create("usb", origin.ref())
	for name, kind := range map[string]struct {
		to    func(i int) string
		whole func(d *desk, i int)
	}{
		"registry": {
			func(i int) string { return fmt.Sprintf("registry://%s/far%d", far.Addr, i) },
			func(d *desk, i int) { wholeInRegistry(d, origin, far, fmt.Sprintf("far%d/big/image", i)) },
		},
		"layout": {
			func(i int) string { return fmt.Sprintf("oci:far%d", i) },
			func(d *desk, i int) { wholeInLayout(d, origin, fmt.Sprintf("far%d", i)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{t, d.dir}
			took := d.timed("unbundle", load("usb", kind.to(0))...)
			hits := 0
			for i := 1; i <= killings; i++ {
				if killed(t, d.command("unbundle", load("usb", kind.to(i))...), took) {
					hits++
				}
				if named(d, origin, kind.to(i)) {
					kind.whole(d, i)
				}
				d.run("unbundle", load("usb", kind.to(i))...)
				if !named(d, origin, kind.to(i)) {
					t.Errorf("after the second run the image is not at %s", kind.to(i))
				}
				kind.whole(d, i)
				must(t, os.RemoveAll(d.path(fmt.Sprintf("far%d", i))))
			}
			t.Logf("killed %d times out of %d within %s", hits, killings, took)
			if hits < killings/3 {
				t.Errorf("only %d of %d kills hit a running command", hits, killings)
			}
		})
	}
}

// named reports whether skopeo finds the image by its name, and checks that it
// is that image.
func named(d *desk, o *origin, to string) bool {
	d.t.Helper()
	source := "docker://" + strings.TrimPrefix(to, "registry://") + "/big/image:1"
	if dir, ok := strings.CutPrefix(to, "oci:"); ok {
		source = "oci:" + dir + ":" + o.host + "/big/image:1"
	}
	e := d.try("skopeo", "inspect", "--tls-verify=false", "--raw", source)
	if e.code == 0 && digestOf([]byte(e.stdout)) != o.digest() {
		d.t.Errorf("at %s is another image", to)
	}
	return e.code == 0
}

func wholeInRegistry(d *desk, o *origin, far *realtest.RegistryServer, repo string) {
	d.t.Helper()
	for digest, layer := range o.layers {
		reply, err := http.Head(far.URL + "/v2/" + repo + "/blobs/" + digest)
		must(d.t, err)
		reply.Body.Close()
		if reply.StatusCode != http.StatusOK || reply.ContentLength != layer.size {
			d.t.Errorf("%s: layer %s: %s, %d bytes", repo, digest, reply.Status, reply.ContentLength)
		}
	}
}

func wholeInLayout(d *desk, o *origin, dir string) {
	d.t.Helper()
	for digest := range o.layers {
		path := d.path(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
		if got := digestOfFile(d.t, path); got != digest {
			d.t.Errorf("layer %s in %s has the digest %s", digest, dir, got)
		}
	}
}

// TestKillLoadIntoEngine does the same with Docker Engines: the images that
// they list can be run, and a second run finishes the work.
func TestKillLoadIntoEngine(t *testing.T) {
	corpus, d := realtest.Registry(t).PushCorpus(), newDesk(t)
	images := []*realtest.Image{corpus.Single, corpus.Multi, corpus.Zstd, corpus.Schema2, corpus.Plain, corpus.TwinA, corpus.TwinB}
	d.create("usb", refs(images)...)
	for name, start := range map[string]func(testing.TB, ...realtest.EngineOption) *realtest.DockerDaemon{
		"classic": realtest.Docker, "containerd": realtest.DockerContainerd,
	} {
		t.Run(name, func(t *testing.T) {
			d, engine := &desk{t, d.dir}, start(t)
			engine.Clear()
			args := load("usb", "docker", "--docker-host", engine.Host)
			took := d.timed("unbundle", args...)
			hits := 0
			for range killings / 4 {
				engine.Clear()
				if killed(t, d.command("unbundle", args...), took) {
					hits++
				}
				for _, im := range images {
					if _, err := engine.Try("image", "inspect", im.Ref); err == nil {
						runs(t, engine, im)
						break // a container takes its time
					}
				}
				d.run("unbundle", args...)
			}
			for _, im := range images {
				runs(t, engine, im)
			}
			t.Logf("killed %d times out of %d within %s", hits, killings/4, took)
		})
	}
}

func runs(t *testing.T, engine *realtest.DockerDaemon, im *realtest.Image) {
	t.Helper()
	if out, err := engine.Try("run", "--rm", "--network=none", im.Ref); err != nil || out != realtest.Greeting {
		t.Errorf("running %s: %q, %v", im.Ref, out, err)
	}
}
