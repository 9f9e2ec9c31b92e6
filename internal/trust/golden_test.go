package trust

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGolden verifies signatures that ssh-keygen of OpenSSH 9.2 made, each by
// the principal that its file is named after. They must verify for ever.
func TestGolden(t *testing.T) {
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	a := parseAllowed(t, string(read("testdata/allowed_signers")))
	files, err := filepath.Glob("testdata/*.sig")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(a.Entries()) || len(files) == 0 {
		t.Fatalf("%d signatures for %d signers", len(files), len(a.Entries()))
	}
	for _, file := range files {
		s, err := a.Verify(testNamespace, read("testdata/message"), read(file), testTime)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".sig"); !slices.Equal(s.Principals, []string{want}) {
			t.Errorf("%s: signed by %q", file, s.Principals)
		}
	}
}
