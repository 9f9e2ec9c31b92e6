//go:build linux

package realtest

import (
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func engines() map[string]func(testing.TB, ...EngineOption) *DockerDaemon {
	return map[string]func(testing.TB, ...EngineOption) *DockerDaemon{"classic": Docker, "containerd": DockerContainerd}
}

func TestDockerRunsCorpus(t *testing.T) {
	r := Registry(t)
	c := PushCorpus(t, r.Addr)
	for name, start := range engines() {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			d.Clear()
			for _, im := range c.Runnable() {
				if name == "classic" && im == c.Zstd {
					continue // 20.10 cannot decompress zstd layers
				}
				if got := d.Run("run", "--rm", "--network=none", im.Ref); got != Greeting {
					t.Errorf("%s printed %q", im.Ref, got)
				}
				want := im.ConfigDigest
				if name == "containerd" {
					want = im.Digest
				}
				if got := d.Run("image", "inspect", "-f", "{{.Id}}", im.Ref); got != want {
					t.Errorf("%s has ID %s, want %s", im.Ref, got, want)
				}
			}
			d.Clear()
			if _, err := d.Try("image", "inspect", c.Single.Ref); err == nil || !strings.Contains(err.Error(), "No such image") {
				t.Errorf("after Clear: %v", err)
			}
		})
	}
}

func TestEngineIsSharedAndOurs(t *testing.T) {
	a, b := Docker(t), Docker(t)
	if own := Docker(t, Alone); own.Host == a.Host {
		t.Error("an engine asked for alone is shared")
	}
	if a.Host != b.Host {
		t.Errorf("two engines under Main: %s and %s", a.Host, b.Host)
	}
	if got := a.Run("info", "-f", "{{.DockerRootDir}}"); !strings.HasPrefix(got, "/tmp/al-") {
		t.Errorf("the engine keeps its data in %s", got)
	}
	reply, err := a.Client().Get("http://docker/version")
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("asking for the version: %v", err)
	}
	reply.Body.Close()
	d := DockerContainerd(t)
	if got := d.Run("info", "-f", "{{.DriverStatus}}"); !strings.Contains(got, "io.containerd.snapshotter.v1") {
		t.Errorf("the store is %s", got)
	}
	output(t, exec.Command(Tool(t, "ctr"), "--address", d.Containerd, "--namespace", d.Namespace, "images", "ls"))
}

// TestEngineLeavesNothing ends engines, some of which were killed before, that
// have a container running.
func TestEngineLeavesNothing(t *testing.T) {
	r := Registry(t)
	c := PushCorpus(t, r.Addr)
	for name, start := range engines() {
		for _, how := range []string{"ended", "killed"} {
			t.Run(name+" "+how, func(t *testing.T) {
				var container int
				var sockets []string
				t.Cleanup(func() {
					if left, ok := processByID(container); ok {
						t.Errorf("container is left: %+v", left)
					}
					for _, name := range sockets {
						if _, err := os.Stat(name); err == nil {
							t.Errorf("socket %s of a shim is left", name)
						}
					}
				})
				d := watched(t, func(t testing.TB) *DockerDaemon { return start(t, Alone) })
				id := d.Run("run", "-d", "-i", "--network=none", c.Single.Ref, "/hello", "wait")
				container = number(t, d.Run("inspect", "-f", "{{.State.Pid}}", id))
				if left, ok := processByID(container); !ok || !strings.Contains(left.command, "/hello wait") {
					t.Fatalf("process of the container: %+v, %t", left, ok)
				}
				sockets = (&engine{place: &place{dir: d.dir}}).shimSockets()
				if len(sockets) == 0 {
					t.Error("a running container has no shim's socket")
				}
				if len(mountsUnder(d.dir)) == 0 {
					t.Error("a running container has no mount")
				}
				if how == "killed" {
					kill(t, d.dir)
				}
			})
		}
	}
}

// kill kills the engine in dir, as if memory had run out.
func kill(t *testing.T, dir string) {
	text, err := os.ReadFile(dir + "/dockerd.pid")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(number(t, string(text)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 2 {
		t.Fatalf("process id %q: %v", text, err)
	}
	return n
}
