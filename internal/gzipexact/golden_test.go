package gzipexact

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
				if s := (encoderSpec{id, level, block}); s.check() == nil && (id < pigzMany || block <= pigzBlock) {
					specs = append(specs, s)
				}
			}
		}
	}
	return specs
}

// goldenLine is the hash of what an encoder makes of all samples.
func goldenLine(s encoderSpec, samples [][]byte) (string, error) {
	h := sha256.New()
	enc, err := newEncoder(s, h)
	if err != nil {
		return "", err
	}
	for i, p := range samples {
		fmt.Fprintf(h, "%d\n", i)
		enc.Reset(h)
		for len(p) > 0 {
			n := min(len(p), 50000)
			if _, err := enc.Write(p[:n]); err != nil {
				return "", err
			}
			p = p[n:]
		}
		if err := enc.Close((i%2 == 0 || s.alwaysFlushed()) && !s.neverFlushed()); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d %d %d %x  %s\n", s.id, s.level, s.block, h.Sum(nil), s), nil
}

// goldenLines returns the lines of specs, made on all processors.
func goldenLines(t *testing.T, specs []encoderSpec) []string {
	t.Helper()
	lines, errs := make([]string, len(specs)), make([]error, len(specs))
	samples := sampletest.All()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(specs); i = int(next.Add(1)) - 1 {
				lines[i], errs[i] = goldenLine(specs[i], samples)
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return lines
}

// An encoder that was once released must never change.
func TestGolden(t *testing.T) {
	specs := goldenSpecs()
	if underRace {
		// Every family, one level each.
		specs = slices.DeleteFunc(specs, func(s encoderSpec) bool { return s.level != 5 || s.block > 128<<10 })
	}
	lines := goldenLines(t, specs)
	if *update {
		if err := os.WriteFile(goldenFile, []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	held := strings.SplitAfter(string(want), "\n")
	for _, line := range lines {
		if !slices.Contains(held, line) {
			t.Errorf("changed: %q", line)
		}
	}
	// The last is empty.
	if n := len(held) - 1; n != len(goldenSpecs()) || n == 0 {
		t.Errorf("got %d hashes of %d encoders", n, len(goldenSpecs()))
	}
}
