//go:build linux

package realtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
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
	s := start(late)
	children := family([]int{os.Getpid()}, "/no/folder")
	for _, r := range children {
		pids = append(pids, r.pid)
	}
	dirs = folders()
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

// TestMissing runs itself in another process, since a test that fails as it
// should cannot be told from one that fails.
func TestMissing(t *testing.T) {
	if os.Getenv("REALTEST_CHILD") != "" {
		Tool(t, "no-such-program")
		t.Fatal("not reached")
	}
	for _, test := range []struct{ require, want string }{{"", "SKIP"}, {"all", "FAIL"}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMissing$", "-test.v")
		cmd.Env = append(os.Environ(), "REALTEST_CHILD=1", "AIRLOCK_REQUIRE="+test.require)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), "--- "+test.want+": TestMissing") || !strings.Contains(string(out), "no-such-program") {
			t.Errorf("AIRLOCK_REQUIRE=%q: want %s with a reason, got\n%s", test.require, test.want, out)
		}
	}
}
