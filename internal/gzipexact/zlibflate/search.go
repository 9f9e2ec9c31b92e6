package zlibflate

import (
	"math/bits"

	"airlock/internal/gzipexact/deflate"
)

// search returns the length and the distance of the match that the original
// finds at pos, starting from a candidate, if it is longer than least; or else
// a length that is not longer.
func (z *parser) search(first, least int) (length, dist int) {
	pos, best := z.pos, least
	chain := z.chain
	if least >= z.good && !z.fast {
		chain >>= 2
	}
	left := z.end - pos
	nice := z.nice
	if z.variant != GNU {
		nice = min(nice, left)
	}
	limit := max(0, pos-maxDist)
	head, tail := z.load(pos), uint16(z.load(pos+best-1))
	for c := first; ; {
		if uint16(z.load(c+best-1)) == tail {
			if n := z.matchLen(head, pos, c); n > best {
				best, dist = n, pos-c
				if n >= nice {
					break
				}
				tail = uint16(z.load(pos + best - 1))
			}
		}
		c = int(z.prev[c&(half-1)])
		if chain--; c <= limit || chain == 0 {
			break
		}
	}
	return min(best, left), dist
}

// matchLen returns how many bytes from c on equal those from pos on, at most
// deflate.MaxMatch, be they content or not. head is the first eight of them.
func (z *parser) matchLen(head uint64, pos, c int) int {
	if x := head ^ z.load(c); x != 0 {
		return bits.TrailingZeros64(x) >> 3
	}
	for n := 8; n < deflate.MaxMatch; n += 8 {
		if x := z.load(pos+n) ^ z.load(c+n); x != 0 {
			return min(n+bits.TrailingZeros64(x)>>3, deflate.MaxMatch)
		}
	}
	return deflate.MaxMatch
}
