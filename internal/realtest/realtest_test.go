//go:build linux

package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// watched starts a server and, when the test has ended, looks for what it left.
func watched[S any](t *testing.T, start func(testing.TB) S) S {
	t.Helper()
	late := &lateTB{TB: t}
	var pids []int
	var dirs []string
	t.Cleanup(func() {
		if len(dirs) == 0 {
			t.Fatal("no folder was seen")
		}
		for _, dir := range dirs {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("folder %s is left", dir)
			}
			if left := mountsUnder(dir); len(left) > 0 {
				t.Errorf("mounts are left: %q", left)
			}
			if left := family(nil, dir); len(left) > 0 {
				t.Errorf("processes are left: %+v", left)
			}
		}
		for _, pid := range pids {
			if r, ok := processByID(pid); ok {
				t.Errorf("process is left: %+v", r)
			}
		}
	})
	t.Cleanup(late.cleanup)
	oldDirs, oldPids := folders(), children()
	s := start(late)
	dirs = slices.DeleteFunc(folders(), func(d string) bool { return slices.Contains(oldDirs, d) })
	pids = slices.DeleteFunc(children(), func(p int) bool { return slices.Contains(oldPids, p) })
	if len(pids) == 0 {
		t.Error("no process was seen")
	}
	return s
}

// lateTB keeps clean-ups until the test says.
type lateTB struct {
	testing.TB
	calls []func()
}

func (l *lateTB) Cleanup(call func()) { l.calls = append(l.calls, call) }

func (l *lateTB) cleanup() {
	for _, call := range slices.Backward(l.calls) {
		call()
	}
}

func children() []int {
	var pids []int
	for _, r := range family([]int{os.Getpid()}, "") {
		pids = append(pids, r.pid)
	}
	return pids
}

// folders lists the folders that this process holds.
func folders() []string {
	links, _ := os.ReadDir("/proc/self/fd")
	var dirs []string
	for _, link := range links {
		name, err := os.Readlink("/proc/self/fd/" + link.Name())
		if dir, ok := strings.CutSuffix(name, "/"+lockName); err == nil && ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func TestStrayIsKilled(t *testing.T) {
	p, err := newPlace("/tmp")
	if err != nil {
		t.Fatal(err)
	}
	// Ignores the request to end, and starts a child in a session of its own.
	script := "trap '' TERM; setsid sleep 600 & echo $! >" + p.path("pid") + "; exec sleep 0.3"
	g, err := p.start("stubborn", systemPath(), Tool(t, "sh"), "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.ready(func() error { _, err := os.Stat(p.path("pid")); return err }); err != nil {
		t.Fatal(err)
	}
	started := family([]int{g.pid}, p.dir)
	if len(started) == 0 {
		t.Fatal("the child was not found")
	}
	if err := p.end(); err != nil {
		t.Errorf("ending: %v", err)
	}
	for _, r := range started {
		if r.alive() {
			t.Errorf("process is left: %+v", r)
		}
	}
}

func TestSweep(t *testing.T) {
	p, err := newPlace("/tmp")
	if err != nil {
		t.Fatal(err)
	}
	dir := p.dir
	defer os.RemoveAll(dir)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(p.path(lockName), old, old); err != nil {
		t.Fatal(err)
	}
	sweep("/tmp")
	if _, err := os.Stat(dir); err != nil {
		t.Fatal("a folder in use was removed")
	}
	if err := p.lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.path("some", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	sweep("/tmp")
	if _, err := os.Stat(dir); err == nil {
		t.Error("an abandoned folder was kept")
	}
}

func TestProgramThatFails(t *testing.T) {
	p := openPlace(t)
	g, err := p.start("failing", systemPath(), Tool(t, "sh"), "-c", "echo no such luck >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = g.ready(func() error { _, err := os.Stat("/no/file"); return err })
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v, want the program's last words in it", err)
	}
}

func TestToolPrefersBuilt(t *testing.T) {
	if got := Tool(t, "crane"); got != builtFolder()+"/crane" {
		t.Errorf("crane is %s", got)
	}
	t.Setenv("AIRLOCK_TOOLS", t.TempDir())
	if got := Tool(t, "sh"); !strings.HasSuffix(got, "/sh") {
		t.Errorf("sh is %s", got)
	}
	if _, err := findBuilt("sh"); err == nil {
		t.Error("a program was found in an empty folder")
	}
}

// child runs the calling test in another process, where inChild is true.
func child(t *testing.T, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "REALTEST_CHILD=1"), env...)
	out, _ := cmd.CombinedOutput() // the test judges by what was printed
	return string(out)
}

func inChild() bool { return os.Getenv("REALTEST_CHILD") != "" }

func TestMissing(t *testing.T) {
	if inChild() {
		Tool(t, "no-such-program")
		t.Fatal("not reached")
	}
	for _, test := range []struct{ require, want string }{{"", "SKIP"}, {"all", "FAIL"}} {
		out := child(t, "AIRLOCK_REQUIRE="+test.require)
		if !strings.Contains(out, "--- "+test.want+": TestMissing") || !strings.Contains(out, "no-such-program") {
			t.Errorf("AIRLOCK_REQUIRE=%q: want %s with a reason, got\n%s", test.require, test.want, out)
		}
	}
}

// TestBinaryThatDies has a test binary killed that has a server running.
func TestBinaryThatDies(t *testing.T) {
	if inChild() {
		r := Registry(t)
		fmt.Printf("\nserver %d %s\n", children()[0], filepath.Dir(r.Root))
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	out := child(t)
	var pid int
	var dir string
	_, line, _ := strings.Cut(out, "\nserver ")
	if _, err := fmt.Sscanf(line, "%d %s", &pid, &dir); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	defer os.RemoveAll(dir)
	for range 200 {
		if r, ok := processByID(pid); !ok || !r.names(dir) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("server %d has outlived its test", pid)
}
