package goflate

import (
	"encoding/binary"
	"math/bits"

	"airlock/internal/gzipexact/deflate"
)

// A lazy is levels 4 to 9: a match is taken only if the next position has no
// longer one.
//
// The original looks at the last candidates, up to a number, whose first four
// bytes have the same hash, and takes the longest match, the nearest of equal
// ones, or the first of a length it calls nice. It enters every position. So
// the outcome of a search depends only on the content before it, and the
// candidates that could win can be found without visiting the others: a match
// of eight bytes is in the chain of equal hashes of eight bytes. What must
// still be known is whether the original would have come as far as that
// candidate: every position carries its rank in its four-byte chain, and the
// difference of two ranks is the number of steps between them.
type lazy struct {
	window
	pos     int
	params  lazyParams
	length  int // of the match at pos-1 that waits, or 3
	dist    int
	waiting bool // the byte at pos-1 is not yet a token

	entered int // positions below are in the chains
	head4   [1 << hashBits]uint32
	head5   [1 << bits5]uint32
	head8   [1 << bits8]uint32
	link4   [period]uint32 // distance to the candidate before | rank << 16
	link5   [period]uint16
	link8   [period]uint16
}

const (
	bits5 = 16
	bits8 = 16

	mul5 = 0x9E3779B185EBCA87
	mul8 = 0xC2B2AE3D27D4EB4F

	// enterAhead is how far chains run ahead of the search.
	enterAhead = 8 << 10
)

type lazyParams struct {
	lazy  int // a waiting match this long is taken without another search
	nice  int // a match this long ends a search
	chain int // candidates looked at
}

func paramsOf(level int) lazyParams {
	return map[int]lazyParams{
		4: {4, 16, 16}, 5: {16, 32, 32}, 6: {16, 128, 128},
		7: {32, 128, 256}, 8: {128, 258, 1024}, 9: {258, 258, 4096},
	}[level]
}

func newLazy(out *blocks, level int) *lazy {
	return &lazy{window: newWindow(out), params: paramsOf(level)}
}

func (z *lazy) reset() {
	z.window.reset()
	z.pos, z.entered = 0, 0
	z.length, z.dist, z.waiting = 3, 0, false
	clear(z.head4[:])
	clear(z.head5[:])
	clear(z.head8[:])
}

func (z *lazy) write(p []byte) {
	for len(p) > 0 {
		if z.end == bufSize {
			by := z.makeRoom()
			z.pos -= by
			z.entered -= by
			if z.origin >= rebaseAt {
				for _, t := range [][]uint32{z.head4[:], z.head5[:], z.head8[:]} {
					rebase(t, z.origin, farAway)
				}
				z.origin = farAway
			}
		}
		p = p[z.fill(p):]
		z.parse(lookAhead)
	}
}

func (z *lazy) drain() {
	z.parse(1)
	if z.waiting {
		z.tokens = append(z.tokens, deflate.Literal(z.buf[z.pos-1]))
	}
	if len(z.tokens) > 0 {
		z.flushAt(z.pos)
	}
	z.reset()
}

// enter puts the positions up to to, of which at least eight bytes are there,
// into the chains.
func (z *lazy) enter(to int) {
	for pos := z.entered; pos < to; pos++ {
		x := binary.LittleEndian.Uint64(z.buf[pos:])
		abs := z.origin + uint32(pos)
		at := uint16(pos)
		z.enter4(uint32(x), abs, at)

		h8 := x * mul8 >> (64 - bits8)
		d := abs - z.head8[h8]
		z.head8[h8] = abs
		if d > deflate.Window {
			d = 0
		}
		z.link8[at] = uint16(d)

		h5 := x << 24 * mul5 >> (64 - bits5)
		d = abs - z.head5[h5]
		z.head5[h5] = abs
		if d > deflate.Window {
			d = 0
		}
		z.link5[at] = uint16(d)
	}
	z.entered = max(z.entered, to)
}

func (z *lazy) enter4(v, abs uint32, at uint16) {
	h := hash4(v)
	d := abs - z.head4[h]
	z.head4[h] = abs
	rank := z.link4[uint16(uint32(at)-d)]&^0xffff + 1<<16
	if d > deflate.Window {
		d = 0
	}
	z.link4[at] = d | rank
}

