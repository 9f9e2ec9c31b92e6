package deflate

import "github.com/klauspost/cpuid/v2"

// hasSendPairs says that sendPairs may be called.
var hasSendPairs = cpuid.CPU.Supports(cpuid.BMI2)

// sendPairs sends n pairs of tokens, above 0, behind the lower pending bits of
// acc, at most seven. It returns the bits then pending, how many, and how many
// bytes it wrote at out, where there is room for pairSize a pair and eight more.
//
//go:noescape
func sendPairs(c *tokenCode, tokens *Token, n int, out *byte, acc uint64, pending uint) (rest uint64, left uint, wrote int)
