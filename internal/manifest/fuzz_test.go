package manifest_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

// seeds returns the texts that begin with prefix in archive's golden bundle
// and test vectors.
func seeds(f *testing.F, name, prefix string) [][]byte {
	f.Helper()
	paths, err := filepath.Glob("../archive/testdata/vectors/*")
	if err != nil || len(paths) == 0 {
		f.Fatalf("%d vectors, %v", len(paths), err)
	}
	golden, err := os.ReadFile(filepath.Join("../archive/testdata/golden", name))
	if err != nil {
		f.Fatal(err)
	}
	all := [][]byte{golden}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		_, inside, ok := strings.Cut(string(raw), "-- "+name+" ")
		_, inside, _ = strings.Cut(inside, "\n")
		if inside, _, _ = strings.Cut(inside, "\n-- "); ok && strings.HasPrefix(inside, prefix) {
			all = append(all, []byte(inside))
		}
	}
	if len(all) < 10 {
		f.Fatalf("%d seeds", len(all))
	}
	return all
}

// FuzzParse holds that what parses is what Marshal writes, and that all else
// is a rejection.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds(f, "manifest.json", "{") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := manifest.Parse(text)
		if err != nil {
			if !errors.Is(err, manifest.ErrRejected) {
				t.Errorf("%v is no rejection", err)
			}
			return
		}
		if again, err := m.Marshal(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("parsed\n%q\nwhich marshals to\n%q, %v", text, again, err)
		}
		if m.Index.Offset+m.Index.Size != m.SpaceSize() || m.CreatedAt().IsZero() {
			t.Errorf("index %+v in %d bytes, created %s", m.Index, m.SpaceSize(), m.CreatedAt())
		}
	})
}

// FuzzParseSums holds the same of SHA256SUMS.
func FuzzParseSums(f *testing.F) {
	for _, seed := range seeds(f, "SHA256SUMS", "") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := manifest.ParseSums(text)
		if err != nil {
			if !errors.Is(err, manifest.ErrRejected) {
				t.Errorf("%v is no rejection", err)
			}
			return
		}
		if again := sums.Marshal(); !bytes.Equal(again, text) {
			t.Errorf("parsed\n%q\nwhich marshals to\n%q", text, again)
		}
		for name := range sums {
			if filepath.Base(name) != name || strings.ContainsAny(name, "/\\: ") {
				t.Errorf("lists %q", name)
			}
		}
	})
}
