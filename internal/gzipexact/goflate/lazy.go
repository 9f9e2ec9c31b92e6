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
// of n bytes is in the chain of equal hashes of any five bytes of it. What must
// still be known is whether the original would have come as far as that
// candidate: every position carries its rank in its four-byte chain, and the
// difference of two ranks is the number of steps between them.
type lazy struct {
	window
	pos    int
	params lazyParams
	length int // of the match at pos-1 that waits, or 3
	dist   int

	entered int // positions below are in the chains
	chains
}

const (
	// enterAhead is how far chains run ahead of the search.
	enterAhead = 8 << 10
	// searchAhead is how far in front of it a search looks at chains.
	searchAhead = deflate.MaxMatch - 5
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
	z.length, z.dist = 3, 0
	if z.window.reset() {
		z.forget()
	}
}

func (z *lazy) write(p []byte) {
	for len(p) > 0 {
		if z.end == bufSize {
			by := z.makeRoom()
			z.pos -= by
			z.entered -= by
			if from := z.origin; z.window.renumber() {
				z.chains.renumber(from, z.origin)
			}
		}
		p = p[z.fill(p):]
		z.parse()
	}
}

func (z *lazy) drain() {
	z.parseTail()
	if len(z.tokens) > 0 {
		z.flushAt(z.pos)
	}
	z.reset()
}

// parse makes tokens as long as enough bytes follow.
func (z *lazy) parse() {
	for z.end-z.pos >= lookAhead {
		if z.entered <= z.pos+searchAhead {
			to := min(z.pos+enterAhead, z.end-8)
			z.enter(z.buf, z.origin, z.entered, to)
			z.entered = to
		}
		z.slide(z.pos)
		z.parseTo(min(z.entered-searchAhead, z.base+slideWhen+1, z.end-lookAhead+1))
	}
}

// parseTo makes tokens by searches at positions below stop.
func (z *lazy) parseTo(stop int) {
	pos, length, dist := z.pos, z.length, z.dist
	buf, tokens, n := z.buf, (*[blockTokens + tokensPad]deflate.Token)(z.tokens[:blockTokens+tokensPad]), len(z.tokens)
	for pos < stop {
		if n == blockTokens {
			n = z.flushTokens(n, pos)
		}
		if length < 4 {
			to := z.chance(pos, min(stop, pos+blockTokens-n))
			for literals(tokens, n, buf, pos); pos < to-tokensPad; literals(tokens, n, buf, pos) {
				pos, n = pos+tokensPad, n+tokensPad
			}
			pos, n = to, n+to-pos
			if pos == stop || n == blockTokens {
				continue
			}
			if length, dist = z.search(pos); length < 4 {
				tokens[n&(blockTokens-1)] = deflate.Literal(buf[pos&(bufSize-1)])
				n++
			}
			pos++
			continue
		}
		if length < z.params.lazy {
			if l, d := z.longer(pos, length); l > length {
				tokens[n&(blockTokens-1)] = deflate.Literal(buf[pos-1])
				n++
				length, dist = l, d
				if n == blockTokens {
					n = z.flushTokens(n, pos)
				}
				pos++
				continue
			}
		}
		tokens[n&(blockTokens-1)] = deflate.Match(length, dist)
		n++
		pos += length - 1
		length = 3
		if n == blockTokens {
			n = z.flushTokens(n, pos)
		}
	}
	z.pos, z.length, z.dist, z.tokens = pos, length, dist, z.tokens[:n]
}

// literals makes tokens of the tokensPad bytes at pos, whether they are all
// needed or not: the processor cannot guess how many are.
func literals(tokens *[blockTokens + tokensPad]deflate.Token, n int, buf *content, pos int) {
	i, j := n&(blockTokens-1), pos&(bufSize-1)
	to, b := tokens[i:i+8], buf[j:j+8]
	to[0], to[1], to[2], to[3] = deflate.Literal(b[0]), deflate.Literal(b[1]), deflate.Literal(b[2]), deflate.Literal(b[3])
	to[4], to[5], to[6], to[7] = deflate.Literal(b[4]), deflate.Literal(b[5]), deflate.Literal(b[6]), deflate.Literal(b[7])
}

// flushTokens writes n tokens as a block whose content ends at pos, and returns
// how many are left: none.
func (z *lazy) flushTokens(n, pos int) int {
	z.tokens = z.tokens[:n]
	z.flushAt(pos)
	return 0
}

// parseTail makes the last tokens.
func (z *lazy) parseTail() {
	for pos := z.entered; pos+4 <= z.end; pos++ {
		z.enter4(binary.LittleEndian.Uint32(z.buf[pos:]), z.origin+uint32(pos))
	}
	z.entered = z.end
	for z.pos < z.end {
		z.slide(z.pos)
		z.flushFull()
		length, dist := 3, 0
		if z.length < z.params.lazy {
			length, dist = z.searchTail(z.pos)
		}
		z.step(length, dist)
	}
}

// step makes the next token, if any, of what a search at z.pos has found.
func (z *lazy) step(length, dist int) {
	pos := z.pos
	switch {
	case z.length < 4:
		if length < 4 {
			z.tokens = append(z.tokens, deflate.Literal(z.buf[pos]))
		}
		z.pos++
	case length > z.length:
		z.tokens = append(z.tokens, deflate.Literal(z.buf[pos-1]))
		z.flushFull()
		z.pos++
	default:
		z.tokens = append(z.tokens, deflate.Match(z.length, z.dist))
		z.pos += z.length - 1
		length = 3
		z.flushFull()
	}
	z.length, z.dist = length, dist
}

// flushFull writes a block that is full and whose content ends at z.pos.
func (z *lazy) flushFull() {
	if len(z.tokens) == blockTokens {
		z.flushAt(z.pos)
	}
}

// searchTail searches close to the end, step by step.
func (z *lazy) searchTail(pos int) (length, dist int) {
	length, dist = chainSearch(z.buf[:], pos, searchLimits{
		longest: min(deflate.MaxMatch, z.end-pos),
		reach:   min(deflate.Window, pos-z.base),
		nice:    z.params.nice,
		tries:   z.params.chain,
	}, func(dist int) int {
		next := int(z.link4[uint16(pos-dist)])
		if next == 0 {
			return deflate.Window + 1
		}
		return dist + next
	})
	return max(3, length), dist
}
