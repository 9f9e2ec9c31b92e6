//go:build linux

package realtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A relative is a process at one time. A process id alone may since have been
// given to another process; with the start time it is unique.
type relative struct {
	pid, parent int
	born        string // in clock ticks since boot
	command     string
}

// family returns the processes that the given ones started, and those that
// name dir, unless it is empty, in their command line together with what they
// started. The given ones are not in it.
func family(roots []int, dir string) []relative {
	all := processes()
	in := map[int]bool{}
	for _, pid := range roots {
		in[pid] = true
	}
	for _, r := range all {
		if dir != "" && r.pid != os.Getpid() && r.names(dir) {
			in[r.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, r := range all {
			if in[r.parent] && !in[r.pid] {
				in[r.pid], grown = true, true
			}
		}
	}
	return slices.DeleteFunc(all, func(r relative) bool {
		return !in[r.pid] || slices.Contains(roots, r.pid)
	})
}

// names reports whether dir or something in it is in the command line. It
// compares whole path elements, so that al-12 does not find al-123.
func (r relative) names(dir string) bool {
	return strings.Contains(r.command, dir+"/") || strings.Contains(r.command, dir+" ")
}

// processes lists the processes that are alive.
func processes() []relative {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var all []relative
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if r, ok := processByID(pid); ok {
			all = append(all, r)
		}
	}
	return all
}

// processByID reads proc_pid_stat(5); a zombie does not count as a process.
func processByID(pid int) (relative, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return relative{}, false
	}
	// The second field, the name in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, parent, born = 0, 1, 19
	if len(fields) <= born || fields[state] == "Z" || fields[state] == "X" {
		return relative{}, false
	}
	ppid, err := strconv.Atoi(fields[parent])
	if err != nil {
		return relative{}, false
	}
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return relative{pid, ppid, fields[born], strings.ReplaceAll(string(command), "\x00", " ")}, true
}

func (r relative) alive() bool {
	now, ok := processByID(r.pid)
	return ok && now.born == r.born
}

// killAll kills the processes that are still the same, and waits until they
// are gone.
func killAll(all []relative) error {
	deadline := time.Now().Add(endTimeout)
	for {
		all = slices.DeleteFunc(all, func(r relative) bool { return !r.alive() })
		if len(all) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes are left: %+v", all)
		}
		for _, r := range all {
			_ = syscall.Kill(r.pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
