package deflate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// ErrCorrupt says that a stream is not one of RFC 1951.
var ErrCorrupt = errors.New("corrupt DEFLATE stream")

const (
	// outRoom is how much is inflated at a time; behind it there is room for the
	// last match and for what copying in words overshoots by.
	outRoom   = 64 << 10
	outBehind = MaxMatch + 16
	// outLeast is how much is inflated even where less is asked for.
	outLeast = 4 << 10
	// inAtOnce is how many bytes of input one turn of the fast loop may look at.
	inAtOnce = 16
)

// A Reader inflates. It takes from its source no byte behind the stream's end,
// and holds about 120 KiB.
type Reader struct {
	src *bufio.Reader
	in  []byte // what src has buffered
	pos int    // of in: what is used up
	acc uint64 // bits of the bytes before pos
	n   uint   // how many

	taken int64 // bytes that src gave before in
	block int64 // bit where the block began

	out     outBuffer
	end     int // of out: what has been inflated
	read    int // of that, what was handed out
	limit   int // up to where out is to be filled
	from    int // where the stream begins in out, or what it still may refer to
	kind    blockKind
	last    bool // the block is the stream's last
	stored  int  // bytes left of a stored block
	err     error
	lit     *litTable // the block's, which are fixed or its own
	dist    *distTable
	ownLit  litTable
	ownDist distTable
	lengths [MaxLitLen + MaxDist + 4]uint8 // scratch
}

type outBuffer [Window + outRoom + outBehind]byte

// A blockKind says what the reader stands in.
type blockKind uint8

const (
	betweenBlocks blockKind = iota
	inStored
	inCoded
	behindLast
)

// NewReader returns a Reader of the stream that src goes on with. The size of
// src's buffer must be at least 64 bytes.
func NewReader(src *bufio.Reader) *Reader {
	r := &Reader{src: src}
	r.Reset()
	return r
}

// Reset makes r the reader of the stream that its source goes on with, after
// io.EOF.
func (r *Reader) Reset() {
	r.in, r.pos, r.acc, r.n, r.taken, r.block = nil, 0, 0, 0, 0, 0
	r.end, r.read, r.from = Window, Window, Window
	r.kind, r.last, r.err = betweenBlocks, false, nil
}

// Read returns the next bytes. It returns io.EOF only behind the stream's end,
// io.ErrUnexpectedEOF if the source ends before, and errors that wrap
// ErrCorrupt.
func (r *Reader) Read(p []byte) (int, error) {
	for r.read == r.end && len(p) > 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.makeRoom()
		r.limit = Window + max(min(len(p), outRoom), outLeast)
		r.err = r.fill()
	}
	n := copy(p, r.out[r.read:r.end])
	r.read += n
	return n, nil
}

// makeRoom keeps a window of what was inflated.
func (r *Reader) makeRoom() {
	if r.end <= Window {
		return
	}
	by := r.end - Window
	copy(r.out[:Window], r.out[by:r.end])
	r.end, r.read, r.from = Window, Window, max(0, r.from-by)
}

