package deflate

import (
	"encoding/binary"
	"io"
)

const (
	outSize   = 32 << 10
	outMargin = 16
)

// A Writer sends bits, least significant first, to an io.Writer. The first
// error of that writer is kept and returned by Flush; what follows it is lost.
type Writer struct {
	dst io.Writer
	err error
	acc uint64
	n   uint // bits in acc, at most 7 between calls
	len int
	out [outSize + outMargin]byte
}

// Reset makes w send to dst, with nothing pending.
func (w *Writer) Reset(dst io.Writer) { w.dst, w.err, w.acc, w.n, w.len = dst, nil, 0, 0, 0 }

// Bits sends the low n bits of v, at most 48; the others must be zero.
func (w *Writer) Bits(v uint64, n uint) {
	w.acc |= v << w.n
	w.n += n
	binary.LittleEndian.PutUint64(w.out[w.len:], w.acc)
	w.len += int(w.n >> 3)
	w.acc >>= w.n &^ 7
	w.n &= 7
	if w.len >= outSize {
		w.drain()
	}
}

// drain hands the whole bytes to the destination.
func (w *Writer) drain() {
	if w.err == nil && w.len > 0 {
		_, w.err = w.dst.Write(w.out[:w.len])
	}
	w.len = 0
}

// align pads to a whole byte with zero bits.
func (w *Writer) align() {
	if w.n > 0 {
		w.Bits(0, 8-w.n)
	}
}

// Stored writes p, at most MaxStored bytes, as a stored block.
func (w *Writer) Stored(p []byte) {
	w.storedHeader(len(p), 0)
	w.drain()
	if w.err == nil {
		_, w.err = w.dst.Write(p)
	}
}

func (w *Writer) storedHeader(n int, last uint64) {
	w.Bits(last, 3)
	w.align()
	w.Bits(uint64(n), 16)
	w.Bits(uint64(^uint16(n)), 16)
}

// Sync writes an empty stored block that is not the last (zlib's Z_SYNC_FLUSH).
func (w *Writer) Sync() { w.storedHeader(0, 0) }

// Finish writes an empty stored block that is the last.
func (w *Writer) Finish() { w.storedHeader(0, 1) }

// Flush hands all whole bytes to the destination and returns its first error.
func (w *Writer) Flush() error {
	w.drain()
	return w.err
}

// Err returns the first error of the destination.
func (w *Writer) Err() error { return w.err }

// Symbol sends one symbol of c.
func (w *Writer) Symbol(c *Code, sym int) { w.Bits(uint64(c.bits[sym]), uint(c.Len[sym])) }

// Literals sends the bytes of p with c.
func (w *Writer) Literals(p []byte, c *Code) {
	var tab [256]uint32
	for b := range tab {
		tab[b] = uint32(c.bits[b]) | uint32(c.Len[b])<<16
	}
	for ; len(p) >= 3; p = p[3:] {
		a, b, c := tab[p[0]], tab[p[1]], tab[p[2]]
		la, lb := a>>16&31, b>>16&31
		w.Bits(uint64(a&0xffff)|uint64(b&0xffff)<<la|uint64(c&0xffff)<<(la+lb), uint(la+lb+c>>16))
	}
	for _, b := range p {
		w.Bits(uint64(c.bits[b]), uint(c.Len[b]))
	}
}

// A tokenCode is what is sent of tokens with two codes.
type tokenCode struct {
	// Code and extra bits of a literal or length in the lower 24 bits, and the
	// number of both above.
	sym [512]uint32
	// The code of a distance in the lower 16 bits, above it its length, and in
	// the top byte that and the number of extra bits.
	dist [32]uint32
}

func (c *tokenCode) set(lit, dist *Code) {
	for b := range 256 {
		c.sym[b] = uint32(lit.bits[b]) | uint32(lit.Len[b])<<24
		code := lengthCode[b]
		l := lit.Len[257+int(code)]
		v := uint32(lit.bits[257+int(code)]) | uint32(uint16(b)-lengthBase[code])<<l
		c.sym[256+b] = v | uint32(l+lengthExtra[code])<<24
	}
	for d := range MaxDist {
		l := dist.Len[d]
		c.dist[d] = uint32(dist.bits[d]) | uint32(l)<<16 | uint32(l+distExtra[d])<<24
	}
}

