package transfer_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"airlock/internal/transfer"
)

// TestSweep removes what is under way to the names, and nothing else.
func TestSweep(t *testing.T) {
	path := t.TempDir()
	dir, err := transfer.NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	gone := []string{".partial-a.vol", ".partial-0123abcd-a.vol", ".partial-ffffffff-a.vol", ".partial-SHA256SUMS"}
	stay := []string{"a.vol", ".partial", ".partial-", ".partial-b.vol", ".partial-0123abcd-b.vol", ".partial-0123ABCD-a.vol", ".partial-0123abc-a.vol", ".partial-0123abcd-xa.vol",
		".partial-0123abcd-a.vol2", "x.partial-a.vol", "SHA256SUMS", "holiday.jpg"}
	for _, name := range append(slices.Clone(gone), stay...) {
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Neither a folder nor a link of such a name is ours.
	if err := os.Mkdir(filepath.Join(path, ".partial-01234567-a.vol"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.vol", filepath.Join(path, ".partial-89abcdef-a.vol")); err != nil {
		t.Fatal(err)
	}
	stay = append(stay, ".partial-01234567-a.vol", ".partial-89abcdef-a.vol")
	for range 2 {
		if err := dir.Sweep("a.vol", "SHA256SUMS"); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != len(stay) {
		t.Errorf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if !slices.Contains(stay, e.Name()) {
			t.Errorf("%s is still there", e.Name())
		}
	}
}
