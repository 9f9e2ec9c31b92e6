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

// search returns the length and the distance of the match that the original
// finds at pos, if it is longer than the one that waits, or else a length that
// is not.
//
// A match longer than n bytes is in the chain of the five or eight bytes that
// end with its byte n+1, and in that of any of its other bytes.
func (z *lazy) search(pos int) (length, dist int) {
	if z.end-pos < lookAhead {
		return z.searchTail(pos)
	}
	low := pos - min(deflate.Window, pos-z.base)
	if z.length >= 7 {
		return z.from8(pos, low, z.length, 0)
	}
	longer := max(z.length, 4)
	if first := int(z.chain5.link[uint16(pos+longer-4)]); first <= pos-low {
		length, dist = z.first5(pos, low, longer)
	}
	if dist == 0 {
		if z.length >= 4 {
			return z.length, 0
		}
		if first := int(z.chain4.link[uint16(pos)]); first > nearEnough {
			return 3, 0
		}
		return z.nearest4(pos, max(low, pos-nearEnough))
	}
	if length >= z.params.nice {
		return length, dist
	}
	if length >= 8 {
		return z.from8(pos, low, length, dist)
	}
	if first := int(z.chain8.link[uint16(pos)]); first <= pos-low {
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
	return z.chain4.rank[uint16(pos)]-z.chain4.rank[uint16(c)] > uint16(z.params.chain)
}

// first5 returns the nearest match longer than n, which is 4 to 6.
func (z *lazy) first5(pos, low, n int) (length, dist int) {
	buf := z.buf
	ahead := n - 4
	v := buf.load(pos + ahead)
	low += ahead
	for at := pos + ahead; ; {
		d := int(z.chain5.link[uint16(at)])
		at -= d
		if at < low || d == 0 {
			return 0, 0
		}
		y := buf.load(at)
		if (v^y)<<24 != 0 {
			if hash5(y) != hash5(v) {
				return 0, 0 // the link was to an arbitrary position
			}
			continue
		}
		c := at - ahead
		x := buf.load(pos) ^ buf.load(c)
		if x<<24 != 0 && n > 4 && bits.TrailingZeros64(x)>>3 <= n {
			continue
		}
		if z.tooFar(pos, c) {
			return 0, 0
		}
		if x != 0 {
			return bits.TrailingZeros64(x) >> 3, pos - c
		}
		return buf.matchLen(pos, c), pos - c
	}
}

// upTo7 returns the nearest of the longest matches below eight bytes, given
// the nearest of five or more.
func (z *lazy) upTo7(pos, low, length, dist int) (int, int) {
	buf := z.buf
	x := buf.load(pos)
	c := pos - dist
	for steps := 1; ; {
		d := int(z.chain5.link[uint16(c)])
		c -= d
		if c < low || d == 0 {
			return length, dist
		}
		y := buf.load(c)
		n := bits.TrailingZeros64(x^y) >> 3
		if n <= length {
			if n < 5 {
				if hash5(y) != hash5(x) {
					return length, dist
				}
			} else if steps++; steps&15 == 0 && z.tooFar(pos, c) {
				return length, dist
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
	for at, steps := pos+ahead, 1; ; {
		d := int(z.chain8.link[uint16(at)])
		at -= d
		c := at - ahead
		if c < low || d == 0 {
			return length, dist
		}
		if y := buf.load(at); y != v {
			if hash8(y) != hash8(v) {
				return length, dist
			}
			continue
		}
		if buf.load(c) != x {
			continue
		}
		if buf.load(c+length-7) != buf.load(pos+length-7) {
			if steps++; steps&15 == 0 && z.tooFar(pos, c) {
				return length, dist
			}
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
		if a := z.widest(pos, n); z.chain8.link[uint16(pos+a)] > z.chain8.link[uint16(pos+ahead)] {
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
	if z.chain8.link[uint16(pos+last)]-1 >= z.chain8.link[uint16(pos)]-1 {
		return last
	}
	return 0
}

// nearest4 returns the nearest match of four bytes.
func (z *lazy) nearest4(pos, low int) (length, dist int) {
	x := uint32(z.buf.load(pos))
	c := pos
	for range z.params.chain {
		d := int(z.chain4.link[uint16(c)])
		c -= d
		if c < low || d == 0 {
			break
		}
		if x == uint32(z.buf.load(c)) {
			return 4, pos - c
		}
	}
	return 3, 0
}
