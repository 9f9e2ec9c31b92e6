package gzipexact

import (
	"errors"
	"io"
)

// pgzipTail is how much of a block the next one may refer to.
const pgzipTail = 16 << 10

// A pgzip compresses blocks of content one by one, as pgzip does: each starts
// a stream with the last 16 KiB of the block before as its dictionary and is
// flushed; the last, which may be empty, is closed too.
type pgzip struct {
	enc   dictEncoder
	dst   io.Writer
	block int
	n     int    // bytes in the block so far
	tail  []byte // of the block so far
}

func (z *pgzip) Reset(dst io.Writer) {
	z.dst, z.n, z.tail = dst, 0, z.tail[:0]
	z.enc.Reset(dst)
}

func (z *pgzip) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		q := p[:min(len(p), z.block-z.n)]
		p = p[len(q):]
		if _, err := z.enc.Write(q); err != nil {
			return 0, err
		}
		z.n += len(q)
		z.tail = keep(z.tail, q, pgzipTail)
		if z.n < z.block {
			continue
		}
		if err := z.enc.Flush(); err != nil {
			return 0, err
		}
		z.enc.ResetDict(z.dst, z.tail)
		z.n, z.tail = 0, z.tail[:0]
	}
	return total, nil
}

// Close ends the stream. A stream that was not flushed is none of pgzip's.
func (z *pgzip) Close(flushed bool) error {
	if !flushed {
		return errEnding
	}
	return z.enc.Close(true)
}

var errEnding = errors.New("stream does not end as its encoder ends streams")
