package aside

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFolder holds that a folder is removed when its holder has gone, or says so, and
// by nobody else; that one that is kept is nobody's, and that other folders stay.
func TestFolder(t *testing.T) {
	in := t.TempDir()
	folders := make([]*Folder, 3)
	for i := range folders {
		f, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.Path, "a.vol"), []byte("bytes"), 0o600); err != nil {
			t.Fatal(err)
		}
		folders[i] = f
	}
	held, left, wanted := folders[0], folders[1], folders[2]
	for _, name := range []string{prefix, prefix + "1x", "other"} {
		if err := os.Mkdir(filepath.Join(in, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	kept := wanted.Keep()
	left.lock.Close() // as the end of its process does
	if gone := RemoveAbandoned(in); !slices.Equal(gone, []string{left.Path}) {
		t.Errorf("removed %q, want %q", gone, left.Path)
	}
	want := []string{filepath.Base(held.Path), filepath.Base(kept), prefix, prefix + "1x", "other"}
	slices.Sort(want)
	if got := names(t, in); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(kept, "a.vol")); err != nil || strings.HasPrefix(filepath.Base(kept), prefix) {
		t.Errorf("kept as %q: %v", kept, err)
	}
	for range 2 {
		if err := held.Remove(); err != nil {
			t.Error(err)
		}
	}
	if slices.Contains(names(t, in), filepath.Base(held.Path)) {
		t.Error("what was removed is there")
	}
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