// bits returns what is sent of t, and how many bits that are, at most 48.
func (c *tokenCode) bits(t Token) (v uint64, n uint) {
	s, d := c.sym[t.symbol()], c.dist[t.distance()]
	n = uint(s >> 24)
	v = uint64(d&0xffff) | uint64(t.extra())<<(d>>16&31)
	return uint64(s&0xffffff) | v<<(n&31), n + uint(d>>24)
}

// Tokens sends tokens with the two codes.
func (w *Writer) Tokens(tokens []Token, lit, dist *Code) {
	var c tokenCode
	c.set(lit, dist)
	if hasSendPairs {
		tokens = w.pairs(tokens, &c)
	} else {
		tokens = w.upToTwo(tokens, &c)
	}
	if len(tokens) > 0 {
		w.Bits(c.bits(tokens[0]))
	}
}

// pairSize is how many bytes a pair of tokens takes at most.
const pairSize = 12

// pairs sends an even number of tokens and returns what is left: one or none.
func (w *Writer) pairs(tokens []Token, c *tokenCode) []Token {
	for len(tokens) > 1 {
		n := min(len(tokens)/2, (outSize-w.len)/pairSize)
		if n == 0 {
			w.drain()
			continue
		}
		acc, left, wrote := sendPairs(c, &tokens[0], n, &w.out[w.len], w.acc, w.n)
		w.acc, w.n, w.len = acc, left, w.len+wrote
		tokens = tokens[2*n:]
	}
	return tokens
}

// upToTwo sends all tokens but the last one or none, which it returns.
func (w *Writer) upToTwo(tokens []Token, c *tokenCode) []Token {
	acc, n, at := w.acc, w.n, w.len
	for len(tokens) > 1 {
		v, k := c.bits(tokens[0])
		// What was sent before matters only from the shift by n on, so two
		// tokens at a time wait for it, if they fit.
		v2, k2 := c.bits(tokens[1])
		tokens = tokens[1:]
		if k+k2 <= 56 {
			v |= v2 << (k & 63)
			k += k2
			tokens = tokens[1:]
		}
		acc |= v << (n & 63)
		n += k
		i := at & (outSize - 1)
		binary.LittleEndian.PutUint64(w.out[i:i+8], acc)
		at += int(n >> 3)
		acc >>= n & 56
		n &= 7
		if at >= outSize {
			w.len = at
			w.drain()
			at = 0
		}
	}
	w.acc, w.n, w.len = acc, n, at
	return tokens
}

// Histogram counts the symbols of tokens into lit and dist, which must be zero.
func Histogram(tokens []Token, lit *[MaxLitLen]int32, dist *[MaxDist]int32) {
	// Four of each, for a count takes a while to be ready for the next.
	var sym [4][512]int32
	var dsym [4][32]int32
	for ; len(tokens) >= 4; tokens = tokens[4:] {
		a, b, c, d := tokens[0], tokens[1], tokens[2], tokens[3]
		sym[0][a.symbol()]++
		sym[1][b.symbol()]++
		sym[2][c.symbol()]++
		sym[3][d.symbol()]++
		dsym[0][a.distance()]++
		dsym[1][b.distance()]++
		dsym[2][c.distance()]++
		dsym[3][d.distance()]++
	}
	for _, t := range tokens {
		sym[0][t.symbol()]++
		dsym[0][t.distance()]++
	}
	for i := range 256 {
		lit[i] = sym[0][i] + sym[1][i] + sym[2][i] + sym[3][i]
		l := 256 + i
		lit[257+int(lengthCode[i])] += sym[0][l] + sym[1][l] + sym[2][l] + sym[3][l]
	}
	for i := range dist {
		dist[i] = dsym[0][i] + dsym[1][i] + dsym[2][i] + dsym[3][i]
	}
}

// EmptyFixed writes an empty block with the fixed codes that is the last.
func (w *Writer) EmptyFixed() {
	w.Bits(1|1<<1, 3)
	w.Bits(0, 7)
	w.align()
}
