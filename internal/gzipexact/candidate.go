package gzipexact

import (
	"bytes"
	"errors"
)

// maxLag is how far, in bytes of the stream, a candidate may fall behind what
// has been inflated, or run ahead of it, before it is given up.
const maxLag = 8 << 20

// A step is a piece of a member: some content, and the bytes of the DEFLATE
// stream that inflating it took. Steps are shared and never written to.
type step struct {
	content []byte
	shared  *loan // the memory of content
	stream  []byte
	end     bool // the member's last
	flushed bool // with end: an empty block stands before the last one
}

// A candidate is an encoder that has not been refuted.
type candidate struct {
	spec encoderSpec
	enc  streamEncoder
	// At most one of the two is not empty: bytes of the stream that the
	// encoder has yet to emit, bytes emitted that the stream has yet to bring.
	want, have bytes.Buffer
	dead       bool
}

var errRefuted = errors.New("encoder emits other bytes")

func newCandidate(s encoderSpec) (*candidate, error) {
	c := &candidate{spec: s}
	var err error
	c.enc, err = newEncoder(s, c)
	return c, err
}

// Write takes what the encoder emits and compares it.
func (c *candidate) Write(p []byte) (int, error) {
	n := min(len(p), c.want.Len())
	if !bytes.Equal(c.want.Next(n), p[:n]) {
		c.dead = true
	}
	if n < len(p) {
		c.have.Write(p[n:])
	}
	if c.dead || c.have.Len() > maxLag {
		c.dead = true
		return 0, errRefuted
	}
	return len(p), nil
}

// expect compares p, the next bytes of the stream.
func (c *candidate) expect(p []byte) {
	n := min(len(p), c.have.Len())
	if !bytes.Equal(c.have.Next(n), p[:n]) {
		c.dead = true
	}
	c.want.Write(p[n:])
	if c.want.Len() > maxLag {
		c.dead = true
	}
}

// advance runs the encoder over a step; the candidate is dead if that emits
// other bytes than the stream has.
func (c *candidate) advance(s step) {
	if c.dead {
		return
	}
	c.expect(s.stream)
	if c.dead {
		return
	}
	if _, err := c.enc.Write(s.content); err != nil {
		c.dead = true
		return
	}
	if !s.end {
		return
	}
	if err := c.enc.Close(s.flushed); err != nil || c.dead || c.want.Len() > 0 || c.have.Len() > 0 {
		c.dead = true
		return
	}
	c.enc.Reset(c)
}

// release drops the encoder's memory.
func (c *candidate) release() { *c = candidate{spec: c.spec, dead: c.dead} }
