package goflate

import "github.com/klauspost/cpuid/v2"

// hasEnterUnits says that enterUnits may be called.
var hasEnterUnits = cpuid.CPU.Supports(cpuid.AVX2)

// enterUnits does what enterEach does for n positions, a multiple of enterUnit
// above 0, whose content is at p; far is the first one's in heads and at in
// links, where all have room.
//
//go:noescape
func enterUnits(c *chains, p *byte, far uint32, at, n int)
