package gunzip

import mathbits "math/bits"

// An entry of a table says in its low byte how many bits a code has (below the
// root, how many of them are left), then how many extra bits follow, then what
// it is, and in its upper half the literal, or the least length or distance, or
// where the codes go on that begin so.
const (
	isLiteral = 1 << 12
	isEnd     = 1 << 13
	isTable   = 1 << 14 // the four bits of extra bits are how many its codes have at most
	isInvalid = 1 << 15
)

// Bits of a code that are looked up at once, and the entries that all codes of
// so many symbols and 15 bits need then, at most (zlib's examples/enough.c).
const (
	literalBits   = 11
	distanceBits  = 8
	maxLiterals   = 2342 // 288 symbols
	maxDistances  = 402  // 32 symbols
	maxCode       = 15
	lengthBits    = 7
	symbolLengths = 19
)

// codes are those of a block.
type codes struct {
	literals  [maxLiterals]uint32
	distances [maxDistances]uint32
	lengths   [320]uint8 // scratch
}

// lengthOrder is the order in which the lengths of the lengths' codes stand.
var lengthOrder = [symbolLengths]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// literalEntry returns what a literal or length symbol means (RFC 1951, section 3.2.5).
func literalEntry(symbol int) uint32 {
	switch {
	case symbol < 256:
		return uint32(symbol)<<16 | isLiteral
	case symbol == 256:
		return isEnd
	case symbol < 265:
		return uint32(symbol-257+3) << 16
	case symbol < 285:
		extra := uint32(symbol-261) / 4
		base := 3 + (4+uint32(symbol-261)%4)<<extra
		return base<<16 | extra<<8
	case symbol == 285:
		return maxMatch << 16
	}
	return isInvalid
}

// distanceEntry returns what a distance symbol means.
func distanceEntry(symbol int) uint32 {
	switch {
	case symbol < 4:
		return uint32(symbol+1) << 16
	case symbol < 30:
		extra := uint32(symbol-2) / 2
		base := 1 + (2+uint32(symbol)%2)<<extra
		return base<<16 | extra<<8
	}
	return isInvalid
}

func lengthEntry(symbol int) uint32 { return uint32(symbol) << 16 }

// fixed makes the codes of section 3.2.6.
func (c *codes) fixed() {
	for i := range 288 {
		switch {
		case i < 144:
			c.lengths[i] = 8
		case i < 256:
			c.lengths[i] = 9
		case i < 280:
			c.lengths[i] = 7
		default:
			c.lengths[i] = 8
		}
	}
	build(c.literals[:], literalBits, c.lengths[:288], literalEntry)
	for i := range 32 {
		c.lengths[i] = 5
	}
	build(c.distances[:], distanceBits, c.lengths[:32], distanceEntry)
}

// read reads the codes of a block (section 3.2.7).
func (c *codes) read(in *bits) error {
	head, err := in.take(14)
	if err != nil {
		return err
	}
	literals, distances, n := head&31+257, head>>5&31+1, head>>10+4
	if literals > 286 || distances > 30 {
		return malformed("a block with %d and %d codes", literals, distances)
	}
	lengths := c.lengths[:symbolLengths]
	clear(lengths)
	for _, symbol := range lengthOrder[:n] {
		l, err := in.take(3)
		if err != nil {
			return err
		}
		lengths[symbol] = uint8(l)
	}
	var table [1 << lengthBits]uint32
	if !build(table[:], lengthBits, lengths, lengthEntry) {
		return errCodes()
	}
	if err := c.readLengths(in, &table, literals+distances); err != nil {
		return err
	}
	if !build(c.literals[:], literalBits, c.lengths[:literals], literalEntry) ||
		!build(c.distances[:], distanceBits, c.lengths[literals:literals+distances], distanceEntry) {
		return errCodes()
	}
	return nil
}

func errCodes() error { return malformed("codes that cannot be") }

// readLengths reads the lengths of n codes.
func (c *codes) readLengths(in *bits, table *[1 << lengthBits]uint32, n int) error {
	for i := 0; i < n; {
		symbol, err := in.decode(table[:], lengthBits)
		if err != nil {
			return err
		}
		length, times, extra := uint8(symbol>>16), 1, uint(0)
		switch symbol >> 16 {
		case 16:
			if i == 0 {
				return errCodes()
			}
			length, times, extra = c.lengths[i-1], 3, 2
		case 17:
			length, times, extra = 0, 3, 3
		case 18:
			length, times, extra = 0, 11, 7
		}
		more, err := in.take(extra)
		if err != nil {
			return err
		}
		if times += more; times > n-i {
			return errCodes()
		}
		for range times {
			c.lengths[i] = length
			i++
		}
	}
	return nil
}

// build fills a table with codes of these lengths (section 3.2.2), and reports
// whether there are such: whatever bits follow begin with one of them, but that
// a sole code may have one bit, and there may be none at all.
func build(table []uint32, root int, lengths []uint8, entry func(symbol int) uint32) bool {
	var count, next [maxCode + 2]int
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	longest, code, used := 0, 0, 0
	for l := 1; l <= maxCode; l++ {
		code, used = (code+count[l-1])<<1, used+count[l]<<(maxCode-l)
		next[l] = code
		if count[l] > 0 {
			longest = l
		}
	}
	for i := range table[:1<<root] {
		table[i] = isInvalid
	}
	if longest == 0 {
		return true
	}
	if used != 1<<maxCode && !(longest == 1 && count[1] == 1) {
		return false
	}
	t := tables{table: table, root: root, free: 1 << root, prefix: -1, longest: longest, left: count}
	// Codes that begin alike follow each other, the shorter ones first.
	for l := 1; l <= longest; l++ {
		if count[l] == 0 {
			continue
		}
		for symbol, have := range lengths {
			if int(have) == l {
				t.put(next[l], l, entry(symbol))
				next[l]++
			}
		}
	}
	return true
}

// tables is the root table and, behind it, those of codes that are longer.
type tables struct {
	table   []uint32
	root    int
	free    int // where the next table begins
	prefix  int // of the codes in the last table
	bits    int // of the last table
	longest int
	left    [maxCode + 2]int // codes of each length to come
}

// put enters a code of length bits.
func (t *tables) put(code, length int, entry uint32) {
	// In the stream a code begins with its most significant bit.
	first := int(mathbits.Reverse16(uint16(code)) >> (16 - length))
	if length <= t.root {
		for i := first; i < 1<<t.root; i += 1 << length {
			t.table[i] = entry | uint32(length)
		}
		t.left[length]--
		return
	}
	rest := length - t.root
	if prefix := code >> rest; prefix != t.prefix {
		if t.prefix >= 0 {
			t.free += 1 << t.bits
		}
		t.prefix, t.bits = prefix, t.width(rest)
		t.table[first&(1<<t.root-1)] = uint32(t.free)<<16 | uint32(t.bits)<<8 | isTable | uint32(t.root)
	}
	for i := first >> t.root; i < 1<<t.bits; i += 1 << rest {
		t.table[t.free+i] = entry | uint32(rest)
	}
	t.left[length]--
}

// width returns how many bits a table has whose first code has so many.
func (t *tables) width(bits int) int {
	for room := 1 << bits; t.root+bits < t.longest; bits++ {
		if room -= t.left[t.root+bits]; room <= 0 {
			break
		}
		room <<= 1
	}
	return bits
}
