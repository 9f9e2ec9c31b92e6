package gzipexact

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

var update = flag.Bool("update", false, "write the golden hashes anew; a changed hash breaks all recipes of that encoder")

const goldenFile = "testdata/golden.txt"

// goldenSpecs lists every encoder with every setting that is told apart.
func goldenSpecs() []encoderSpec {
	var specs []encoderSpec
	for id := range encoderID(255) {
		for level := -levelBias; level <= 9; level++ {
			for _, block := range []int{0, 128 << 10, 256 << 10, 1 << 20} {
				if s := (encoderSpec{id, level, block}); s.check() == nil {
					specs = append(specs, s)
				}
			}
		}
	}
	return specs
}

// goldenLine is the hash of what an encoder makes of all samples.
func goldenLine(t *testing.T, s encoderSpec) string {
	t.Helper()
	h := sha256.New()
	enc, err := newEncoder(s, h)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range sampletest.All() {
		fmt.Fprintf(h, "%d\n", i)
		enc.Reset(h)
		for len(p) > 0 {
			n := min(len(p), 50000)
			if _, err := enc.Write(p[:n]); err != nil {
				t.Fatal(err)
			}
			p = p[n:]
		}
		if err := enc.Close(i%2 == 0 || s.block > 0); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%d %d %d %x  %s\n", s.id, s.level, s.block, h.Sum(nil), s)
}

// An encoder that was once released must never change.
func TestGolden(t *testing.T) {
	var b bytes.Buffer
	for _, s := range goldenSpecs() {
		b.WriteString(goldenLine(t, s))
	}
	if *update {
		if err := os.WriteFile(goldenFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(want), "\n")
	for i, line := range strings.SplitAfter(b.String(), "\n") {
		if i >= len(lines) || lines[i] != line {
			t.Errorf("changed: %q", line)
		}
	}
	if len(want) != b.Len() || len(want) == 0 {
		t.Errorf("got %d bytes of hashes, want %d", b.Len(), len(want))
	}
}
