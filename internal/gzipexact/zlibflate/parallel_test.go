package zlibflate

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"airlock/internal/gzipexact/sampletest"
	"airlock/internal/gzipexact/segmented"
)

// All workers together make what one Encoder makes.
func TestParallel(t *testing.T) {
	all := append(contents(0)[40:],
		sampletest.Mixed(200, 3_500_000), make([]byte, 3_000_000),
		bytes.Repeat(sampletest.Mixed(1, 70), 50_000), bytes.Repeat(sampletest.Mixed(2, 40000), 80),
		noise(segmented.Size+100_000), noise(65400), noise(34*half+65400), noise(34*half+65273),
	)
	// Ends at which the last window moves, or just does not.
	long := append(sampletest.Mixed(300, 2*segmented.Size+segmented.Overlap), noise(70_000)...)
	for _, at := range []int{-262, -1, 0, 1, 200} {
		all = append(all, long[:2*segmented.Size-32768+65274+at], long[:2*segmented.Size+at],
			long[:segmented.Size+segmented.Overlap+lookAhead+at])
	}
	for _, v := range []Variant{Zlib8, Zlib9, GNU} {
		for _, level := range []int{4, 6} {
			p, err := NewParallel(nil, v, level, 2)
			if err != nil {
				t.Fatal(err)
			}
			e, err := NewEncoder(nil, v, level)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range all {
				if level == 4 && i%3 != int(v)%3 || underRace && i%7 != int(v) {
					continue
				}
				flushed := i%2 == 0 && v != GNU
				want := encode(t, e, c, flushed)
				var got bytes.Buffer
				p.Reset(&got)
				feed(t, p, c, 1)
				if err := errors.Join(p.Close(flushed)); err != nil {
					t.Fatal(err)
				}
				same(t, got.Bytes(), want, fmt.Sprintf("variant %d, level %d, content %d of %d bytes", v, level, i, len(c)))
			}
		}
	}
}

// noise has no match: no three bytes come twice within a window.
func noise(n int) []byte {
	r := sampletest.Rand(n)
	p := make([]byte, 0, n)
	last := map[[3]byte]int{}
	for len(p) < n {
		b := byte(r.Next())
		if k := len(p); k >= 2 {
			three := [3]byte{p[k-2], p[k-1], b}
			if at, ok := last[three]; ok && k-at < full {
				continue
			}
			last[three] = k
		}
		p = append(p, b)
	}
	return p
}
