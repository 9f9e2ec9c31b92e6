package goflate

import (
	"fmt"
	"io"

	"airlock/internal/gzipexact/deflate"
	"airlock/internal/gzipexact/segmented"
)

// A Parallel is an Encoder of level 4 to 9 that works in several goroutines and
// emits the same bytes.
type Parallel struct {
	out  *blocks
	in   *segmented.Writer
	join joiner
}

// NewParallel returns a Parallel with that many workers, each of which holds
// about 4 MiB.
func NewParallel(dst io.Writer, level, workers int) (*Parallel, error) {
	if level < 4 || level > 9 {
		return nil, fmt.Errorf("level %d: not one of 4 to 9", level)
	}
	parsers := make([]segmented.Parser, max(1, workers))
	for i := range parsers {
		parsers[i] = newLazy(nil, level)
	}
	p := &Parallel{out: newBlocks(), in: segmented.NewWriter(parsers, lookAhead)}
	p.Reset(dst)
	return p, nil
}

// Reset makes p the encoder of a new stream that goes to dst.
func (p *Parallel) Reset(dst io.Writer) {
	p.out.Reset(dst)
	p.join = joiner{out: p.out, tokens: p.join.tokens[:0]}
	p.in.Reset(&p.join)
}

// Write takes content. It returns the first error of the destination.
func (p *Parallel) Write(b []byte) (int, error) {
	p.in.Write(b)
	if err := p.out.Err(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends the stream as Encoder's does.
func (p *Parallel) Close(flushed bool) error {
	p.in.End()
	p.join.end()
	if flushed {
		p.out.Sync()
	}
	p.out.Finish()
	return p.out.Flush()
}

// Parse returns the tokens of a task from start on.
func (z *lazy) Parse(t *segmented.Task, start int) []deflate.Token {
	z.reset()
	// The window begins where the original's does at start.
	base := baseAt(t.Start, segmented.Unknown)
	data := t.Data[base-(t.Start-t.Before):]
	z.pos = start - base
	z.length = 3
	for len(data) > 0 {
		if z.end == bufSize {
			by := z.makeRoom()
			z.pos -= by
			z.entered -= by
		}
		data = data[z.fill(data):]
		z.parse()
	}
	if t.Last {
		z.parseTail()
	}
	z.flushAt(z.pos)
	return z.all
}

// baseAt returns where the original's window begins when it searches at pos,
// if the content ends at end.
func baseAt(pos, end int) int {
	base := 0
	if pos > slideWhen {
		base = (pos - slideWhen + slideBy - 1) / slideBy * slideBy
	}
	// It only moves if there is more to take in.
	for base > 0 && end <= base-slideBy+windowSize {
		base -= slideBy
	}
	return base
}

// A joiner writes the tokens of all segments.
type joiner struct {
	out    *blocks
	tokens []deflate.Token // of the block
	block  int             // where the block starts
	pos    int             // where the last token ends

	data []byte // content from a position on
	from int
	stop int // where the content ends, once that is known
}

// Follow says where the content of the next tokens is.
func (j *joiner) Follow(data []byte, from, stop int) { j.data, j.from, j.stop = data, from, stop }

// Add takes the next token.
func (j *joiner) Add(t deflate.Token) {
	n := t.Length()
	j.tokens = append(j.tokens, t)
	j.pos += n
	if len(j.tokens) < blockTokens {
		return
	}
	// The search that led to a match stood behind its first byte.
	if t.IsMatch() {
		j.flush(j.pos - n + 1)
	} else {
		j.flush(j.pos)
	}
}

func (j *joiner) end() {
	if len(j.tokens) > 0 {
		j.flush(j.pos)
	}
}

// flush writes a block, where the original last searched at searched.
func (j *joiner) flush(searched int) {
	var raw []byte
	if j.block >= baseAt(searched, j.stop) {
		raw = j.data[j.block-j.from : j.pos-j.from]
	}
	j.out.smallest(j.tokens, raw)
	j.tokens = j.tokens[:0]
	j.block = j.pos
}
