//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"airlock/internal/bulk"
	"airlock/internal/realtest"
)

// journeys are the commands that write a bundle to a folder.
var journeys = map[string]struct {
	program string
	args    []string // before the folder
	more    []string // behind it
}{
	"create": {"bundle", []string{"create", "IMAGE", "--key", "key", "--as", "ana", "--quiet", "--created", "2026-01-02T03:04:05Z",
		"--volume-size", "2MiB", "-o"}, nil},
	"send":    {"bundle", []string{"send", "good", "--quiet"}, nil},
	"receive": {"unbundle", []string{"receive", "good"}, []string{"--trust", "allowed_signers", "--quiet"}},
}

// TestInjectFaults has each write, fsync and rename of these commands fail, or
// the command killed in its stead: no bundle is there then, or a whole one,
// and the same command completes it.
func TestInjectFaults(t *testing.T) {
	strace := realtest.Tool(t, "strace")
	d := newDesk(t)
	digest, err := bulk.Write(d.path("layout"), 1, 3<<20, 2<<20+77)
	must(t, err)
	image := "oci:layout:" + bulk.Name + "@" + digest
	for _, name := range []string{"create", "send", "receive"} {
		j := journeys[name]
		args := func(to string) []string {
			all := slices.Concat(j.args, []string{to}, j.more)
			if at := slices.Index(all, "IMAGE"); at >= 0 {
				all[at] = image
			}
			return all
		}
		if name == "create" {
			d.run(j.program, args("good")...)
		}
		t.Run(name, func(t *testing.T) {
			in := &injection{desk: &desk{t, d.dir}, strace: strace, program: j.program, args: args, hits: new(atomic.Int64)}
			calls := in.calls()
			if len(calls) < 10 {
				t.Fatalf("only these calls were seen: %v", calls)
			}
			faults := in.faults(calls)
			t.Logf("%d faults in %v", len(faults), calls)
			t.Cleanup(func() {
				t.Logf("%d of them ended the command", in.hits.Load())
				if int(in.hits.Load()) < len(faults)/2 {
					t.Errorf("only %d of %d faults were met", in.hits.Load(), len(faults))
				}
			})
			for i, f := range faults {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					one := &injection{&desk{t, d.dir}, in.strace, in.program, in.args, in.hits}
					one.suffer(fmt.Sprintf("%s%d", name, i), f)
				})
			}
		})
	}
}

type injection struct {
	*desk
	strace, program string
	args            func(to string) []string
	hits            *atomic.Int64 // runs that a fault has ended
}

// run runs the command, with a home folder of its own, under strace if there
// are options for that.
func (in *injection) run(to string, options ...string) ended {
	in.t.Helper()
	words := append([]string{in.program}, in.args(to)...)
	if len(options) > 0 {
		words = slices.Concat([]string{in.strace, "-f", "-qq"}, options, words)
	}
	cmd := in.command(words[0], words[1:]...)
	cmd.Env = append(cmd.Env, "HOME="+in.path("home-"+to))
	return finish(in.t, cmd, (*exec.Cmd).Run)
}

var tracedCall = regexp.MustCompile(`^\d+ +(\w+)\(\d+<([^>]+)>`)

// calls returns how often each system call touches each path of the folder
// written to, "" being the folder itself, as "fsync NAME".
func (in *injection) calls() map[string]int {
	in.t.Helper()
	to := "traced-" + in.args("")[0]
	log := in.path(to + ".log")
	e := in.run(to, "-y", "-o", log, "-e", "trace=write,pwrite64,fsync,fdatasync,syncfs,renameat,ftruncate")
	if e.code != 0 {
		in.t.Fatalf("under strace: exit code %d: %s", e.code, e.stderr)
	}
	text, err := os.ReadFile(log)
	must(in.t, err)
	calls := map[string]int{}
	for line := range strings.Lines(string(text)) {
		m := tracedCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if name, ok := strings.CutPrefix(m[2]+"/", in.path(to)+"/"); ok {
			calls[m[1]+" "+strings.TrimSuffix(name, "/")]++
		}
	}
	return calls
}

// fault is one call that fails.
type fault struct{ name, call, path, inject string }

// faults returns a fault for the first and the last of the calls that touch a
// path, of each kind.
func (in *injection) faults(calls map[string]int) []fault {
	var all []fault
	for call, n := range calls {
		what, path, _ := strings.Cut(call, " ")
		kinds := []string{"error=EIO", "signal=KILL"}
		if strings.Contains(what, "write") || what == "renameat" {
			kinds = append(kinds, "error=ENOSPC")
		}
		if testing.Short() {
			kinds = kinds[1:2]
		}
		whens := []int{1, n}
		if what == "renameat" { // each gives another file its name
			whens = nil
			for i := range n {
				whens = append(whens, i+1)
			}
		}
		for _, when := range slices.Compact(whens) {
			for _, kind := range kinds {
				all = append(all, fault{
					strings.ReplaceAll(fmt.Sprintf("%s_%s_%d_%s", what, path, when, kind), "=", "-"),
					what, path, fmt.Sprintf("%s:%s:when=%d", what, kind, when),
				})
			}
		}
	}
	slices.SortFunc(all, func(a, b fault) int { return strings.Compare(a.name, b.name) })
	return all
}

// suffer runs the command with a fault, judges what it leaves, and runs it again.
func (in *injection) suffer(to string, f fault) {
	t := in.t
	e := in.run(to, "-o", "/dev/null", "--seccomp-bpf", "-e", "trace="+f.call, "-P", filepath.Join(in.path(to), f.path), "-e", "inject="+f.inject)
	if e.code != 0 {
		in.hits.Add(1)
	}
	after := in.verify(to)
	switch {
	case e.code == 0 && after.code != 0:
		t.Errorf("it ended well, and what it left does not verify: %s%s", e.stderr, after.stderr)
	case after.code != 0 && after.code != 4 && !strings.Contains(after.stderr, "no such file"):
		t.Errorf("what it left is taken for a bundle: exit code %d: %s", after.code, after.stderr)
	case e.code > 1:
		t.Errorf("exit code %d: %s", e.code, e.stderr)
	}
	if again := in.run(to); again.code != 0 && !(after.code == 0 && strings.Contains(again.stderr, "holds a bundle already")) {
		t.Errorf("the same command again: exit code %d: %s", again.code, again.stderr)
	}
	must(t, os.RemoveAll(in.path(to+"/.journal")))
	if e := in.try("diff", "-r", "good", to); e.code != 0 {
		t.Errorf("it is another bundle than that of an undisturbed run: %s", e.stdout)
	}
	must(t, os.RemoveAll(in.path(to)))
	must(t, os.RemoveAll(in.path("home-"+to)))
}

func (in *injection) verify(to string) ended {
	return in.try("unbundle", "verify", to, "--trust", "allowed_signers", "--quiet")
}
