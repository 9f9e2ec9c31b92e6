package goflate

import (
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

// What enters many positions at once leaves the same as what enters each.
func TestEnterUnits(t *testing.T) {
	if !hasEnterUnits {
		t.Skip("this processor has no AVX2: each position is entered by itself")
	}
	buf := new(content)
	copy(buf[:], sampletest.Mixed(1, 100_000))
	copy(buf[period-3000:], make([]byte, 5000))
	one, many := new(chains), new(chains)
	r := sampletest.Rand(1)
	origin := uint32(rebaseAt - 2*period)
	for pos := 0; pos < 99_000; {
		to := pos + r.N(1<<r.N(13))
		one.enterEach(buf, origin, pos, to)
		many.enter(buf, origin, pos, to)
		pos = to
	}
	if *one != *many {
		t.Error("links, ranks or heads differ")
	}
}
