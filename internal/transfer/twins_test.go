package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestTwins has one file under two names, by a hard link, which FAT does not have.
func TestTwins(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(under, done string) error
		want error
	}{
		{"one file", os.Link, ErrTwins},
		{"a copy", func(under, done string) error { return os.WriteFile(done, []byte("bytes"), 0o644) }, nil},
		{"others", func(under, done string) error { return os.WriteFile(done, []byte("bytez"), 0o644) }, nil},
		{"longer", func(under, done string) error { return os.WriteFile(done, []byte("bytes."), 0o644) }, nil},
		{"nothing", func(under, done string) error { return nil }, nil},
	} {
		for _, under := range []string{partialName("0123abcd-a.vol"), partialName("a.vol")} {
			here := t.TempDir()
			path := filepath.Join(here, under)
			if err := os.WriteFile(path, []byte("bytes"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path, filepath.Join(here, "a.vol")); err != nil {
				t.Fatal(err)
			}
			p, err := openPlace(here)
			if err != nil {
				t.Fatal(err)
			}
			p.fat = true
			if err := p.checkTwins(); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", c.name, under, err, c.want)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "bytes" {
				t.Errorf("%s, %s: it has %q now, %v", c.name, under, b, err)
			}
		}
	}
}
