package goflate

import (
	"slices"
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

// The original gives up after a number of candidates, whichever chain finds the
// match: nearer, at and behind the last of them.
func TestGivesUp(t *testing.T) {
	frozenToolchain(t)
	r := sampletest.Rand(1)
	// noise has no byte of those that candidates begin with.
	noise := func(p []byte, n int) []byte {
		for range n {
			p = append(p, byte(128+r.N(128)))
		}
		return p
	}
	for _, level := range []int{4, 5, 6, 7, 8} {
		if testing.Short() && level > 6 {
			continue
		}
		e, err := NewEncoder(nil, level)
		if err != nil {
			t.Fatal(err)
		}
		chain := paramsOf(level).chain
		for before := chain - 4; before <= chain+2; before++ {
			for length := 5; length <= 12; length++ {
				match := slices.Concat([]byte("wxyz"), []byte("12345678")[:length-4])
				p := append(noise(nil, 50), match...)
				for range before {
					p = noise(append(p, "wxyz"...), 2)
				}
				// Candidates that are equal behind their first byte only.
				q := slices.Clone(p)
				for range 2 * patience {
					q = noise(append(append(q, 'Q'), match[1:]...), 2)
				}
				p = noise(append(p, match...), lookAhead)
				q = noise(append(q, "Vwxyz"...), 3)
				q = noise(append(append(q, 'V'), match...), lookAhead)
				same(t, e, p, level, false)
				same(t, e, q, level, false)
			}
		}
	}
}
