package transfer

import (
	"os"
	"strings"
)

// Watch waits for another medium to be mounted where a folder is.
type Watch struct {
	path  string
	known map[string]bool // mounts that have been there ever since
}

// NewWatch begins to watch a folder, which need not exist.
func NewWatch(path string) *Watch {
	w := &Watch{path: path, known: map[string]bool{}}
	for id := range mounts(readMounts()) {
		w.known[id] = true
	}
	return w
}

// Mounted reports whether the folder is on a mount that was made since the
// watch began. It is to be called every second or so: a medium that is changed
// between two calls may get the number of the one before, and is not noticed.
func (w *Watch) Mounted() bool {
	var at mount
	_, there, err := statfs(w.path)
	if err == nil {
		at, err = mountOf(there)
	}
	return w.isNew(mounts(readMounts()), at.id) && err == nil
}

// isNew reports whether a mount is not one of the known ones, of which those
// that are gone are forgotten.
func (w *Watch) isNew(now map[string]bool, id string) bool {
	for old := range w.known {
		if !now[old] {
			delete(w.known, old)
		}
	}
	return now[id] && !w.known[id]
}

// readMounts returns /proc/self/mountinfo, "" if there is none.
func readMounts() string {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	return string(table)
}

// mounts returns the numbers of the mounts in a table.
func mounts(table string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(table) {
		if m, ok := parseMount(line); ok {
			all[m.id] = true
		}
	}
	return all
}
