package zlibflate

import (
	"encoding/binary"

	"airlock/internal/gzipexact/deflate"
)

const (
	// lookAhead is how many bytes must follow a search, the end excepted.
	lookAhead = deflate.MaxMatch + minMatch + 1
	// maxDist is the largest distance of a match.
	maxDist  = half - lookAhead
	minMatch = deflate.MinMatch

	half = deflate.Window
	full = 2 * half
	pad  = deflate.MaxMatch + 8 // readable bytes behind the window

	// tooFar is beyond which distance a match of three bytes is not taken.
	tooFar = 4096

	maxHash = 1 << 16
)

// A parser turns content into tokens.
//
// All positions are relative to the window, which holds 64 KiB and moves down by
// half once a search stands close to its end, as the originals' does: what has
// been behind it cannot be matched, nor can its first byte, and a block that
// started there cannot be stored.
type parser struct {
	variant Variant
	fast    bool
	config
	divider
	emit func(tokens []deflate.Token, raw []byte, last bool)

	buf   [full + pad]byte
	end   int // of the content
	pos   int // of the next search
	block int // where the tokens start; below 0 they cannot be stored
	eof   bool

	waiting      bool // the byte at pos-1 is not yet a token
	length, dist int  // of the match at pos-1 that waits, or 2
	behind       int  // positions before pos that are not yet entered

	shift, mask uint32
	head        [maxHash]uint16 // the last position with a hash, or 0
	prev        [half]uint16    // the one before, by position modulo 32 KiB
}

func newParser(v Variant, level int) *parser {
	z := &parser{variant: v, fast: level <= lastFast, config: levels[level], shift: 5, mask: 1<<15 - 1}
	if v == Zlib9 {
		z.shift, z.mask = 6, 1<<16-1
	}
	z.divider = newDivider(v, level)
	return z
}

func (z *parser) reset() {
	clear(z.head[:])
	clear(z.buf[:])
	z.end, z.pos, z.block, z.eof = 0, 0, 0, false
	z.waiting, z.length, z.dist, z.behind = false, minMatch-1, 0, 0
	z.divider.reset()
}

// preset takes dict as content that came before.
func (z *parser) preset(dict []byte) {
	z.end = copy(z.buf[:half], dict)
	z.pos, z.block = z.end, z.end
	z.behind = min(z.end, minMatch-1)
	for pos := range max(0, z.end-z.behind) {
		z.enter(pos)
	}
}

func (z *parser) hash(pos int) uint32 {
	v := z.load(pos)
	return (uint32(v)&0xff<<(2*z.shift) ^ uint32(v>>8)&0xff<<z.shift ^ uint32(v>>16)&0xff) & z.mask
}

// enter puts a position into its chain and returns the one before.
func (z *parser) enter(pos int) int {
	h := &z.head[z.hash(pos)&(maxHash-1)]
	last := *h
	z.prev[pos&(half-1)] = last
	*h = uint16(pos)
	return int(last)
}

func (z *parser) load(pos int) uint64 {
	i := pos & (full - 1)
	return binary.LittleEndian.Uint64(z.buf[i : i+8])
}

// slide moves the window down if the next search stands close to its end.
func (z *parser) slide() {
	if z.end-z.pos >= lookAhead || z.pos < half+maxDist {
		return
	}
	copy(z.buf[:half], z.buf[half:full])
	z.pos -= half
	z.end -= half
	z.block -= half
	z.behind = min(z.behind, z.pos)
	down(z.head[:z.mask+1])
	down(z.prev[:])
}

func down(table []uint16) {
	for i, v := range table {
		table[i] = v - min(v, half)
	}
}

func (z *parser) write(p []byte) {
	for len(p) > 0 {
		if z.end == full {
			z.parse(lookAhead)
		}
		z.slide()
		n := copy(z.buf[z.end:full], p)
		z.end += n
		p = p[n:]
	}
}

// drain makes tokens of all content.
func (z *parser) drain() {
	z.parse(lookAhead)
	z.refill()
	z.parse(1)
	if z.variant != GNU {
		z.slide()
	}
	if z.waiting {
		z.add(deflate.Literal(z.buf[z.pos-1]))
		z.waiting = false
	}
	z.behind = min(z.pos, minMatch-1)
}

