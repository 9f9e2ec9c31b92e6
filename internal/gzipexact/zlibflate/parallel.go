package zlibflate

import (
	"fmt"
	"io"

	"airlock/internal/gzipexact/deflate"
	"airlock/internal/gzipexact/segmented"
)

// FirstParallel is the lowest level that a Parallel has. Below, what a search
// finds depends on which matches were taken before.
const FirstParallel = lastFast + 1

// A Parallel is an Encoder of level FirstParallel to 9 that works in several
// goroutines and emits the same bytes.
type Parallel struct {
	variant Variant
	out     *blocks
	in      *segmented.Writer
	join    joiner
}

// NewParallel returns a Parallel with that many workers, each of which holds
// about 3 MiB.
func NewParallel(dst io.Writer, v Variant, level, workers int) (*Parallel, error) {
	if err := Check(v, level); err != nil {
		return nil, err
	}
	if level < FirstParallel {
		return nil, fmt.Errorf("level %d: not one of %d to 9", level, FirstParallel)
	}
	parsers := make([]segmented.Parser, max(1, workers))
	for i := range parsers {
		p := newParser(v, level)
		p.gather = true
		parsers[i] = &gatherer{p}
	}
	p := &Parallel{variant: v, out: newBlocks(), in: segmented.NewWriter(parsers, lookAhead)}
	p.join = joiner{out: p.out, variant: v, divider: newDivider(v, level)}
	p.Reset(dst)
	return p, nil
}

// Reset makes p the encoder of a new stream that goes to dst.
func (p *Parallel) Reset(dst io.Writer) {
	p.out.Reset(dst)
	p.join.reset()
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
	if flushed && p.variant == GNU {
		return ErrNeverFlushed
	}
	p.in.End()
	p.join.passed(p.join.pos)
	if flushed {
		if len(p.join.tokens) > 0 {
			p.join.flush(p.join.pos, false)
		}
		p.out.Sync()
	}
	p.join.flush(p.join.pos, true)
	return p.out.Flush()
}

// A gatherer is a parser that keeps all tokens.
type gatherer struct{ *parser }

// Parse returns the tokens of a task from start on.
func (g *gatherer) Parse(t *segmented.Task, start int) []deflate.Token {
	g.reset()
	base := baseAt(start, segmented.Unknown)
	data := t.Data[base-(t.Start-t.Before):]
	if base > 0 {
		// What the window has where it is not filled yet: GNU gzip looks there.
		copy(g.buf[half:full], data)
	}
	g.end = copy(g.buf[:full], data)
	g.pos = start - base
	g.behind = min(g.pos, minMatch-1)
	for pos := range g.pos - g.behind {
		g.enter(pos)
	}
	g.write(data[g.end:])
	if t.Last {
		g.drain()
	} else {
		g.parse(lookAhead)
	}
	tokens := g.tokens
	g.tokens = nil
	return tokens
}

// baseAt returns where the window begins when zlib searches at pos, if the
// content ends at end.
func baseAt(pos, end int) int {
	base := max(0, (pos-(half+maxDist)+half-1)/half*half)
	if pos == base+half+maxDist && end < base+full {
		base += half
	}
	return base
}

// A joiner writes the tokens of all segments.
type joiner struct {
	divider
	out     *blocks
	variant Variant
	block   int // where the block starts
	pos     int // where the last token ends

	data   []byte // content from a position on
	from   int
	stop   int // where the content ends, once that is known
	tailed int // the first position passed that too little follows, or Unknown
}

func (j *joiner) reset() {
	j.divider.reset()
	j.block, j.pos, j.data, j.from = 0, 0, nil, 0
	j.stop, j.tailed = segmented.Unknown, segmented.Unknown
}

// Follow says where the content of the next tokens is.
func (j *joiner) Follow(data []byte, from, stop int) { j.data, j.from, j.stop = data, from, stop }

// Add takes the next token.
func (j *joiner) Add(t deflate.Token) {
	start := j.pos
	if start > j.stop-2*lookAhead {
		j.passed(start)
		j.passed(start + 1)
	}
	j.pos += t.Length()
	if !j.divider.add(t) {
		return
	}
	// The search that led to a token stood behind its first byte.
	j.flush(start+1, false)
}

// passed says that the original stood at pos.
func (j *joiner) passed(pos int) {
	if j.tailed == segmented.Unknown && j.stop-pos < lookAhead {
		j.tailed = pos
	}
}

// base returns where the original's window begins once it has searched at pos.
// GNU gzip does not move it any more once it has found that there is no more
// content, which it does where first too little follows.
func (j *joiner) base(pos int) int {
	if j.variant == GNU {
		pos = min(pos, j.tailed)
	}
	return baseAt(pos, j.stop)
}

func (j *joiner) flush(searched int, last bool) {
	end := j.block + j.content
	var raw []byte
	if j.block >= j.base(searched) {
		raw = j.data[j.block-j.from : end-j.from]
	}
	j.out.write(j.tokens, raw, last)
	j.block = end
	j.divider.reset()
}
