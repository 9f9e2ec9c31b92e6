package deflate

import "math/bits"

const (
	maxCode  = 15 // bits of the longest code
	litBits  = 11 // that the first table of literals and lengths looks at
	distBits = 9  // that the one of distances looks at
)

// An entry is what a table says of a code:
//
//	bits 0-7    bits of the code and of what extends it
//	bits 8-11   bits of the code
//	bits 12-15  flags
//	bits 16-31  the literal, or the least length or distance, or where the
//	            second table begins
//
// Zero is the entry of what is no code, and has length or distance 0.
type entry uint32

const (
	literalEntry entry = 1 << 15
	furtherEntry entry = 1 << 14 // a second table, or the end of the block
	endEntry     entry = 1 << 13
)

func (e entry) literal() bool    { return e&literalEntry != 0 }
func (e entry) further() bool    { return e&furtherEntry != 0 }
func (e entry) endOfBlock() bool { return e&endEntry != 0 }
func (e entry) size() uint       { return uint(e & 63) }
func (e entry) codeSize() uint   { return uint(e >> 8 & 15) }
func (e entry) value() byte      { return byte(e >> 16) }
func (e entry) base() int        { return int(e >> 16) }

// extended returns the length or the distance, where acc begins with its code.
func (e entry) extended(acc uint64) int {
	return e.base() + int(acc&(1<<(e&63)-1)>>(e>>8&15))
}

// A litTable decodes literals and lengths, a distTable distances: by the next
// litBits or distBits bits, and where the code is longer by those behind them.
type (
	litTable  [1<<litBits + (MaxLitLen+2)<<(maxCode-litBits)]entry
	distTable [1<<distBits + 32<<(maxCode-distBits)]entry
)

// lookup returns the entry of the code that acc begins with.
func (t *litTable) lookup(acc uint64) entry { return lookup(t[:], litBits, acc) }

func (t *distTable) lookup(acc uint64) entry { return lookup(t[:], distBits, acc) }

func lookup(table []entry, width uint, acc uint64) entry {
	e := table[acc&(1<<width-1)]
	if e.further() && !e.endOfBlock() {
		e = table[uint64(e.base())+acc>>width&(1<<(maxCode-width)-1)]
	}
	return e
}

// litEntry and distEntry return what a table says of a symbol, but for the
// code.
func litEntry(sym int) entry {
	switch {
	case sym < EndBlock:
		return literalEntry | entry(sym)<<16
	case sym == EndBlock:
		return furtherEntry | endEntry
	case sym < MaxLitLen:
		return entry(lengthBase[sym-257]+MinMatch)<<16 | entry(lengthExtra[sym-257])
	}
	return 0 // has a fixed code, but no meaning
}

func distEntry(sym int) entry {
	if sym >= MaxDist {
		return 0
	}
	return entry(distBase[sym]+1)<<16 | entry(distExtra[sym])
}

// A codeTable is a table that is built.
type codeTable struct {
	entries []entry
	width   uint // bits that the first table looks at
	of      func(symbol int) entry
}

// build fills a table for symbols whose codes have these lengths. It reports
// false if those are no lengths of a prefix code. Only a code of one symbol, or
// none, may leave bits without meaning.
func (t codeTable) build(lengths []uint8) bool {
	var count, next [maxCode + 1]uint32
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	used, codes := 0, uint32(0)
	for l := 1; l <= maxCode; l++ {
		next[l] = (next[l-1] + count[l-1]) << 1
		used += int(count[l]) << (maxCode - l)
		codes += count[l]
	}
	if used != 1<<maxCode && (codes > 1 || codes == 1 && used != 1<<(maxCode-1)) {
		return false
	}
	clear(t.entries[:1<<t.width])
	free := 1 << t.width
	for sym, l := range lengths {
		if l > 0 {
			code := uint(bits.Reverse16(uint16(next[l])) >> (16 - l))
			next[l]++
			free = t.put(code, uint(l), free, sym)
		}
	}
	return true
}

// put enters a symbol. The second tables begin below free, which it returns.
func (t codeTable) put(code, size uint, free, sym int) int {
	e := t.of(sym)
	if e != 0 {
		e += entry(size) | entry(size)<<8
	}
	if size <= t.width {
		for i := code; i < 1<<t.width; i += 1 << size {
			t.entries[i] = e
		}
		return free
	}
	first := &t.entries[code&(1<<t.width-1)]
	room := 1 << (maxCode - t.width)
	if *first == 0 {
		*first = furtherEntry | entry(free)<<16
		free += room
	}
	second := t.entries[first.base() : first.base()+room]
	for i := code >> t.width; i < uint(room); i += 1 << (size - t.width) {
		second[i] = e
	}
	return free
}
