// Package zlibflate is the DEFLATE encoder of zlib 1.2.11 to 1.3.1 at levels 1
// to 9, and that of GNU gzip 1.5 and later, which is its ancestor; frozen: for
// the same bytes and settings it emits the same bytes as they do, for ever.
//
// It is written anew; what it shares with the originals is every decision that
// shows in the output. zlib's output depends on how its input was cut into
// calls in one rare case (a call whose input ends within the last 262 bytes of
// the 64 KiB window while a search stands exactly there). This package decides
// as if each call had more to give than the window takes, which is so for
// inputs of 512·2ⁿ bytes, that is, for every tar.
package zlibflate

import (
	"errors"
	"fmt"
	"io"

	"airlock/internal/gzipexact/deflate"
)

// A Variant is an encoder with a buffer size.
type Variant uint8

const (
	// Zlib8 is zlib with memLevel 8, its default.
	Zlib8 Variant = iota + 1
	// Zlib9 is zlib with memLevel 9.
	Zlib9
	// GNU is GNU gzip.
	GNU
)

// ErrNeverFlushed says that GNU gzip flushes no stream before its end.
var ErrNeverFlushed = errors.New("encoder never flushes a stream at its end")

// A config is what a level stands for.
type config struct {
	good  int // a waiting match this long makes a search four times shorter
	lazy  int // one this long is taken without another; or, of the fast levels, the longest match that is entered
	nice  int // a match this long ends a search
	chain int // candidates looked at
}

// levels are the same in all variants. Up to level 3 the first match is taken.
var levels = [10]config{
	1: {4, 4, 8, 4}, 2: {4, 5, 16, 8}, 3: {4, 6, 32, 32},
	4: {4, 4, 16, 16}, 5: {8, 16, 32, 32}, 6: {8, 16, 128, 128},
	7: {8, 32, 128, 256}, 8: {32, 128, 258, 1024}, 9: {32, 258, 258, 4096},
}

const lastFast = 3

// An Encoder writes one DEFLATE stream at a time. It holds about 0.5 MiB.
type Encoder struct {
	*parser
	out *blocks
}

// Check reports whether there is an encoder of that variant and level.
func Check(v Variant, level int) error {
	if v < Zlib8 || v > GNU || level < 1 || level > 9 {
		return fmt.Errorf("variant %d, level %d: no such encoder", v, level)
	}
	return nil
}

// NewEncoder returns an Encoder of a level, 1 to 9, that writes to dst.
func NewEncoder(dst io.Writer, v Variant, level int) (*Encoder, error) {
	if err := Check(v, level); err != nil {
		return nil, err
	}
	e := &Encoder{out: newBlocks(), parser: newParser(v, level)}
	e.parser.emit = e.block
	e.Reset(dst)
	return e, nil
}

// Reset makes e the encoder of a new stream that goes to dst.
func (e *Encoder) Reset(dst io.Writer) { e.ResetDict(dst, nil) }

// ResetDict makes e the encoder of a new stream, or of a part of one, that may
// refer to dict, at most 32 KiB.
func (e *Encoder) ResetDict(dst io.Writer, dict []byte) {
	e.out.Reset(dst)
	e.parser.reset()
	e.parser.preset(dict)
}

// Write takes content. It returns the first error of the destination.
func (e *Encoder) Write(p []byte) (int, error) {
	e.parser.write(p)
	if err := e.out.Err(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Pad ends a block and goes to a whole byte, as pigz does at the end of its
// blocks: with empty fixed blocks of ten bits if that leads there, else with an
// empty stored block.
func (e *Encoder) Pad() error {
	e.parser.drain()
	if len(e.tokens) > 0 {
		e.flush(false)
	}
	if e.out.Pending()&1 != 0 {
		e.out.Sync()
	}
	for e.out.Pending() != 0 {
		e.out.Bits(1<<1, 10)
	}
	return e.out.Flush()
}

// Close ends the stream; flushed says that the original was flushed (with
// Z_SYNC_FLUSH) just before. It does not close the destination.
func (e *Encoder) Close(flushed bool) error {
	if flushed && e.variant == GNU {
		return ErrNeverFlushed
	}
	e.parser.drain()
	if flushed {
		if len(e.tokens) > 0 {
			e.flush(false)
		}
		e.out.Sync()
	}
	e.flush(true)
	return e.out.Flush()
}

func (e *Encoder) block(tokens []deflate.Token, raw []byte, last bool) {
	e.out.write(tokens, raw, last)
}
