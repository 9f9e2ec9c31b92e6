package kpflate

import (
	"math"

	"airlock/internal/gzipexact/deflate"
)

const (
	// penalty is the shift by which a new code is made to look dearer.
	penalty = 7
	// fewTokens is up to how many tokens the fixed codes are considered.
	fewTokens = 250
	// guessedHeader is the size in bits assumed of a code without matches.
	guessedHeader = 70 * 8
)

// A blocks writes blocks. It keeps a block open as long as its codes serve for
// the next one too.
type blocks struct {
	deflate.Writer
	era Era

	lit, spare *deflate.Code // the open block's code, and one to build another
	dist       *deflate.Code
	fixedLit   *deflate.Code
	fixedDist  *deflate.Code
	oneDist    deflate.Code
	header     deflate.Header
	litFreq    [deflate.MaxLitLen]int32
	distFreq   [deflate.MaxDist]int32

	// open is the size in bits of the open block's header, or 0.
	open int
	// noMatches says that the open block's code has no lengths.
	noMatches bool
}

func newBlocks(era Era) *blocks {
	b := &blocks{
		era: era, lit: new(deflate.Code), spare: new(deflate.Code), dist: new(deflate.Code),
		fixedLit: deflate.FixedLitLen(), fixedDist: deflate.FixedDist(),
	}
	b.oneDist.Build([]int32{1}, 15)
	return b
}

// end ends the open block.
func (b *blocks) end() {
	if b.open > 0 {
		b.Symbol(b.lit, deflate.EndBlock)
		b.open = 0
	}
}

func (b *blocks) stored(raw []byte) {
	b.end()
	b.Stored(raw)
}

// count fills litFreq and distFreq and returns how many symbols of each a
// header describes.
func (b *blocks) count(tokens []deflate.Token, last bool) (numLit, numDist int) {
	clear(b.litFreq[:])
	clear(b.distFreq[:])
	deflate.Histogram(tokens, &b.litFreq, &b.distFreq)
	if b.era == Era1_15 && !last {
		// All symbols are described, and the end of the block is not counted
		// while the open block's code is compared.
		return deflate.MaxLitLen, deflate.MaxDist
	}
	b.litFreq[deflate.EndBlock] = 1
	numLit, numDist = deflate.MaxLitLen, deflate.MaxDist
	for b.litFreq[numLit-1] == 0 {
		numLit--
	}
	for numDist > 0 && b.distFreq[numDist-1] == 0 {
		numDist--
	}
	if numDist == 0 {
		b.distFreq[0], numDist = 1, 1
	}
	return numLit, numDist
}

// serves reports whether the open block has a code for every symbol counted.
func (b *blocks) serves() bool {
	for sym, f := range b.litFreq {
		if f != 0 && b.lit.Len[sym] == 0 {
			return false
		}
	}
	for sym, f := range b.distFreq {
		if f != 0 && b.dist.Len[sym] == 0 {
			return false
		}
	}
	return true
}

func (b *blocks) extraBits() int {
	n := 0
	for code, f := range b.litFreq[257:] {
		n += int(f) * deflate.LengthExtra(code)
	}
	for code, f := range b.distFreq {
		n += int(f) * deflate.DistExtra(code)
	}
	return n
}

func (b *blocks) size(lit, dist *deflate.Code) int {
	return lit.Size(b.litFreq[:]) + dist.Size(b.distFreq[:])
}

// matches writes the tokens of raw: with the open block's codes, as a block
// with the fixed or with new codes, or stored. last says that a flush follows.
func (b *blocks) matches(tokens []deflate.Token, raw []byte, last bool) {
	c := choice{tokens: tokens, raw: raw, count: len(tokens), stored: (len(raw) + 5) * 8}
	if last {
		c.count++ // the end of the block is a token too
	}
	if b.noMatches && b.open > 0 {
		b.end()
		b.noMatches = false
	}
	if b.open > 0 {
		clear(b.litFreq[:])
		clear(b.distFreq[:])
		deflate.Histogram(tokens, &b.litFreq, &b.distFreq)
		if !b.serves() {
			b.end()
		}
	}
	numLit, numDist := b.count(tokens, last)
	c.extra = b.extraBits()
	if b.open > 0 && b.reuse(c) {
		return
	}
	if b.open == 0 {
		b.litFreq[deflate.EndBlock] = 1
		b.lit.Build(b.litFreq[:], 15)
		b.dist.Build(b.distFreq[:], 15)
		b.header.Describe(b.lit, numLit, b.dist, numDist)
		if b.renew(c) {
			return
		}
	}
	b.Tokens(tokens, b.lit, b.dist)
	if last {
		b.end()
	}
}

// A choice is what decides about the kind of a block. Sizes are in bits.
type choice struct {
	tokens []deflate.Token
	raw    []byte
	count  int // of tokens
	extra  int // after the symbols
	stored int // as a stored block
}

