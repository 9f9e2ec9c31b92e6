// Package goflate is the DEFLATE encoder that Go releases 1.9 to 1.26 ship as
// compress/flate, frozen: for the same bytes and level it emits the same
// bytes as they do, for ever, whatever toolchain builds it.
//
// It is written anew to be faster; what it shares with the original is every
// decision that shows in the output. The original's output depends on how its
// input was cut into writes in one rare case (a write that ends within the
// last 262 bytes of its 64 KiB window while a match search stands exactly
// there). This package decides as if the window was always filled up, which is
// so for io.Copy and for writes of 512·2ⁿ bytes, that is, for every tar.
package goflate

import (
	"fmt"
	"io"
)

// Levels that have a meaning of their own; the others are 1 to 9.
const (
	HuffmanOnly = -2
	Store       = 0
)

// An Encoder writes one DEFLATE stream at a time. It holds about 2 MiB.
type Encoder struct {
	out   *blocks
	level int
	body  body
}

// A body consumes content and writes blocks.
type body interface {
	reset()
	// write takes all of p.
	write(p []byte)
	// drain writes what is pending as blocks, none of them marked as the last.
	drain()
}

// NewEncoder returns an Encoder of a level, HuffmanOnly to 9, that writes to
// dst.
func NewEncoder(dst io.Writer, level int) (*Encoder, error) {
	e := &Encoder{out: newBlocks(), level: level}
	switch {
	case level == HuffmanOnly:
		e.body = &chunked{out: e.out, block: e.out.literals}
	case level == Store:
		e.body = &chunked{out: e.out, block: e.out.Stored}
	case level == 1:
		e.body = newFast(e.out)
	case level == 2 || level == 3:
		e.body = newGreedy(e.out, level)
	case level >= 4 && level <= 9:
		e.body = newLazy(e.out, level)
	default:
		return nil, fmt.Errorf("level %d: not one of %d to 9", level, HuffmanOnly)
	}
	e.Reset(dst)
	return e, nil
}

// Reset makes e the encoder of a new stream that goes to dst.
func (e *Encoder) Reset(dst io.Writer) {
	e.out.Reset(dst)
	e.body.reset()
}

// Write takes content. It returns the first error of the destination.
func (e *Encoder) Write(p []byte) (int, error) {
	e.body.write(p)
	if err := e.out.Err(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the stream; flushed says that the original was flushed just
// before it was closed, which shows as an empty block. It does not close the
// destination.
func (e *Encoder) Close(flushed bool) error {
	e.body.drain()
	if flushed {
		e.out.Sync()
	}
	e.out.Finish()
	return e.out.Flush()
}

// A chunked cuts content into blocks of 65535 bytes.
type chunked struct {
	out   *blocks
	block func([]byte)
	buf   []byte
}

const chunkSize = 65535

func (c *chunked) reset() { c.buf = c.buf[:0] }

func (c *chunked) write(p []byte) {
	for len(p) > 0 {
		n := min(chunkSize-len(c.buf), len(p))
		c.buf, p = append(c.buf, p[:n]...), p[n:]
		if len(c.buf) == chunkSize {
			c.drain()
		}
	}
}

func (c *chunked) drain() {
	if len(c.buf) > 0 {
		c.block(c.buf)
	}
	c.buf = c.buf[:0]
}
