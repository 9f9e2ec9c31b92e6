package gunzip

import "io"

// bits reads a stream bit by bit, least significant first (RFC 1951, section
// 3.1.1).
type bits struct {
	src  io.ReaderAt
	size int64 // of the stream

	buf      []byte
	off      int64 // of buf in the stream
	pos, end int   // of buf: what was not taken yet
	acc      uint64
	n        uint // bits in acc, the others are zero
}

const bufferSize = 64 << 10

// bit returns which bit comes next.
func (b *bits) bit() int64 { return (b.off+int64(b.pos))*8 - int64(b.n) }

// seek goes to a bit of the stream.
func (b *bits) seek(bit int64) {
	if at := bit/8 - b.off; 0 <= at && at <= int64(b.end) {
		b.pos = int(at)
	} else {
		b.off, b.pos, b.end = bit/8, 0, 0
	}
	b.acc, b.n = 0, 0
	if skip := uint(bit % 8); skip > 0 {
		// A seek goes to where the stream was read before. If it cannot be now, the next read says why.
		if b.fill() == nil && b.n >= skip {
			b.drop(skip)
		}
	}
}

// load reads more of the stream. At its end it returns io.ErrUnexpectedEOF.
func (b *bits) load() error {
	if b.buf == nil {
		b.buf = make([]byte, bufferSize)
	}
	rest := copy(b.buf, b.buf[b.pos:b.end])
	b.off += int64(b.pos)
	b.pos, b.end = 0, rest
	at := b.off + int64(rest)
	n := min(int64(len(b.buf)-rest), b.size-at)
	if n <= 0 {
		return io.ErrUnexpectedEOF
	}
	if got, err := b.src.ReadAt(b.buf[rest:rest+int(n)], at); got < int(n) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	b.end += int(n)
	return nil
}

// fill takes at least 56 bits into acc, or all there are. It fails if there are none.
func (b *bits) fill() error {
	for b.n <= 56 {
		if b.pos == b.end {
			if err := b.load(); err != nil {
				if err == io.ErrUnexpectedEOF && b.n > 0 {
					return nil
				}
				return err
			}
		}
		b.acc |= uint64(b.buf[b.pos]) << b.n
		b.pos++
		b.n += 8
	}
	return nil
}

func (b *bits) drop(n uint) {
	b.acc >>= n
	b.n -= n
}

// take takes n bits, at most 32.
func (b *bits) take(n uint) (int, error) {
	if b.n < n {
		if err := b.fill(); err != nil {
			return 0, err
		}
		if b.n < n {
			return 0, io.ErrUnexpectedEOF
		}
	}
	v := int(b.acc & (1<<n - 1))
	b.drop(n)
	return v, nil
}

// align goes to the next whole byte.
func (b *bits) align() { b.drop(b.n % 8) }

// atEnd reports whether the stream has no further bytes.
func (b *bits) atEnd() bool { return b.bit() >= 8*b.size }

// bytes takes at least one byte and at most all of p. It stands on a whole byte.
func (b *bits) bytes(p []byte) (int, error) {
	if b.n > 0 {
		b.seek(b.bit())
	}
	if b.pos == b.end {
		if err := b.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.pos:b.end])
	b.pos += n
	return n, nil
}

// decode takes a code and returns its entry in the table.
func (b *bits) decode(table []uint32, root int) (uint32, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	e := table[b.acc&(1<<root-1)]
	used := uint(e & 0xff)
	if e&isTable != 0 {
		e = table[uint64(e>>16)+b.acc>>root&(1<<(e>>8&15)-1)]
		used += uint(e & 0xff)
	}
	if used > b.n {
		return 0, io.ErrUnexpectedEOF
	}
	if e&isInvalid != 0 {
		return 0, malformed("a code that is not there")
	}
	b.drop(used)
	return e, nil
}
