package transfer

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWatch changes the medium at a folder.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	mount := func() {
		t.Helper()
		if err := unix.Mount("airlock", dir, "tmpfs", 0, "size=64k"); errors.Is(err, unix.EPERM) {
			t.Skip("mounting a file system takes root")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	unmount := func() {
		t.Helper()
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
	}
	empty := NewWatch(dir + "/shop")
	if empty.Mounted() {
		t.Error("nothing is mounted, and it is noticed")
	}
	mount()
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if !empty.Mounted() {
		t.Error("what is mounted on an empty folder is not noticed")
	}
	w := NewWatch(dir)
	if w.Mounted() {
		t.Error("what was there before is noticed")
	}
	unmount()
	if w.Mounted() {
		t.Error("the empty mount point is taken for a medium")
	}
	mount()
	if !w.Mounted() {
		t.Error("the next medium is not noticed")
	}
}

// TestWatchForgets holds that a mount's number that is used again counts as new.
func TestWatchForgets(t *testing.T) {
	w := &Watch{known: map[string]bool{"1": true, "7": true}}
	both, one := map[string]bool{"1": true, "7": true}, map[string]bool{"1": true}
	for i, step := range []struct {
		now  map[string]bool
		at   string
		want bool
	}{{both, "7", false}, {one, "1", false}, {both, "7", true}, {both, "", false}} {
		if got := w.isNew(step.now, step.at); got != step.want {
			t.Errorf("step %d: %t", i, got)
		}
	}
}
