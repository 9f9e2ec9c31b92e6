package twosum

import "github.com/klauspost/cpuid/v2"

// fast says that compress may be called.
var fast = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSE4, cpuid.SSSE3)

// compress runs the compression function over whole blocks of 64 bytes, on two
// states side by side.
//
//go:noescape
func compress(a, b *[8]uint32, blocks []byte)

// compress3 is compress on three states.
//
//go:noescape
func compress3(a, b, c *[8]uint32, blocks []byte)
