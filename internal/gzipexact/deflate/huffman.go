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

	keys, spare [MaxLitLen]uint64
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
	keys = c.sort(keys)
	if !c.huffman(keys, maxBits) {
		c.packageMerge(keys, maxBits)
	}
	c.assign(len(freq))
}

// sort sorts keys by weight and then by symbol; they come sorted by symbol.
func (c *Code) sort(keys []uint64) []uint64 {
	if len(keys) < 32 {
		slices.Sort(keys)
		return keys
	}
	var all uint64
	for _, k := range keys {
		all |= k >> 16
	}
	// Digit by digit, of eight bits of the weight.
	to := c.spare[:len(keys)]
	for shift := 16; all != 0; shift += 8 {
		var next [257]uint16
		for _, k := range keys {
			next[k>>shift&255+1]++
		}
		for i := 1; i < 256; i++ {
			next[i] += next[i-1]
		}
		for _, k := range keys {
			at := &next[k>>shift&255]
			to[*at] = k
			*at++
		}
		keys, to = to, keys
		all >>= 8
	}
	return keys
}

// huffman sets the lengths of the symbols in keys, which are sorted by weight,
// as packageMerge does, if none is longer than maxBits; else it reports false.
//
// The first 2n-2 items of packageMerge's last level are, as long as no package
// needs more levels, the n symbols and all packages but the last in the order
// in which Huffman's algorithm takes them, two at a time, the lightest first,
// and a package first of equals. The height of that tree is the number of
// levels needed.
func (c *Code) huffman(keys []uint64, maxBits int) bool {
	n := len(keys)
	const never = 1 << 63
	var weight [MaxLitLen]uint64 // of packages
	var of, in [MaxLitLen]uint16 // the package that has a symbol, or a package
	leaf, next := 0, 0
	lightest := keys[0] >> 16
	for made := range n - 1 {
		weight[made] = never
		var sum uint64
		for range 2 {
			if weight[next] <= lightest {
				sum += weight[next]
				in[next] = uint16(made)
				next++
				continue
			}
			sum += lightest
			of[leaf] = uint16(made)
			if leaf++; leaf < n {
				lightest = keys[leaf] >> 16
			} else {
				lightest = never - 1
			}
		}
		weight[made] = sum
	}
	var depth [MaxLitLen]uint16 // of what a package holds
	depth[n-2] = 1
	for p := n - 3; p >= 0; p-- {
		depth[p] = depth[in[p]] + 1
	}
	if int(depth[0]) > maxBits {
		return false
	}
	for i, k := range keys {
		c.Len[k&0xffff] = uint8(depth[of[i]])
	}
	return true
}

// packageMerge sets the lengths of the symbols in keys, which are sorted by
// weight.
func (c *Code) packageMerge(keys []uint64, levels int) {
	n := len(keys)
	var lists [2][2 * MaxLitLen]uint64
	var leafs [16][2 * MaxLitLen]uint16 // symbols among the first items of a level
	below := lists[0][:0]
	for l := range levels {
		list, leafs := lists[(l+1)&1][:0], &leafs[l]
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
		leaf := int(leafs[l][need])
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
