package goflate

import (
	"encoding/binary"
	"math/bits"

	"airlock/internal/gzipexact/deflate"
)

// content is the buffer of a window; its size tells the compiler that masked
// positions need no check.
type content [bufSize + bufPad]byte

func (b *content) load(pos int) uint64 {
	i := pos & (bufSize - 1)
	return binary.LittleEndian.Uint64(b[i : i+8])
}

// matchLen returns how many bytes from s on equal those from t on, at most
// deflate.MaxMatch, of which the first eight are known to be equal.
func (b *content) matchLen(s, t int) int {
	for n := 8; n < deflate.MaxMatch; n += 8 {
		if x := b.load(s+n) ^ b.load(t+n); x != 0 {
			return min(n+bits.TrailingZeros64(x)>>3, deflate.MaxMatch)
		}
	}
	return deflate.MaxMatch
}

// matchFrom is matchLen given x, how the first eight bytes differ.
func (b *content) matchFrom(x uint64, s, t int) int {
	if x != 0 {
		return bits.TrailingZeros64(x) >> 3
	}
	return b.matchLen(s, t)
}

// nothingAt reports whether neither of the chains that start at pos leads to a
// match that counts; most searches end here.
func (z *lazy) nothingAt(pos int) bool {
	d4, d5 := z.link4[uint16(pos)], z.link5[uint16(pos)]
	return d4 > nearEnough && max(d4, d5) > deflate.Window
}

// search returns the length and the distance of the match that the original
// finds at pos, or 3.
func (z *lazy) search(pos int) (length, dist int) {
	low := max(pos-deflate.Window, z.base)
	length, dist = z.nearest5(pos, low, 4)
	if length < 5 {
		return z.nearest4(pos, max(pos-nearEnough, low))
	}
	return z.onward(pos, low, length, dist)
}

// longer returns the length and the distance of the match that the original
// finds at pos if that is longer than length, else a length that is not.
//
// A match longer than n bytes is in the chain of the five or eight bytes that
// end with its byte n+1, and in that of any of its other bytes.
func (z *lazy) longer(pos, length int) (int, int) {
	low := max(pos-deflate.Window, z.base)
	if length >= 7 {
		return z.from8(pos, low, length, 0)
	}
	n, dist := z.nearest5(pos, low, length)
	if n <= length {
		return n, dist
	}
	return z.onward(pos, low, n, dist)
}

// onward returns the longest match at pos, given the nearest of five or more
// bytes.
func (z *lazy) onward(pos, low, length, dist int) (int, int) {
	if length >= z.params.nice {
		return length, dist
	}
	if length >= 8 {
		return z.from8(pos, low, length, dist)
	}
	if int(z.link8[uint16(pos)]) <= pos-low {
		if l, d := z.from8(pos, low, 7, 0); d > 0 {
			return l, d
		}
	}
	if length < 7 {
		return z.upTo7(pos, low, length, dist)
	}
	return length, dist
}

// tooFar reports whether the original gives up before it comes to c, whose
// first four bytes are those at pos.
func (z *lazy) tooFar(pos, c int) bool {
	return z.steps(pos, c) > z.params.chain
}

// patience is how many candidates of a chain are looked at before another way
// to end the search is tried.
const patience = 16

// nearest5 returns the nearest match longer than n, which is 4 to 6, or a
// length of 0.
func (z *lazy) nearest5(pos, low, n int) (length, dist int) {
	buf := z.buf
	ahead, unequal := n-4, uint(7-n)*8
	v := buf.load(pos)
	at := pos + ahead
	for range patience {
		at -= int(z.link5[uint16(at)])
		c := at - ahead
		if c < low {
			return 0, 0
		}
		x := v ^ buf.load(c)
		if x<<(unequal&63) != 0 {
			continue
		}
		if z.tooFar(pos, c) {
			return 0, 0
		}
		return buf.matchFrom(x, pos, c), pos - c
	}
	// Most of the chain is not equal at pos, so nothing says where it may end.
	at = pos
	for range z.params.chain {
		d := int(z.link4[uint16(at)])
		at -= d
		if at < low || d == 0 {
			break
		}
		if x := v ^ buf.load(at); x<<(unequal&63) == 0 {
			return buf.matchFrom(x, pos, at), pos - at
		}
	}
	return 0, 0
}

// upTo7 returns the nearest of the longest matches below eight bytes, given
// the nearest of five or more.
func (z *lazy) upTo7(pos, low, length, dist int) (int, int) {
	buf := z.buf
	x := buf.load(pos)
	// Either chain has all longer ones behind that.
	at, ahead := pos-dist, 0
	if d := int(z.link5[uint16(pos+length-4)]); d > dist {
		at, ahead = pos+length-4, length-4
	}
	for steps := 1; ; steps++ {
		at -= int(z.link5[uint16(at)])
		c := at - ahead
		if c < low {
			return length, dist
		}
		n := bits.TrailingZeros64(x^buf.load(c)) >> 3
		if n <= length {
			if steps%patience == 0 {
				if ahead > 0 {
					at, ahead = pos-dist, 0
				} else if n >= 4 && z.tooFar(pos, c) {
					return length, dist
				}
			}
			continue
		}
		// One of eight bytes would have been found if it was not too far.
		if n >= 8 || z.tooFar(pos, c) {
			return length, dist
		}
		if n == 7 {
			return n, pos - c
		}
		length, dist = n, pos-c
	}
}

// from8 returns the longest match longer than length, which is 7 or more, or
// else length and dist.
func (z *lazy) from8(pos, low, length, dist int) (int, int) {
	buf := z.buf
	ahead := z.widest(pos, length)
	x, v := buf.load(pos), buf.load(pos+ahead)
	for at, steps := pos+ahead, 1; ; steps++ {
		at -= int(z.link8[uint16(at)])
		c := at - ahead
		if c < low {
			return length, dist
		}
		y := buf.load(c)
		if steps%patience == 0 {
			// A chain that has the original's candidates ends where that gives up.
			if ahead > 0 {
				ahead, at, v = 0, pos, x
				continue
			}
			if uint32(x) == uint32(y) && z.tooFar(pos, c) {
				return length, dist
			}
		}
		if x != y || buf.load(at) != v || buf.load(c+length-7) != buf.load(pos+length-7) {
			continue
		}
		n := buf.matchLen(pos, c)
		if n <= length {
			continue
		}
		if z.tooFar(pos, c) {
			return length, dist
		}
		length, dist = n, pos-c
		if n >= z.params.nice {
			return length, dist
		}
		if a := z.widest(pos, n); z.link8[uint16(pos+a)] > z.link8[uint16(pos+ahead)] {
			ahead = a
			at = pos + ahead
			v = buf.load(at)
		}
	}
}

// widest returns which of the chains that have every match longer than n seems
// to be the shortest, by how far ahead of pos it starts: the one with the
// widest first step.
func (z *lazy) widest(pos, n int) int {
	last := n - 7
	if z.link8[uint16(pos+last)] >= z.link8[uint16(pos)] {
		return last
	}
	return 0
}

// nearest4 returns the nearest match of four bytes.
func (z *lazy) nearest4(pos, low int) (length, dist int) {
	x := uint32(z.buf.load(pos))
	c := pos
	for range z.params.chain {
		d := int(z.link4[uint16(c)])
		c -= d
		if c < low || d == 0 {
			break
		}
		y := uint32(z.buf.load(c))
		if x == y {
			return 4, pos - c
		}
		if hash4(x) != hash4(y) {
			break // the link was to an arbitrary position
		}
	}
	return 3, 0
}
