// Package kpflate is the level 5 DEFLATE encoder of the Go module
// github.com/klauspost/compress, which pgzip and with it podman, buildah,
// skopeo and umoci use, frozen in the eras that real images come from: for the
// same bytes it emits the same bytes as the releases of that era do.
//
// It is written anew; what it shares with the original is every decision that
// shows in the output.
package kpflate

import (
	"io"

	"airlock/internal/gzipexact/deflate"
)

// An Era is a range of releases with the same output.
type Era int

const (
	// Era1_15 is 1.15.12 to 1.18.0.
	Era1_15 Era = iota + 1
	// Era1_18 is 1.18.2 to 1.20.3.
	Era1_18
)

const (
	blockSize = 65535
	farAway   = 1 << 17
	rebaseAt  = 1 << 30
)

// An Encoder writes DEFLATE streams, one after the other. It holds about 1 MiB.
type Encoder struct {
	out    *blocks
	match  matcher
	tokens []deflate.Token
	n      int // bytes in the block that is filling
}

// NewEncoder returns an Encoder that writes to dst.
func NewEncoder(dst io.Writer, era Era) *Encoder {
	e := &Encoder{out: newBlocks(era), tokens: make([]deflate.Token, 0, blockSize)}
	e.match.data = new(content)
	e.match.buf = e.match.data[:0]
	e.ResetDict(dst, nil)
	return e
}

// Reset begins another stream.
func (e *Encoder) Reset(dst io.Writer) { e.ResetDict(dst, nil) }

// ResetDict begins another stream, whose matches may reach back into dict, at
// most 32 KiB.
func (e *Encoder) ResetDict(dst io.Writer, dict []byte) {
	e.out.Reset(dst)
	e.out.open, e.out.noMatches = 0, false
	e.match.reset()
	e.n = 0
	if len(dict) > 0 {
		e.match.append(dict)
		// As if it was content: its positions are entered the same way.
		e.tokens = e.match.parse(e.tokens[:0], len(dict))
	}
}

// Write takes content. It returns the first error of the destination.
func (e *Encoder) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if e.n == blockSize {
			e.block(false)
		}
		n := min(blockSize-e.n, len(p))
		e.match.append(p[:n])
		e.n += n
		p = p[n:]
	}
	if err := e.out.Err(); err != nil {
		return 0, err
	}
	return total, nil
}

// block writes the block that is filling; last says that a flush follows.
func (e *Encoder) block(last bool) {
	raw := e.match.buf[len(e.match.buf)-e.n:]
	switch {
	case len(raw) == 0:
		return
	case len(raw) < 128 && len(raw) <= 32:
		e.out.stored(raw)
	case len(raw) < 128:
		e.out.literals(raw, true)
	default:
		e.tokens = e.match.parse(e.tokens[:0], len(raw))
		switch n := len(e.tokens); {
		case n == 0:
			e.out.stored(raw)
		case n > len(raw)-len(raw)>>4:
			e.out.literals(raw, last)
		default:
			e.out.matches(e.tokens, raw, last)
		}
	}
	e.n = 0
}

// Flush ends the content so far with an empty block. Only Close, Reset and
// ResetDict may follow.
func (e *Encoder) Flush() error {
	e.block(true)
	e.out.end()
	e.out.Sync()
	return e.out.Flush()
}

// Close ends the stream; flushed says that the original was flushed just
// before, which shows as an empty block.
func (e *Encoder) Close(flushed bool) error {
	e.block(true)
	e.out.end()
	if flushed {
		e.out.Sync()
	}
	e.out.EmptyFixed()
	return e.out.Flush()
}
