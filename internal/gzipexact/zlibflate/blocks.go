package zlibflate

import "airlock/internal/gzipexact/deflate"

// A blocks turns tokens into blocks of the kind that zlib takes for the
// smallest.
type blocks struct {
	deflate.Writer

	lit, dist, lens   tree
	fixedLit, fixDist *deflate.Code
	litFreq           [deflate.MaxLitLen]int32
	distFreq          [deflate.MaxDist]int32
	lenFreq           [numLens]int32
	runs              []run
	numLens           int // lengths of the code length code that are sent
}

// A run is a symbol of the code length code and its extra bits.
type run struct{ sym, extra uint8 }

func newBlocks() *blocks {
	b := &blocks{fixedLit: deflate.FixedLitLen(), fixDist: deflate.FixedDist()}
	b.lit.limit, b.lit.extra = maxBits, litExtra
	b.dist.limit, b.dist.extra = maxBits, deflate.DistExtra
	b.lens.limit, b.lens.extra = maxLenBits, lenExtra
	return b
}

// write writes tokens as a block; raw is their content, or nil if the original
// does not have it any more.
func (b *blocks) write(tokens []deflate.Token, raw []byte, last bool) {
	clear(b.litFreq[:])
	clear(b.distFreq[:])
	deflate.Histogram(tokens, &b.litFreq, &b.distFreq)
	b.litFreq[deflate.EndBlock]++
	b.lit.build(b.litFreq[:])
	b.dist.build(b.distFreq[:])
	b.describe()
	dynamic := (b.lit.bits + b.dist.bits + b.lens.bits + 3*b.numLens + 5 + 5 + 4 + 3 + 7) / 8
	fixed := (b.fixedBits() + 3 + 7) / 8
	final := uint64(0)
	if last {
		final = 1
	}
	switch best := min(dynamic, fixed); {
	case raw != nil && len(raw)+4 <= best:
		b.StoredBlock(raw, last)
		return
	case fixed == best:
		b.Bits(final|1<<1, 3)
		b.Tokens(tokens, b.fixedLit, b.fixDist)
		b.Symbol(b.fixedLit, deflate.EndBlock)
	default:
		b.Bits(final|2<<1, 3)
		b.sendLengths()
		b.Tokens(tokens, &b.lit.code, &b.dist.code)
		b.Symbol(&b.lit.code, deflate.EndBlock)
	}
	if last {
		b.Align()
	}
}

// fixedBits returns what the counted symbols take with the fixed codes.
func (b *blocks) fixedBits() int {
	n := 0
	for sym, f := range b.litFreq {
		n += int(f) * (int(b.fixedLit.Len[sym]) + litExtra(sym))
	}
	for sym, f := range b.distFreq {
		n += int(f) * (5 + deflate.DistExtra(sym))
	}
	return n
}

// describe puts the lengths of both codes, each by itself, into runs and
// builds the code for those.
func (b *blocks) describe() {
	b.runs = b.runs[:0]
	clear(b.lenFreq[:])
	b.scan(b.lit.code.Len[:b.lit.max+1])
	b.scan(b.dist.code.Len[:b.dist.max+1])
	b.lens.build(b.lenFreq[:])
	b.numLens = numLens
	for b.numLens > 4 && b.lens.code.Len[deflate.CodegenOrder(b.numLens-1)] == 0 {
		b.numLens--
	}
}

// scan adds the runs of lengths. A run starts with its length, unless that is
// zero or the one before; what is too short to be repeated is sent singly, and
// a run is cut where a repeat is full.
func (b *blocks) scan(lengths []uint8) {
	last := -1
	for i := 0; i < len(lengths); {
		l := int(lengths[i])
		most, least := 7, 4 // the length and six repeats, at least three
		switch {
		case l == 0:
			most, least = 138, 3
		case l == last:
			most, least = 6, 3
		}
		n := 1
		for n < most && i+n < len(lengths) && int(lengths[i+n]) == l {
			n++
		}
		i += n
		switch {
		case n < least:
			for range n {
				b.add(l, 0)
			}
		case l != 0:
			if l != last {
				b.add(l, 0)
				n--
			}
			b.add(repeatLast, n-3)
		case n <= 10:
			b.add(repeatZero, n-3)
		default:
			b.add(repeatZeros, n-11)
		}
		last = l
	}
}

func (b *blocks) add(sym, extra int) {
	b.runs = append(b.runs, run{uint8(sym), uint8(extra)})
	b.lenFreq[sym]++
}

func (b *blocks) sendLengths() {
	b.Bits(uint64(b.lit.max+1-257), 5)
	b.Bits(uint64(b.dist.max+1-1), 5)
	b.Bits(uint64(b.numLens-4), 4)
	for i := range b.numLens {
		b.Bits(uint64(b.lens.code.Len[deflate.CodegenOrder(i)]), 3)
	}
	for _, r := range b.runs {
		b.Symbol(&b.lens.code, int(r.sym))
		if n := lenExtra(int(r.sym)); n > 0 {
			b.Bits(uint64(r.extra), uint(n))
		}
	}
}
