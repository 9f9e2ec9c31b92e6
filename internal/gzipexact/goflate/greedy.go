package goflate

import (
	"encoding/binary"

	"airlock/internal/gzipexact/deflate"
)

const hashBits = 17

// A greedy is levels 2 and 3: the longest of a few candidates is taken at
// once, and the inside of a long match is never a candidate.
type greedy struct {
	window
	pos   int
	nice  int // a match this long ends a search
	chain int // candidates looked at
	skip  int // the inside of longer matches is not entered

	head [1 << hashBits]uint32
	prev [deflate.Window]uint32
}

func newGreedy(out *blocks, level int) *greedy {
	g := &greedy{window: newWindow(out), nice: 16, chain: 8, skip: 5}
	if level == 3 {
		g.nice, g.chain, g.skip = 32, 32, 6
	}
	return g
}

func (g *greedy) reset() {
	g.pos = 0
	if g.window.reset() {
		clear(g.head[:])
	}
}

func (g *greedy) write(p []byte) {
	for len(p) > 0 {
		if g.end == bufSize {
			g.pos -= g.makeRoom()
			if from := g.origin; g.renumber() {
				rebase(g.head[:], from, g.origin)
				rebase(g.prev[:], from, g.origin)
			}
		}
		p = p[g.fill(p):]
		g.parse(lookAhead)
	}
}

func (g *greedy) drain() {
	g.parse(1)
	if len(g.tokens) > 0 {
		g.flushAt(g.pos)
	}
	g.reset()
}

// enter makes pos a candidate for later searches and returns the last
// position with the same hash.
func (g *greedy) enter(pos int) uint32 {
	if pos+4 > g.end {
		return 0
	}
	at := &g.head[hash4(binary.LittleEndian.Uint32(g.buf[pos:]))]
	last := *at
	*at = g.origin + uint32(pos)
	g.prev[pos&(deflate.Window-1)] = last
	return last
}

// parse makes tokens as long as at least ahead bytes follow.
func (g *greedy) parse(ahead int) {
	for g.end-g.pos >= ahead {
		g.slide(g.pos)
		length, dist := g.search(g.enter(g.pos))
		if length == 0 {
			g.tokens = append(g.tokens, deflate.Literal(g.buf[g.pos]))
			length = 1
		} else {
			g.tokens = append(g.tokens, deflate.Match(length, dist))
			if length <= g.skip {
				for i := 1; i < length; i++ {
					g.enter(g.pos + i)
				}
			}
		}
		g.pos += length
		if len(g.tokens) == blockTokens {
			g.flushAt(g.pos)
		}
	}
}

// search returns the longest match at pos among the candidates from first on.
func (g *greedy) search(first uint32) (length, dist int) {
	return chainSearch(g.buf[:], g.pos, searchLimits{
		longest: min(deflate.MaxMatch, g.end-g.pos),
		reach:   min(deflate.Window, g.pos-g.base),
		nice:    g.nice,
		tries:   g.chain,
	}, func(dist int) int {
		if dist == 0 {
			return int(g.origin + uint32(g.pos) - first)
		}
		at := g.pos - dist
		return int(g.origin + uint32(g.pos) - g.prev[at&(deflate.Window-1)])
	})
}

type searchLimits struct{ longest, reach, nice, tries int }

// chainSearch returns the longest match at pos among the candidates of a
// chain, or 0. next returns the distance of the candidate that follows the one
// at a distance, the first for 0.
func chainSearch(buf []byte, pos int, l searchLimits, next func(int) int) (length, dist int) {
	if l.longest < 4 {
		return 0, 0
	}
	best := 3
	for d := next(0); d <= l.reach && l.tries > 0; l.tries-- {
		if n := matchLen(buf, pos, pos-d, pos+l.longest); n > best && (n > 4 || d <= nearEnough) {
			best, length, dist = n, n, d
			if n >= l.nice || n == l.longest {
				break
			}
		}
		d2 := next(d)
		if d == deflate.Window || d2 <= d {
			break
		}
		d = d2
	}
	return length, dist
}

// nearEnough is the distance up to which a match of four bytes counts.
const nearEnough = 4096
