//go:build linux

package realtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A place is a temporary folder and the programs that run on it.
type place struct {
	dir      string
	lock     *os.File // held for as long as the folder is in use
	programs []*program
	// elsewhere, if not nil, lists files outside the folder that the programs
	// made and may leave if they are killed.
	elsewhere func() []string
}

const (
	lockName = ".in-use"
	// A younger folder may belong to somebody who is about to lock it, or to a
	// daemon that was just told to end.
	abandonedAfter = 2 * time.Minute
)

// newPlace makes a folder under parent with a name short enough for the paths
// of unix sockets (108 bytes), and removes the folders that died test binaries
// left there.
func newPlace(parent string) (*place, error) {
	sweep(parent)
	dir, err := os.MkdirTemp(parent, "al-")
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &place{dir: dir, lock: lock}, nil
}

// openPlace returns a place under /tmp that ends with the test.
func openPlace(t testing.TB) *place {
	t.Helper()
	p, err := newPlace("/tmp")
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	p.endWith(t)
	return p
}

// endWith has the place end with the test.
func (p *place) endWith(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.logs())
		}
		if err := p.end(); err != nil {
			t.Errorf("ending servers: %v", err)
		}
	})
}

func (p *place) path(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

// write makes a file that only the user can read.
func (p *place) write(name, text string) (string, error) {
	path := p.path(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// logs returns the end of what each program printed.
func (p *place) logs() string {
	var b strings.Builder
	for _, g := range p.programs {
		fmt.Fprintf(&b, "--- %s (process %d)\n%s\n", g.name, g.pid, tail(g.output(), 40))
	}
	return b.String()
}

// tail returns the last lines of a log.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	// A registry says this of every request, and its access log has it too.
	all = slices.DeleteFunc(all, func(line string) bool { return strings.Contains(line, `msg="response completed"`) })
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// end ends the programs, latest first, then whatever they started, unmounts
// what they mounted in the folder and removes it. An error says what is left.
func (p *place) end() error {
	var pids []int
	for _, g := range p.programs {
		pids = append(pids, g.pid)
	}
	started := family(pids, p.dir)
	var files []string
	if p.elsewhere != nil {
		files = p.elsewhere()
	}
	var errs []error
	for i := len(p.programs) - 1; i >= 0; i-- {
		errs = append(errs, p.programs[i].end())
	}
	// Shims and containers do not die with their daemon, and may be new.
	errs = append(errs, killAll(append(started, family(nil, p.dir)...)))
	for _, file := range files {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, clear(p.dir), p.lock.Close())
	return errors.Join(errs...)
}

// sweep removes the folders under parent that nobody holds locked any more.
func sweep(parent string) {
	locks, _ := filepath.Glob(filepath.Join(parent, "al-*", lockName))
	for _, name := range locks {
		info, err := os.Stat(name)
		if err != nil || time.Since(info.ModTime()) < abandonedAfter {
			continue
		}
		lock, err := os.Open(name)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			dir := filepath.Dir(name)
			if killAll(family(nil, dir)) == nil {
				clear(dir) // what cannot be removed is tried again next time
			}
		}
		lock.Close()
	}
}

// clear unmounts all below dir, then removes it.
func clear(dir string) error {
	for _, point := range mountsUnder(dir) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %q: %w", point, err)
		}
	}
	names, err := os.ReadDir(dir)
	for _, name := range names {
		// The lock's file goes last, so that a sweep finds what is left.
		if name.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name.Name())))
		}
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if left := mountsUnder(dir); len(left) > 0 {
		return fmt.Errorf("mounts are left: %q", left)
	}
	return err
}

// mountsUnder returns the mount points at or below dir, deepest first.
func mountsUnder(dir string) []string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		// proc_pid_mountinfo(5): the fifth field is the mount point.
		fields := strings.Fields(line)
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			points = append([]string{fields[4]}, points...)
		}
	}
	return points
}
