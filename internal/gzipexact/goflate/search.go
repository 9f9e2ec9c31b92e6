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

// search returns the length and the distance of the match that the original
// finds at pos, or 3.
func (z *lazy) search(pos int) (length, dist int) {
	low := max(pos-deflate.Window, z.base)
	length, dist = z.next(pos, low, 4, 0)
	if length < 5 {
		return z.nearest4(pos, max(pos-nearEnough, low))
	}
	return z.onward(pos, low, length, dist)
}

// longer returns the length and the distance of the match that the original
// finds at pos if that is longer than length, which is 4 or more, else length.
func (z *lazy) longer(pos, length int) (int, int) {
	return z.onward(pos, max(pos-deflate.Window, z.base), length, 0)
}

// onward returns the longest match at pos, or length and dist: what is known is
// that none is longer than length up to dist, and if dist is not 0, that one is
// that long there.
func (z *lazy) onward(pos, low, length, dist int) (int, int) {
	for length < 7 {
		n, d := z.next(pos, low, length, dist)
		if n == length {
			return length, dist
		}
		length, dist = n, d
	}
	return z.long(pos, low, length, dist)
}

// tooFar reports whether the original gives up before it comes to c, whose
// first four bytes are those at pos.
func (z *lazy) tooFar(pos, c int) bool {
	return z.steps(pos, c) > z.params.chain
}

// patience is how many candidates of a chain are looked at before another way
// to end the search is tried.
const patience = 16

func (c *chains) next5(pos int) int { return int(c.link5[uint16(pos)]) }

// A match longer than n is in the chain of any five of its first n+1 bytes. So
// next and long go through that of some which has the widest step first; that
// seems to be the shortest. Chains of bytes among the first n are those of a
// match found as well, so they start there.

// next returns the nearest match behind dist that is longer than length, which
// is 4 to 6, or else length and dist.
func (z *lazy) next(pos, low, length, dist int) (int, int) {
	buf := z.buf
	unequal := uint(7-length) * 8
	from, ahead := pos-dist, 0
	first := z.next5(from) + dist
	if length > 4 {
		if d := z.next5(pos + length - 4); d > first {
			first, ahead = d, length-4
		}
		if length == 6 {
			if d := z.next5(from+1) + dist; d > first {
				first, ahead = d, 1
			}
		}
	}
	v, c := buf.load(pos), pos-first
	for range patience {
		if c < low {
			return length, dist
		}
		x := v ^ buf.load(c)
		if x<<(unequal&63) == 0 {
			if z.tooFar(pos, c) {
				return length, dist
			}
			return buf.matchFrom(x, pos, c), pos - c
		}
		c -= z.next5(c + ahead)
	}
	// Most of the chain is not equal at pos, so nothing says where it may end.
	return z.walk(pos, low, length, dist)
}

// long is onward for a length of 7 or more.
func (z *lazy) long(pos, low, length, dist int) (int, int) {
	for length < z.params.nice {
		n, d := z.nextLong(pos, low, length, dist)
		if n == length {
			break
		}
		length, dist = n, d
	}
	return length, dist
}

// nextLong is next for a length of 7 or more.
func (z *lazy) nextLong(pos, low, length, dist int) (int, int) {
	buf := z.buf
	from, ahead, third := pos-dist, 0, (length-4)/3
	first := z.next5(from)
	if d := z.next5(from + third); d > first {
		first, ahead = d, third
	}
	if d := z.next5(from + 2*third); d > first {
		first, ahead = d, 2*third
	}
	first += dist
	if d := z.next5(pos + length - 4); d > first {
		first, ahead = d, length-4
	}
	x, end := buf.load(pos), buf.load(pos+length-7)
	for c, steps := pos-first, 1; c >= low; steps++ {
		if buf.load(c+length-7) == end && buf.load(c) == x {
			if n := buf.matchLen(pos, c); n > length {
				if z.tooFar(pos, c) {
					return length, dist
				}
				return n, pos - c
			}
		}
		if steps%patience == 0 {
			// The original's candidates end where it gives up.
			switch {
			case ahead > 0:
				ahead, c = 0, from
			case uint32(x) != uint32(buf.load(c)):
				return z.walk(pos, low, length, dist)
			case z.tooFar(pos, c):
				return length, dist
			}
		}
		c -= z.next5(c + ahead)
	}
	return length, dist
}

// walk searches as the original does for a match longer than length, or else
// returns length and dist.
func (z *lazy) walk(pos, low, length, dist int) (int, int) {
	buf, v, c := z.buf, z.buf.load(pos), pos
	for range z.params.chain {
		d := int(z.link4[uint16(c)])
		c -= d
		if c < low || d == 0 {
			break
		}
		if n := buf.matchFrom(v^buf.load(c), pos, c); n > length {
			length, dist = n, pos-c
			if n >= z.params.nice {
				break
			}
		}
	}
	return length, dist
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
