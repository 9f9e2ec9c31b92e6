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
	// of both in the top byte.
	var tab [512]uint32
	for b := range 256 {
		tab[b] = uint32(lit.bits[b]) | uint32(lit.Len[b])<<24
		code := lengthCode[b]
		l := lit.Len[257+int(code)]
		v := uint32(lit.bits[257+int(code)]) | uint32(uint16(b)-lengthBase[code])<<l
		tab[256+b] = v | uint32(l+lengthExtra[code])<<24
	}
	var dtab [32]uint64 // base << 32 | extra << 24 | length << 16 | code
	for c := range MaxDist {
		dtab[c] = uint64(distBase[c])<<32 | uint64(distExtra[c])<<24 |
			uint64(dist.Len[c])<<16 | uint64(dist.bits[c])
	}
	acc, n, at := w.acc, w.n, w.len
	for _, t := range tokens {
		if !t.IsMatch() {
			e := tab[t&0xff]
			acc |= uint64(e&0xffffff) << (n & 63)
			n += uint(e >> 24)
		} else {
			e := tab[256+t.len3()]
			acc |= uint64(e&0xffffff) << (n & 63)
			n += uint(e >> 24)
			off := t.off()
			d := dtab[DistSymbol(off)&31]
			l := uint(d>>16) & 0xff
			v := d&0xffff | uint64(off-uint32(d>>32))<<(l&63)
			acc |= v << (n & 63)
			n += l + uint(d>>24)&0xff
		}
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
	var sym [512]int32
	var dsym [32]int32
	for _, t := range tokens {
		if !t.IsMatch() {
			sym[t&0xff]++
			continue
		}
		sym[256+t.len3()]++
		dsym[DistSymbol(t.off())&31]++
	}
	copy(lit[:256], sym[:256])
	for i, n := range sym[256:] {
		lit[257+int(lengthCode[i])] += n
	}
	copy(dist[:], dsym[:])
}

// EmptyFixed writes an empty block with the fixed codes that is the last.
func (w *Writer) EmptyFixed() {
	w.Bits(1|1<<1, 3)
	w.Bits(0, 7)
	w.align()
}
