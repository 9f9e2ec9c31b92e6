package journey_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// TestClearLeavesStrangers removes a bundle, and not what other tools have
// listed in a SHA256SUMS of theirs.
func TestClearLeavesStrangers(t *testing.T) {
	sum := manifest.DigestOf([]byte("x"))
	for what, c := range map[string]struct {
		sums string
		left string // files, or what they were
	}{
		"a bundle":         {string(manifest.Sums{"manifest.json": sum, "blocks.bin": sum, "a.000.vol": sum}.Marshal()), "debian.iso"},
		"somebody's files": {string(manifest.Sums{"debian.iso": sum}.Marshal()), "all"},
		"another format":   {sum.Hex() + " *Debian.iso\n", "all"},
		"half a bundle":    {"", "debian.iso"},
	} {
		path := t.TempDir()
		files := map[string]string{"debian.iso": "x", "manifest.json": "x", "blocks.bin": "x", "a.000.vol": "x", "SHA256SUMS": c.sums}
		if c.sums == "" {
			delete(files, "SHA256SUMS")
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dir, err := transfer.NewDir(path)
		if err != nil {
			t.Fatal(err)
		}
		there, err := transfer.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		freed, ferr := journey.Clearable(there)
		if want := int64(3 + len(c.sums)); (ferr != nil) != (c.left == "all") || ferr == nil && freed != want {
			t.Errorf("%s: %d bytes would go, %v", what, freed, ferr)
		}
		err = journey.Clear(dir, there)
		if (err != nil) != (c.left == "all") {
			t.Errorf("%s: %v", what, err)
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if got := strings.Join(left, " "); got != c.left && (c.left != "all" || len(left) != len(files)) {
			t.Errorf("%s: left are %s", what, got)
		}
	}
}
