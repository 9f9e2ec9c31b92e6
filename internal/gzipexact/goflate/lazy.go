package goflate

import (
	"encoding/binary"

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
	chain4  chain4
	chain5  chain5
	chain8  chain8
}

const (
	bits5 = 17
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
	z.pos, z.entered = 0, 0
	z.length, z.dist, z.waiting = 3, 0, false
	z.window.reset()
}

func (z *lazy) write(p []byte) {
	for len(p) > 0 {
		if z.end == bufSize {
			by := z.makeRoom()
			z.pos -= by
			z.entered -= by
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
	from := z.entered
	if to <= from {
		return
	}
	// All three at once: their tables' cache misses overlap.
	buf, c4, c5, c8 := z.buf, &z.chain4, &z.chain5, &z.chain8
	for pos := from; pos < to; pos++ {
		v, at := buf.load(pos), uint16(pos)
		h8, h5 := &c8.head[hash8(v)], &c5.head[hash5(v)]
		far := z.origin + uint32(pos)
		c8.link[at], c5.link[at] = uint16(min(far-*h8, none)), uint16(min(far-*h5, none))
		*h8, *h5 = far, far
		c4.enterOne(uint32(v), at)
	}
	z.entered = to
}

// parse makes tokens as long as at least ahead bytes follow.
func (z *lazy) parse(ahead int) {
	pos := z.pos
	for z.end-pos >= ahead {
		if z.entered < pos+deflate.MaxMatch-4 {
			z.enter(min(pos+enterAhead, z.end-8))
			if pos >= z.entered {
				z.enterTail()
			}
		}
		z.slide(pos)
		length, dist := 3, 0
		if z.length < z.params.lazy {
			length, dist = z.search(pos)
		}
		if z.length >= 4 && length <= z.length {
			z.tokens = append(z.tokens, deflate.Match(z.length, z.dist))
			pos += z.length - 1
			z.length, z.waiting = 3, false
		} else {
			if z.waiting {
				z.tokens = append(z.tokens, deflate.Literal(z.buf[pos-1]))
			}
			if len(z.tokens) == blockTokens {
				z.flushAt(pos)
			}
			z.length, z.dist, z.waiting = length, dist, true
			pos++
			continue
		}
		if len(z.tokens) == blockTokens {
			z.flushAt(pos)
		}
	}
	z.pos = pos
}

// enterTail enters the content's last positions that a search starts from.
func (z *lazy) enterTail() {
	for pos := z.entered; pos+4 <= z.end; pos++ {
		z.chain4.enterOne(binary.LittleEndian.Uint32(z.buf[pos:]), uint16(pos))
	}
	z.entered = z.end
}

// searchTail searches close to the end, step by step.
func (z *lazy) searchTail(pos int) (length, dist int) {
	length, dist = chainSearch(z.buf[:], pos, searchLimits{
		longest: min(deflate.MaxMatch, z.end-pos),
		reach:   min(deflate.Window, pos-z.base),
		nice:    z.params.nice,
		tries:   z.params.chain,
	}, func(dist int) int {
		next := int(z.chain4.link[uint16(pos-dist)])
		if next == 0 {
			return deflate.Window + 1
		}
		return dist + next
	})
	return max(3, length), dist
}