// reuse decides what becomes of the open block: it ends it if new codes seem
// to be better, or writes the choice otherwise and reports true, or leaves it
// open for the tokens.
func (b *blocks) reuse(c choice) (done bool) {
	size := b.open + b.estimate(c.count)
	size += int(b.lit.Len[deflate.EndBlock]) + size>>penalty
	if reuse := b.size(b.lit, b.dist) + c.extra; size < reuse {
		b.end()
	} else {
		size = reuse
	}
	fixed := 3 + b.size(b.fixedLit, b.fixedDist) + c.extra + 7
	switch {
	case c.count < fewTokens && fixed < size:
		b.fixedOrStored(c.tokens, c.raw, c.stored <= size)
		return true
	case c.stored <= size:
		b.stored(c.raw)
		return true
	}
	return false
}

// renew opens a block with the codes just built, unless another kind is
// smaller: it writes that and reports true.
func (b *blocks) renew(c choice) (done bool) {
	size := b.header.Size() + b.size(b.lit, b.dist) + c.extra
	fixed := 3 + b.size(b.fixedLit, b.fixedDist) + c.extra
	switch {
	case c.count < fewTokens && fixed <= size:
		b.fixedOrStored(c.tokens, c.raw, c.stored <= fixed)
		return true
	case c.stored <= size:
		b.stored(c.raw)
		return true
	}
	b.WriteHeader(&b.header)
	b.open, b.noMatches = b.header.Size(), false
	return false
}

func (b *blocks) fixedOrStored(tokens []deflate.Token, raw []byte, stored bool) {
	if stored {
		b.stored(raw)
		return
	}
	b.end()
	b.Bits(1<<1, 3)
	b.Tokens(tokens, b.fixedLit, b.fixedDist)
	b.Symbol(b.fixedLit, deflate.EndBlock)
}

// estimate returns the size in bits of the symbols counted with a code made
// for them, from an approximation of the logarithm. Every product is rounded
// to 32 bits before it is added: the result is the same on all processors.
func (b *blocks) estimate(n int) int {
	var sum float32
	extra, matches := 0, 0
	inv := 1.0 / float32(n)
	for _, f := range b.litFreq[:256] {
		if f > 0 {
			sum += cost(f, inv)
		}
	}
	sum += 15 // for the end of the block
	for code, f := range b.litFreq[257:] {
		if f > 0 {
			sum += cost(f, inv)
			extra += deflate.LengthExtra(code) * int(f)
			matches += int(f)
		}
	}
	if matches > 0 {
		inv = 1.0 / float32(matches)
		for code, f := range b.distFreq {
			if f > 0 {
				sum += cost(f, inv)
				extra += deflate.DistExtra(code) * int(f)
			}
		}
	}
	return int(sum) + extra
}

func cost(f int32, inv float32) float32 {
	n := float32(f)
	return float32(min(max(-fastLog2(float32(n*inv)), 1), 15) * n)
}

// fastLog2 approximates the logarithm by the exponent and a parabola.
func fastLog2(v float32) float32 {
	u := math.Float32bits(v)
	log := float32(int32(u>>23&255) - 128)
	m := math.Float32frombits(u&^(255<<23) + 127<<23)
	p := float32(-0.34484843*m) + 2.02466578
	return log + (float32(p*m) - 0.67487759)
}

// literals writes raw without matches, or stored.
func (b *blocks) literals(raw []byte, last bool) {
	clear(b.litFreq[:])
	for _, c := range raw {
		b.litFreq[c]++
	}
	stored := (len(raw) + 5) * 8
	if len(raw) > 1024 && b.flat(len(raw)) {
		b.stored(raw)
		return
	}
	b.litFreq[deflate.EndBlock] = 1
	b.spare.Build(b.litFreq[:deflate.EndBlock+1], 15)
	size := b.spare.Size(b.litFreq[:deflate.EndBlock+1])
	if b.open == 0 {
		size += guessedHeader
	} else {
		size += b.open
	}
	size += size >> penalty
	if stored <= size {
		b.stored(raw)
		return
	}
	if b.open > 0 && size < b.reuseLiterals() {
		b.end()
	}
	if b.open == 0 {
		b.lit, b.spare = b.spare, b.lit
		b.header.Describe(b.lit, deflate.EndBlock+1, &b.oneDist, 1)
		b.WriteHeader(&b.header)
		b.noMatches = true
		b.open = b.header.Size()
	}
	b.Literals(raw, b.lit)
	if last {
		b.end()
		b.noMatches = false
	}
}

// flat reports whether the bytes counted are so evenly spread that no code
// can pay: the squared deviations add up to less than twice their number n.
func (b *blocks) flat(n int) bool {
	var sum int64 // times 256²
	for _, f := range b.litFreq[:256] {
		d := int64(f)*256 - int64(n)
		sum += d * d
	}
	return sum < int64(n)*2<<16
}

// reuseLiterals returns the size of the bytes counted with the open block's
// code, or a huge number if it lacks one of them.
func (b *blocks) reuseLiterals() int {
	n := 0
	for sym, f := range b.litFreq[:256] {
		if f != 0 && b.lit.Len[sym] == 0 {
			return math.MaxInt32
		}
		n += int(f) * int(b.lit.Len[sym])
	}
	return n
}