// parse makes tokens as long as at least ahead bytes follow.
func (z *lazy) parse(ahead int) {
	for z.end-z.pos >= ahead {
		if z.pos >= z.entered {
			z.enter(min(z.pos+enterAhead, z.end-8))
			if z.pos >= z.entered {
				z.enterTail()
			}
		}
		z.slide(z.pos)
		length, dist := 3, 0
		look := z.end - z.pos
		if z.length < z.params.lazy && look > z.length {
			if look >= 16 {
				length, dist = z.search(look)
			} else {
				length, dist = z.searchTail(look)
			}
		}
		if z.length >= 4 && length <= z.length {
			z.tokens = append(z.tokens, deflate.Match(z.length, z.dist))
			z.pos += z.length - 1
			z.length, z.waiting = 3, false
			if len(z.tokens) == blockTokens {
				z.flushAt(z.pos)
			}
			continue
		}
		if z.waiting {
			z.tokens = append(z.tokens, deflate.Literal(z.buf[z.pos-1]))
			if len(z.tokens) == blockTokens {
				z.flushAt(z.pos)
			}
		}
		z.length, z.dist, z.waiting = length, dist, true
		z.pos++
	}
}

// enterTail enters the content's last positions that a search starts from.
func (z *lazy) enterTail() {
	for pos := z.entered; pos+4 <= z.end; pos++ {
		z.enter4(binary.LittleEndian.Uint32(z.buf[pos:]), z.origin+uint32(pos), uint16(pos))
	}
	z.entered = z.end
}

// searchTail searches close to the end, step by step.
func (z *lazy) searchTail(look int) (length, dist int) {
	length, dist = chainSearch(z.buf, z.pos, searchLimits{
		longest: min(deflate.MaxMatch, look),
		reach:   min(deflate.Window, z.pos-z.base),
		nice:    z.params.nice,
		tries:   z.params.chain,
	}, func(dist int) int {
		next := int(z.link4[uint16(z.pos-dist)] & 0xffff)
		if next == 0 {
			return deflate.Window + 1
		}
		return dist + next
	})
	return max(3, length), dist
}

// search returns the match that the original finds at pos if it is longer
// than the one that waits, or else a length that is not.
func (z *lazy) search(look int) (length, dist int) {
	buf, pos := z.buf, z.pos
	x := binary.LittleEndian.Uint64(buf[pos:])
	low := pos - min(deflate.Window, pos-z.base) // no candidate lies below
	best := z.length
	chain := uint32(z.params.chain) << 16
	rank := z.link4[uint16(pos)]

	// Eight bytes and more.
	longest := min(deflate.MaxMatch, look)
	nice := min(z.params.nice, longest)
	at := uint16(pos)
	c := pos
	steps := 0
	for {
		d := int(z.link8[at])
		c -= d
		if d == 0 || c < low {
			break
		}
		at = uint16(c)
		steps++
		if best >= 8 && binary.LittleEndian.Uint64(buf[c+best-7:]) != binary.LittleEndian.Uint64(buf[pos+best-7:]) {
			if steps&31 == 0 && uint32(x) == binary.LittleEndian.Uint32(buf[c:]) && rank&^0xffff-z.link4[at]&^0xffff > chain {
				break
			}
			continue
		}
		if x != binary.LittleEndian.Uint64(buf[c:]) {
			continue
		}
		n := 8 + matchLen(buf, pos+8, c+8, pos+longest)
		if n <= best {
			continue
		}
		if rank&^0xffff-z.link4[at]&^0xffff > chain {
			break
		}
		best, dist = n, pos-c
		if n >= nice {
			break
		}
	}
	if best >= 7 {
		return best, dist
	}

	// Five to seven.
	at, c = uint16(pos), pos
	steps = 0
	for {
		d := int(z.link5[at])
		c -= d
		if d == 0 || c < low {
			break
		}
		at = uint16(c)
		n := bits.TrailingZeros64(x^binary.LittleEndian.Uint64(buf[c:])) >> 3
		steps++
		if n <= best {
			if steps&31 == 0 && n >= 4 && rank&^0xffff-z.link4[at]&^0xffff > chain {
				break
			}
			continue
		}
		if n >= 8 || rank&^0xffff-z.link4[at]&^0xffff > chain {
			break
		}
		best, dist = n, pos-c
		if n == 7 {
			break
		}
	}
	if best >= 4 {
		return best, dist
	}

	// Four, near enough.
	at, c = uint16(pos), pos
	low = max(low, pos-nearEnough)
	for range z.params.chain {
		d := int(z.link4[at] & 0xffff)
		c -= d
		if d == 0 || c < low {
			break
		}
		if uint32(x) == binary.LittleEndian.Uint32(buf[c:]) {
			return 4, pos - c
		}
		at = uint16(c)
	}
	return best, dist
}