// refill is what the originals do where too little follows a search and there
// is no more content. GNU gzip does it once.
func (z *parser) refill() {
	if z.eof {
		return
	}
	z.slide()
	if z.variant == GNU {
		z.eof = true
		clear(z.buf[z.end : z.end+minMatch-1])
	}
}

// catchUp enters positions that lacked bytes when they were passed.
func (z *parser) catchUp() {
	for z.behind > 0 && z.pos-z.behind+minMatch <= z.end {
		z.enter(z.pos - z.behind)
		z.behind--
	}
}

// parse makes tokens as long as at least ahead bytes follow.
func (z *parser) parse(ahead int) {
	if z.behind > 0 {
		z.catchUp()
	}
	if z.fast {
		z.parseFast(ahead)
	} else {
		z.parseLazy(ahead)
	}
}

// parseLazy takes a match only if the next position has no longer one.
func (z *parser) parseLazy(ahead int) {
	for z.end-z.pos >= ahead {
		if ahead < lookAhead && z.variant != GNU {
			z.slide()
		}
		first := 0
		if z.enterable(z.pos) {
			first = z.enter(z.pos)
		}
		length, dist := minMatch-1, 0
		if first != 0 && z.length < z.lazy && z.searchable(first) {
			length, dist = z.search(first, z.length)
			if length == minMatch && dist > tooFar {
				length = minMatch - 1
			}
		}
		switch {
		case z.length >= minMatch && length <= z.length:
			ends := z.add(deflate.Match(z.length, z.dist))
			z.enterAll(z.pos+1, z.pos+z.length-1)
			z.pos += z.length - 1
			z.waiting, z.length = false, minMatch-1
			if ends {
				z.flush(false)
			}
		case z.waiting:
			if z.add(deflate.Literal(z.buf[z.pos-1])) {
				z.flush(false)
			}
			z.pos++
			z.length, z.dist = length, dist
		default:
			z.pos++
			z.waiting, z.length, z.dist = true, length, dist
		}
	}
}

// parseFast takes the match that it finds.
func (z *parser) parseFast(ahead int) {
	for z.end-z.pos >= ahead {
		if ahead < lookAhead && z.variant != GNU {
			z.slide()
		}
		first := 0
		if z.enterable(z.pos) {
			first = z.enter(z.pos)
		}
		length, dist := 0, 0
		if first != 0 && z.searchable(first) {
			length, dist = z.search(first, minMatch-1)
		}
		var ends bool
		if length >= minMatch {
			ends = z.add(deflate.Match(length, dist))
			if length <= z.lazy && (z.variant == GNU || z.end-z.pos-length >= minMatch) {
				z.enterAll(z.pos+1, z.pos+length)
			}
			z.pos += length
		} else {
			ends = z.add(deflate.Literal(z.buf[z.pos]))
			z.pos++
		}
		if ends {
			z.flush(false)
		}
	}
}

// enterable reports whether the original enters a position. GNU gzip does not
// mind that the end is near.
func (z *parser) enterable(pos int) bool {
	return pos+minMatch <= z.end || z.variant == GNU
}

// enterAll enters the positions from from to below to, as far as the original
// does.
func (z *parser) enterAll(from, to int) {
	if z.variant != GNU {
		to = min(to, z.end-minMatch+1)
	}
	for pos := from; pos < to; pos++ {
		z.enter(pos)
	}
}

// searchable reports whether the original looks at a candidate.
func (z *parser) searchable(first int) bool {
	return z.pos-first <= maxDist && z.pos <= full-lookAhead
}

// flush writes the tokens, whose content ends at pos (at pos, too, while a byte
// before pos waits), as a block.
func (z *parser) flush(last bool) {
	end := z.block + z.content
	var raw []byte
	if z.block >= 0 {
		raw = z.buf[z.block:end]
	}
	z.emit(z.tokens, raw, last)
	z.block = end
	z.divider.reset()
}
