package manifest_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

func TestSums(t *testing.T) {
	sums := manifest.Sums{"b.vol": digestA, "README.txt": digestB, "a.vol": digestA}
	text := string(sums.Marshal())
	want := fmt.Sprintf("%s  README.txt\n%s  a.vol\n%s  b.vol\n", digestB.Hex(), digestA.Hex(), digestA.Hex())
	if text != want {
		t.Errorf("%q, want %q", text, want)
	}
	got, err := manifest.ParseSums([]byte(text))
	if err != nil || len(got) != 3 || got["b.vol"] != digestA || !slices.Equal(got.Names(), []string{"README.txt", "a.vol", "b.vol"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSumsRefused are rows 30 and 31 of the hostile inputs, each alone and
// among lines that are right.
func TestSumsRefused(t *testing.T) {
	line := func(name string) string { return digestA.Hex() + "  " + name + "\n" }
	for what, text := range map[string]string{
		"nothing":           "",
		"empty line":        "\n",
		"no line feed":      strings.TrimSuffix(line("n"), "\n"),
		"carriage return":   digestA.Hex() + "  n\r\n",
		"binary mark":       digestA.Hex() + " *n\n",
		"escape mark":       "\\" + line("n"),
		"tab":               digestA.Hex() + "\tn\n",
		"three spaces":      digestA.Hex() + "   n\n",
		"capitals":          strings.ToUpper(digestA.Hex()) + "  n\n",
		"SHA-1":             digestA.Hex()[:40] + "  n\n",
		"SHA-512":           digestA.Hex() + line("n"),
		"no digest":         "  n\n",
		"space in front":    " " + line("n"),
		"OCI's spelling":    digestA.String() + "  n\n",
		"byte order mark":   "\ufeff" + line("n"),
		"NUL":               line("n\x00"),
		"itself":            line("sha256sums"),
		"a signature":       line("sha256sums.ana.sig"),
		"any signature":     line("x.sig"),
		"twice":             line("n") + line("n"),
		"out of order":      line("o") + line("n"),
		"case twins":        line("N") + line("n"),
		"README's twin":     line("README.txt") + line("readme.txt"),
		"path":              line("../n"),
		"nothing as a name": line(""),
	} {
		for _, around := range []string{"", line("a")} {
			if sums, err := manifest.ParseSums([]byte(around + text)); !errors.Is(err, manifest.ErrRejected) && !(text == "" && around != "") {
				t.Errorf("%s: %v, %v", what, sums, err)
			} else if err != nil && !strings.HasPrefix(err.Error(), "SHA256SUMS") {
				t.Errorf("%s: %v does not name the file", what, err)
			}
		}
	}
}

// TestSumsMemory is row 32: a file of one byte too many is refused unread, and
// the largest that is read costs little more than its size.
func TestSumsMemory(t *testing.T) {
	if _, err := manifest.ParseSums(make([]byte, manifest.MaxSums+1)); !errors.Is(err, manifest.ErrRejected) || !strings.Contains(err.Error(), fmt.Sprint(manifest.MaxSums+1, " bytes")) {
		t.Error(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := manifest.ParseSums([]byte(strings.Repeat("\n", manifest.MaxSums)))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, manifest.ErrRejected) || grown > 64<<20 {
		t.Errorf("allocated %d MiB, %v", grown>>20, err)
	}
}
