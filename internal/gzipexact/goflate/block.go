package goflate

import "airlock/internal/gzipexact/deflate"

// blockTokens is the number of tokens in every block but a stream's last.
const blockTokens = 1 << 14

// A blocks turns tokens or bytes into blocks of the cheapest kind, by the
// encoder's own accounts of the cost, which are not always exact.
type blocks struct {
	deflate.Writer

	lit, dist deflate.Code
	fixedLit  *deflate.Code
	fixedDist *deflate.Code
	oneDist   deflate.Code // one distance symbol, for blocks without matches
	header    deflate.Header
	litFreq   [deflate.MaxLitLen]int32
	distFreq  [deflate.MaxDist]int32
}

func newBlocks() *blocks {
	b := &blocks{fixedLit: deflate.FixedLitLen(), fixedDist: deflate.FixedDist()}
	b.oneDist.Build([]int32{1}, 15)
	return b
}

// index counts the tokens, builds both codes and describes them.
func (b *blocks) index(tokens []deflate.Token) {
	clear(b.litFreq[:])
	clear(b.distFreq[:])
	deflate.Histogram(tokens, &b.litFreq, &b.distFreq)
	b.litFreq[deflate.EndBlock]++
	numLit, numDist := len(b.litFreq), len(b.distFreq)
	for b.litFreq[numLit-1] == 0 {
		numLit--
	}
	for numDist > 0 && b.distFreq[numDist-1] == 0 {
		numDist--
	}
	if numDist == 0 {
		// A dynamic block has at least one distance symbol.
		b.distFreq[0], numDist = 1, 1
	}
	b.lit.Build(b.litFreq[:], 15)
	b.dist.Build(b.distFreq[:], 15)
	b.header.Describe(&b.lit, numLit, &b.dist, numDist)
}

// extraBits returns the bits that follow the symbols counted.
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

// smallest writes the tokens as the smallest of a fixed, a dynamic and, where
// raw is not nil and fits, a stored block of raw. Between equals the earlier
// of these three wins.
func (b *blocks) smallest(tokens []deflate.Token, raw []byte) {
	b.index(tokens)
	extra := b.extraBits()
	size := 3 + b.fixedLit.Size(b.litFreq[:]) + b.fixedDist.Size(b.distFreq[:]) + extra
	dynamic := b.header.Size() + b.lit.Size(b.litFreq[:]) + b.dist.Size(b.distFreq[:]) + extra
	fixed := dynamic >= size
	if !fixed {
		size = dynamic
	}
	if raw != nil && len(raw) <= deflate.MaxStored && (len(raw)+5)*8 < size {
		b.Stored(raw)
		return
	}
	if fixed {
		b.Bits(1<<1, 3)
		b.Tokens(tokens, b.fixedLit, b.fixedDist)
		b.Symbol(b.fixedLit, deflate.EndBlock)
		return
	}
	b.WriteHeader(&b.header)
	b.Tokens(tokens, &b.lit, &b.dist)
	b.Symbol(&b.lit, deflate.EndBlock)
}

// dynamic writes the tokens of raw as a dynamic block, or raw as a stored one
// where that saves less than a sixteenth.
func (b *blocks) dynamic(tokens []deflate.Token, raw []byte) {
	b.index(tokens)
	// The extra bits are left out of the account.
	size := b.header.Size() + b.lit.Size(b.litFreq[:]) + b.dist.Size(b.distFreq[:])
	if b.storedPays(raw, size) {
		b.Stored(raw)
		return
	}
	b.WriteHeader(&b.header)
	b.Tokens(tokens, &b.lit, &b.dist)
	b.Symbol(&b.lit, deflate.EndBlock)
}

// literals writes raw as a dynamic block without matches, or stored where
// that saves less than a sixteenth.
func (b *blocks) literals(raw []byte) {
	clear(b.litFreq[:])
	for _, c := range raw {
		b.litFreq[c]++
	}
	b.litFreq[deflate.EndBlock] = 1
	b.lit.Build(b.litFreq[:], 15)
	b.header.Describe(&b.lit, deflate.EndBlock+1, &b.oneDist, 1)
	size := b.header.Size() + b.lit.Size(b.litFreq[:]) + 1
	if b.storedPays(raw, size) {
		b.Stored(raw)
		return
	}
	b.WriteHeader(&b.header)
	b.Literals(raw, &b.lit)
	b.Symbol(&b.lit, deflate.EndBlock)
}

func (b *blocks) storedPays(raw []byte, size int) bool {
	return len(raw) <= deflate.MaxStored && (len(raw)+5)*8 < size+size>>4
}
