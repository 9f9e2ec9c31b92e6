package gzipexact

import (
	"io"

	"airlock/internal/gzipexact/zlibflate"
)

const (
	// pigzBlock is how much content pigz compresses at a time by default.
	pigzBlock = 128 << 10
	// pigzTail is how much of what came before a block may refer to.
	pigzTail = 32 << 10
)

// A pigz compresses blocks of content as pigz does: each ends on a whole byte,
// the last, which is empty only if all is, ends the stream.
type pigz struct {
	enc    *zlibflate.Encoder
	dst    io.Writer
	block  int
	single bool   // one stream, as of one thread, not a stream a block
	n      int    // bytes in the block so far
	tail   []byte // of the block so far
}

func (z *pigz) Reset(dst io.Writer) {
	z.dst, z.n, z.tail = dst, 0, z.tail[:0]
	z.enc.Reset(dst)
}

func (z *pigz) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if z.n == z.block {
			if err := z.next(); err != nil {
				return 0, err
			}
		}
		q := p[:min(len(p), z.block-z.n)]
		p = p[len(q):]
		if _, err := z.enc.Write(q); err != nil {
			return 0, err
		}
		z.n += len(q)
		if !z.single {
			z.tail = keep(z.tail, q, pigzTail)
		}
	}
	return total, nil
}

// next ends a block that is not the last.
func (z *pigz) next() error {
	if err := z.enc.Pad(); err != nil {
		return err
	}
	if !z.single {
		z.enc.ResetDict(z.dst, z.tail)
	}
	z.n, z.tail = 0, z.tail[:0]
	return nil
}

// Close ends the stream, which pigz never flushes at its end.
func (z *pigz) Close(flushed bool) error {
	if flushed {
		return zlibflate.ErrNeverFlushed
	}
	return z.enc.Close(false)
}

// keep returns the last limit bytes of tail and q.
func keep(tail, q []byte, limit int) []byte {
	q = q[max(0, len(q)-limit):]
	if drop := len(tail) + len(q) - limit; drop > 0 {
		tail = tail[:copy(tail, tail[drop:])]
	}
	return append(tail, q...)
}
