package goflate

import (
	"math/bits"

	"airlock/internal/gzipexact/deflate"
)

const (
	bits5 = 17

	// nearMask has the bits of a position in head4; those of a rank lie above.
	rankShift = 17
	nearMask  = 1<<rankShift - 1
	rankMask  = 1<<(32-rankShift) - 1

	// none is a link out of the reach of searches.
	none = period - 1

	// enterUnit is how many positions are entered at once, if not one by one.
	enterUnit = 8
)

// The chains link every position to the last one before it with the same hash
// of four and of five bytes. The first are the original's chains.
//
// Positions are kept modulo 65536 in links, and modulo 131072 in head4, and
// never forgotten: if the last position with a hash is too far away, the link
// is none or points to an arbitrary position. That does no harm. All positions
// from there on have been entered since; had one of them the hash, the link
// would point to it. So what the link points to, and all that is behind it,
// differs in the bytes hashed, which whoever follows a link compares.
type chains struct {
	// The last position with a hash, below the number of such positions before
	// it modulo 32768 and one more: the rank of the next.
	head4 [1 << hashBits]uint32
	// The last position with a hash.
	head5 [1 << bits5]uint32

	// How far before a position the next one of its chain is.
	link4, link5 [period]uint16
	rank         [period]uint16

	// A bit for each position: that its links leave a match possible.
	some [period / 64]uint64
}

// hash4 is the hash by which the original finds candidates.
func hash4(v uint32) uint32 { return product4(v) >> (32 - hashBits) }

// Of this no collision shows. It is what is quick to have besides hash4.
func hash5(v uint64) uint32 { return (product4(uint32(v)) + uint32(v>>32)<<24) >> (32 - bits5) }

func product4(v uint32) uint32 { return bits.ReverseBytes32(v) * hashMul }

// enter puts the positions of buf from from to below to, behind each of which
// eight bytes are there, into all chains. origin is the position of buf[0].
func (c *chains) enter(buf *content, origin uint32, from, to int) {
	if hasEnterUnits {
		first := min((from+enterUnit-1)&^(enterUnit-1), to)
		c.enterEach(buf, origin, from, first)
		for from = first; to-from >= enterUnit; {
			at := from & (period - 1)
			n := min(to-from, period-at) &^ (enterUnit - 1)
			enterUnits(c, &buf[from], origin+uint32(from), at, n)
			from += n
		}
	}
	c.enterEach(buf, origin, from, to)
}

// enterEach is enter in Go.
func (c *chains) enterEach(buf *content, origin uint32, from, to int) {
	for pos := from; pos < to; pos++ {
		v, at := buf.load(pos), uint16(pos)
		far := origin + uint32(pos)
		h5 := &c.head5[hash5(v)]
		c.link5[at] = uint16(min(far-*h5, none))
		*h5 = far
		c.enter4(uint32(v), far)
		c.note(at)
	}
}

// enter4 puts a position, whose first four bytes are v, into the chain of four
// bytes.
func (c *chains) enter4(v, far uint32) {
	h, at := &c.head4[hash4(v)], uint16(far)
	old := *h
	*h = old&^nearMask + 1<<rankShift + far&nearMask
	c.link4[at] = uint16(min((far-old)&nearMask, none))
	c.rank[at] = uint16(old >> rankShift)
}

// note notes whether the links of a position leave a match possible: most often
// not. One of four bytes must be near.
func (c *chains) note(at uint16) {
	bit := uint64(1) << (at & 63)
	c.some[at>>6] |= bit
	if d4, d5 := c.link4[at], c.link5[at]; d4 > nearEnough && max(d4, d5) > deflate.Window {
		c.some[at>>6] &^= bit
	}
}

// chance returns the first position from pos on, below to, that may have a
// match, or else to.
func (c *chains) chance(pos, to int) int {
	for pos < to {
		at := uint16(pos)
		if w := c.some[at>>6] >> (at & 63); w != 0 {
			return min(pos+bits.TrailingZeros64(w), to)
		}
		pos = pos&^63 + 64
	}
	return to
}

// steps returns how many steps in the chain of four bytes lead from one
// position to another before it, at most 32768 away.
func (c *chains) steps(from, to int) int {
	return int((c.rank[uint16(from)]-c.rank[uint16(to)]-1)&rankMask) + 1
}

// renumber makes positions as far from origin as they were from from, unless
// they are out of reach.
func (c *chains) renumber(from, origin uint32) {
	rebase(c.head5[:], from, origin)
}

// forget forgets all positions with exact numbers.
func (c *chains) forget() {
	clear(c.head5[:])
}