// fill inflates up to limit or to the stream's end, which is io.EOF.
func (r *Reader) fill() error {
	defer r.settle()
	for r.end < r.limit {
		var err error
		switch r.kind {
		case betweenBlocks:
			err = r.header()
		case inStored:
			err = r.copyStored()
		case inCoded:
			err = r.coded()
		case behindLast:
			err = io.EOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// more makes at least n bytes of input available behind pos, fewer only at the
// source's end.
func (r *Reader) more(n int) error {
	if len(r.in)-r.pos >= n {
		return nil
	}
	r.settle()
	if _, err := r.src.Peek(n); err != nil && err != io.EOF {
		return err
	}
	var err error
	r.in, err = r.src.Peek(r.src.Buffered())
	return err
}

// settle takes from the source what is used up: of the last byte the first bit
// at least.
func (r *Reader) settle() {
	// What was peeked at is there to be discarded.
	_, _ = r.src.Discard(r.pos)
	r.taken += int64(r.pos)
	r.in, r.pos = r.in[r.pos:], 0
}

// need makes n bits available, at most 16. It takes no byte that is not needed.
func (r *Reader) need(n uint) error {
	for r.n < n {
		if r.pos == len(r.in) {
			if err := r.more(inAtOnce); err != nil {
				return err
			}
			if len(r.in) == 0 {
				return io.ErrUnexpectedEOF
			}
		}
		r.acc |= uint64(r.in[r.pos]) << r.n
		r.pos++
		r.n += 8
	}
	return nil
}

// bits takes n bits, at most 16.
func (r *Reader) bits(n uint) (int, error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v := r.acc & (1<<n - 1)
	r.drop(n)
	return int(v), nil
}

func (r *Reader) drop(n uint) {
	r.acc >>= n
	r.n -= n
}

// header reads a block's three bits and what stands before its data.
func (r *Reader) header() error {
	if r.last {
		r.kind = behindLast
		return nil
	}
	r.block = r.bit()
	v, err := r.bits(3)
	if err != nil {
		return err
	}
	r.last = v&1 != 0
	switch v >> 1 {
	case 0:
		return r.storedHeader()
	case 1:
		r.kind = inCoded
		r.fixedCodes()
		return nil
	case 2:
		r.kind = inCoded
		return r.dynamicCodes()
	}
	return ErrCorrupt
}

func (r *Reader) storedHeader() error {
	r.drop(r.n & 7)
	size, err := r.bits(16)
	if err != nil {
		return err
	}
	inverse, err := r.bits(16)
	if err != nil {
		return err
	}
	if size != inverse^0xffff {
		return ErrCorrupt
	}
	r.kind, r.stored = inStored, size
	return nil
}

func (r *Reader) copyStored() error {
	if r.stored == 0 {
		r.kind = betweenBlocks
		return nil
	}
	if err := r.more(1); err != nil {
		return err
	}
	if len(r.in) == r.pos {
		return io.ErrUnexpectedEOF
	}
	n := copy(r.out[r.end:r.limit], r.in[r.pos:min(len(r.in), r.pos+r.stored)])
	r.end += n
	r.pos += n
	r.stored -= n
	return nil
}

// coded inflates until out is full or the block ends.
func (r *Reader) coded() error {
	for r.end < r.limit && r.kind == inCoded {
		if err := r.more(inAtOnce); err != nil {
			return err
		}
		var err error
		if len(r.in)-r.pos >= inAtOnce {
			err = r.fast()
		} else {
			err = r.slow()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fast inflates while there are enough input and room for any symbols.
func (r *Reader) fast() error {
	in, out, lit, dist := r.in, &r.out, r.lit, r.dist
	pos, acc, n, end, from := r.pos, r.acc, r.n, r.end, r.from
	stop, full := len(in)-inAtOnce, r.limit
	var err error
	for pos <= stop && end < full {
		// At least 56 bits, and what is above n agrees with what comes.
		acc |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		e := lit[acc&(1<<litBits-1)]
		if e.literal() {
			// Three literals of the first table take at most 33 bits.
			acc >>= e.size() & 63
			n -= e.size()
			out[end] = e.value()
			end++
			if e = lit[acc&(1<<litBits-1)]; e.literal() {
				acc >>= e.size() & 63
				n -= e.size()
				out[end] = e.value()
				end++
				if e = lit[acc&(1<<litBits-1)]; e.literal() {
					acc >>= e.size() & 63
					n -= e.size()
					out[end] = e.value()
					end++
					continue
				}
			}
			acc |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
			pos += int(63-n) >> 3
			n |= 56
		}
		if e.further() {
			if !e.endOfBlock() {
				e = lit[e.base()+int(acc>>litBits&(1<<(maxCode-litBits)-1))]
			}
			if e.literal() {
				acc >>= e.size() & 63
				n -= e.size()
				out[end] = e.value()
				end++
				continue
			}
			if e.endOfBlock() {
				acc >>= e.size() & 63
				n -= e.size()
				r.kind = betweenBlocks
				break
			}
		}
		length := e.extended(acc)
		acc >>= e.size() & 63
		n -= e.size()

		e = dist[acc&(1<<distBits-1)]
		if e.further() {
			e = dist[e.base()+int(acc>>distBits&(1<<(maxCode-distBits)-1))]
		}
		back := e.extended(acc)
		acc >>= e.size() & 63
		n -= e.size()
		if length == 0 || back == 0 || back > end-from {
			err = ErrCorrupt
			break
		}
		copyMatch(out, end, back, length)
		end += length
	}
	r.pos, r.acc, r.n, r.end = pos-int(n>>3), acc&(1<<(n&7)-1), n&7, end
	return err
}

// copyMatch copies length bytes from back bytes before end, and some more bytes
// of no meaning.
func copyMatch(out *outBuffer, end, back, length int) {
	from := end - back
	if back >= 8 {
		to, from := out[end:end+length+8], out[from:from+length+8]
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:i+8], binary.LittleEndian.Uint64(from[i:i+8]))
		}
		return
	}
	if back == 1 {
		v := uint64(out[from]) * 0x0101010101010101
		to := out[end : end+length+8]
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:i+8], v)
		}
		return
	}
	to, was := out[end:end+length], out[from:from+length]
	for i := range to {
		to[i] = was[i]
	}
}

// slow inflates one symbol.
func (r *Reader) slow() error {
	e, err := r.symbol(r.lit.lookup)
	if err != nil {
		return err
	}
	switch {
	case e.literal():
		r.out[r.end] = e.value()
		r.end++
		return nil
	case e.endOfBlock():
		r.kind = betweenBlocks
		return nil
	}
	length, err := r.extended(e)
	if err != nil {
		return err
	}
	if e, err = r.symbol(r.dist.lookup); err != nil {
		return err
	}
	back, err := r.extended(e)
	if err != nil {
		return err
	}
	if back > r.end-r.from {
		return ErrCorrupt
	}
	copyMatch(&r.out, r.end, back, length)
	r.end += length
	return nil
}

// symbol takes a symbol's code, bit by bit as it comes.
func (r *Reader) symbol(lookup func(uint64) entry) (entry, error) {
	for n := uint(1); ; n++ {
		if err := r.need(n); err != nil {
			return 0, err
		}
		// Bits that are not there yet are zero: a code that long is none.
		e := lookup(r.acc & (1<<n - 1))
		if e != 0 && e.codeSize() <= n {
			r.drop(e.codeSize())
			return e, nil
		}
		if n == maxCode {
			return 0, ErrCorrupt
		}
	}
}

// extended takes the extra bits of a length or a distance, and returns that.
func (r *Reader) extended(e entry) (int, error) {
	v, err := r.bits(e.size() - e.codeSize())
	return e.base() + v, err
}
