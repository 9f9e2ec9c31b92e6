package goflate

import (
	"fmt"
	"io"

	"airlock/internal/gzipexact/deflate"
)

const (
	// segment is how much content a worker turns into tokens.
	segment = 1 << 20
	// overlap is how much further it goes, so that its tokens meet the next
	// worker's.
	overlap = 32 << 10
	// context is how much content before its segment a worker is handed: a
	// window to search in, and as much before it as a stored block may need.
	context = windowSize
)

// A Parallel is an Encoder of level 4 to 9 that works in several goroutines and
// emits the same bytes.
//
// What follows a token depends on nothing but the content and the position
// where the token ends. So a worker can start at any position as if a token
// ended there; as soon as a token of its own ends where one of the true
// sequence does, both go on alike. Workers start at every multiple of segment
// and run into the next one's part until that has happened.
type Parallel struct {
	out     *blocks
	workers int
	idle    chan *lazy

	buf     []byte // content that is still needed
	from    int    // position of buf[0] in the stream
	next    int    // position of the next segment
	pending []*task
	join    joiner
}

// A task is a segment and its tokens.
type task struct {
	data   []byte // from context before start (or the stream's start) on
	before int    // bytes of data before start
	start  int
	last   bool
	tokens []deflate.Token
	done   chan struct{}
}

// NewParallel returns a Parallel with that many workers, each of which holds
// about 4 MiB.
func NewParallel(dst io.Writer, level, workers int) (*Parallel, error) {
	if level < 4 || level > 9 {
		return nil, fmt.Errorf("level %d: not one of 4 to 9", level)
	}
	workers = max(1, workers)
	p := &Parallel{out: newBlocks(), workers: workers, idle: make(chan *lazy, workers)}
	for range workers {
		p.idle <- newLazy(nil, level)
	}
	p.Reset(dst)
	return p, nil
}

// Reset makes p the encoder of a new stream that goes to dst.
func (p *Parallel) Reset(dst io.Writer) {
	for _, t := range p.pending {
		<-t.done
	}
	p.out.Reset(dst)
	p.buf, p.from, p.next, p.pending = p.buf[:0], 0, 0, p.pending[:0]
	p.join = joiner{out: p.out, tokens: p.join.tokens[:0]}
}

// Write takes content. It returns the first error of the destination.
func (p *Parallel) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		need := p.next + segment + overlap + lookAhead - p.from
		n := min(need-len(p.buf), len(b))
		p.buf, b = append(p.buf, b[:n]...), b[n:]
		if len(p.buf) == need {
			p.dispatch(false)
		}
	}
	if err := p.out.Err(); err != nil {
		return 0, err
	}
	return total, nil
}

// Close ends the stream as Encoder's does.
func (p *Parallel) Close(flushed bool) error {
	p.dispatch(true)
	for len(p.pending) > 0 {
		p.collect()
	}
	p.join.end()
	if flushed {
		p.out.Sync()
	}
	p.out.Finish()
	return p.out.Flush()
}

// dispatch hands the next segment to a worker.
func (p *Parallel) dispatch(last bool) {
	for len(p.pending) > p.workers {
		p.collect()
	}
	t := &task{
		data: append([]byte(nil), p.buf...), before: p.next - p.from,
		start: p.next, last: last, done: make(chan struct{}),
	}
	p.pending = append(p.pending, t)
	go func() {
		z := <-p.idle
		t.tokens = z.segment(t, t.start)
		p.idle <- z
		close(t.done)
	}()
	p.next += segment
	if drop := p.next - context - p.from; drop > 0 && !last {
		p.buf = p.buf[:copy(p.buf, p.buf[drop:])]
		p.from += drop
	}
}

// collect writes the tokens of the oldest task.
func (p *Parallel) collect() {
	t := p.pending[0]
	p.pending = p.pending[1:]
	<-t.done
	if !p.join.meet(t) {
		// The sequences have nothing in common: begin where the true one is.
		z := <-p.idle
		t.tokens = z.segment(t, p.join.pos)
		p.idle <- z
		p.join.follow(t, t.tokens)
	}
}

// segment returns the tokens of a task from start on.
func (z *lazy) segment(t *task, start int) []deflate.Token {
	z.reset()
	data := t.data
	first := t.start - t.before
	// The window begins where the original's does at start.
	base := baseAt(t.start, 1<<62)
	data = data[base-first:]
	z.pos = start - base
	z.length = 3
	for len(data) > 0 {
		if z.end == bufSize {
			by := z.makeRoom()
			z.pos -= by
			z.entered -= by
		}
		data = data[z.fill(data):]
		z.parse(lookAhead)
	}
	if t.last {
		z.parse(1)
		if z.waiting {
			z.tokens = append(z.tokens, deflate.Literal(z.buf[z.pos-1]))
		}
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

// A joiner makes one sequence of the tokens of all segments and writes it.
type joiner struct {
	out    *blocks
	tokens []deflate.Token // of the block
	block  int             // where the block starts
	pos    int             // where the last token ends

	rest []deflate.Token // of the segment before, not yet in use
	data []byte          // content from first on, behind which rest lies
	from int
	stop int // where the content ends, once that is known
}

// meet goes on with the segment before up to the first position where tokens
// of both end, and then with t. It reports false if there is none.
func (j *joiner) meet(t *task) bool {
	at, next := t.start, t.tokens
	for i := 0; ; {
		switch {
		case j.pos == at:
			j.follow(t, next)
			return true
		case j.pos < at:
			if i == len(j.rest) {
				return false
			}
			j.add(j.rest[i])
			i++
		default:
			if len(next) == 0 {
				return false
			}
			at += next[0].Length()
			next = next[1:]
		}
	}
}

// follow goes on with tokens of t, up to where the next segment starts.
func (j *joiner) follow(t *task, tokens []deflate.Token) {
	j.data, j.from = t.data, t.start-t.before
	j.stop = 1 << 62
	if t.last {
		j.stop = j.from + len(t.data)
	}
	end := t.start + segment
	for i, tok := range tokens {
		if j.pos >= end && !t.last {
			j.rest = tokens[i:]
			return
		}
		j.add(tok)
	}
	j.rest = nil
}

func (j *joiner) add(t deflate.Token) {
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
