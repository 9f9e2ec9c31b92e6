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
	for _, b := range p {
		w.Bits(uint64(c.bits[b]), uint(c.Len[b]))
	}
}

// Tokens sends tokens with the two codes.
func (w *Writer) Tokens(tokens []Token, lit, dist *Code) {
	// One look-up a symbol: code and extra bits of a length, and the number
	// of both in the top byte; of distances the code and its number. Nothing in
	// the loop depends on what kind a token is, for that cannot be predicted.
	var tab [512]uint32
	for b := range 256 {
		tab[b] = uint32(lit.bits[b]) | uint32(lit.Len[b])<<24
		code := lengthCode[b]
		l := lit.Len[257+int(code)]
		v := uint32(lit.bits[257+int(code)]) | uint32(uint16(b)-lengthBase[code])<<l
		tab[256+b] = v | uint32(l+lengthExtra[code])<<24
	}
	var dtab [32]uint32
	for c := range MaxDist {
		dtab[c] = uint32(dist.bits[c]) | uint32(dist.Len[c])<<24
	}
	acc, n, at := w.acc, w.n, w.len
	for _, t := range tokens {
		e := tab[t.symbol()]
		sym, extra, value := t.distance()
		d := dtab[sym]
		le, ld := uint(e>>24), uint(d>>24)
		v := uint64(e&0xffffff) | (uint64(d&0xffffff)|uint64(value)<<(ld&31))<<(le&31)
		// What was sent before matters from here on only.
		acc |= v << (n & 63)
		n += le + ld + uint(extra)
		binary.LittleEndian.PutUint64(w.out[at:], acc)
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
}

// Histogram counts the symbols of tokens into lit and dist, which must be zero.
func Histogram(tokens []Token, lit *[MaxLitLen]int32, dist *[MaxDist]int32) {
	// Two of each, for a count takes a while to be ready for the next.
	var sym [2][512]int32
	var dsym [2][32]int32
	for i, t := range tokens {
		sym[i&1][t.symbol()]++
		d, _, _ := t.distance()
		dsym[i&1][d]++
	}
	for i := range 256 {
		lit[i] = sym[0][i] + sym[1][i]
		lit[257+int(lengthCode[i])] += sym[0][256+i] + sym[1][256+i]
	}
	for i := range dist {
		dist[i] = dsym[0][i] + dsym[1][i]
	}
}

// EmptyFixed writes an empty block with the fixed codes that is the last.
func (w *Writer) EmptyFixed() {
	w.Bits(1|1<<1, 3)
	w.Bits(0, 7)
	w.align()
}
