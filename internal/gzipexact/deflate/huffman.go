package deflate

import (
	"math/bits"
	"slices"
)

// A Code is a canonical prefix code: the bit lengths of its symbols and the
// codes themselves, already reversed for sending.
type Code struct {
	Len  [MaxLitLen]uint8
	bits [MaxLitLen]uint16

	keys  [MaxLitLen]uint64
	leafs [16][2 * MaxLitLen]uint16
}

// Build makes c the code of the symbols 0 … len(freq)-1 with those
// frequencies and lengths of at most maxBits.
//
// The lengths are those of the package-merge algorithm (Larmore and
// Hirschberg, 1990) over symbols sorted by frequency and then by number, where
// of a symbol and a package of equal weight the package is taken first. With
// one or two symbols each has one bit.
func (c *Code) Build(freq []int32, maxBits int) {
	keys := c.keys[:0]
	for sym, f := range freq {
		c.Len[sym] = 0
		if f != 0 {
			keys = append(keys, uint64(f)<<16|uint64(sym))
		}
	}
	if len(keys) <= 2 {
		for i, k := range keys {
			c.Len[k&0xffff], c.bits[k&0xffff] = 1, uint16(i)
		}
		return
	}
	slices.Sort(keys)
	c.packageMerge(keys, min(maxBits, len(keys)-1))
	c.assign(len(freq))
}

// packageMerge sets the lengths of the symbols in keys, which are sorted by
// weight. leafs[l][i] counts the symbols among the first i items of level l.
func (c *Code) packageMerge(keys []uint64, levels int) {
	n := len(keys)
	var lists [2][2 * MaxLitLen]uint64
	below := lists[0][:0]
	for l := range levels {
		list, leafs := lists[(l+1)&1][:0], &c.leafs[l]
		leaf := 0
		for len(list) < 2*n-2 {
			pair := len(list) - leaf
			havePair := 2*pair+1 < len(below)
			switch {
			case havePair && (leaf == n || below[2*pair]+below[2*pair+1] <= keys[leaf]>>16):
				list = append(list, below[2*pair]+below[2*pair+1])
			case leaf < n:
				list = append(list, keys[leaf]>>16)
				leaf++
			}
			leafs[len(list)] = uint16(leaf)
			if !havePair && leaf == n {
				break
			}
		}
		below = list
	}
	need := 2*n - 2
	for l := levels - 1; l >= 0; l-- {
		leaf := int(c.leafs[l][need])
		for _, k := range keys[:leaf] {
			c.Len[k&0xffff]++
		}
		need = 2 * (need - leaf)
	}
}

// assign gives codes to the symbols below n, by length and then by number
// (RFC 1951, section 3.2.2).
func (c *Code) assign(n int) {
	var count, next [17]uint16
	for _, l := range c.Len[:n] {
		count[l]++
	}
	count[0] = 0
	for l := 1; l <= 15; l++ {
		next[l+1] = (next[l] + count[l]) << 1
	}
	for sym, l := range c.Len[:n] {
		if l != 0 {
			c.bits[sym] = bits.Reverse16(next[l]) >> (16 - l)
			next[l]++
		}
	}
}

// Size returns the number of bits that the symbols of freq take.
func (c *Code) Size(freq []int32) int {
	total := 0
	for sym, f := range freq {
		total += int(f) * int(c.Len[sym])
	}
	return total
}

// FixedLitLen and FixedDist return the fixed codes of RFC 1951, section 3.2.6.
func FixedLitLen() *Code {
	c := new(Code)
	// The code lengths also cover two symbols that never occur.
	for sym := range MaxLitLen {
		code, l := sym+48, uint8(8)
		switch {
		case sym >= 280:
			code = sym - 280 + 192
		case sym >= 256:
			code, l = sym-256, 7
		case sym >= 144:
			code, l = sym-144+400, 9
		}
		c.Len[sym], c.bits[sym] = l, bits.Reverse16(uint16(code))>>(16-l)
	}
	return c
}

// FixedDist returns the fixed distance code.
func FixedDist() *Code {
	c := new(Code)
	for sym := range MaxDist {
		c.Len[sym], c.bits[sym] = 5, bits.Reverse16(uint16(sym))>>11
	}
	return c
}
