// Package segmented parses one content into tokens in several goroutines.
//
// It is for parsers where what follows a token depends on nothing but the
// content and the position where the token ends. Such a parser can start at any
// position as if a token ended there; as soon as a token of its own ends where
// one of the true sequence does, both go on alike. So parsers start at every
// multiple of Size and run into the next one's part until that has happened.
package segmented

import "airlock/internal/gzipexact/deflate"

const (
	// Size is how much content a parser turns into tokens.
	Size = 1 << 20
	// Overlap is how much further it goes, so that its tokens meet the next
	// parser's.
	Overlap = 32 << 10
	// meetWithin is how far into its segment a parser must have met the one
	// before. What is left then is more than any parser looks ahead, so that an
	// encoder may treat the end of the content in a way of its own.
	meetWithin = Overlap / 2
	// Context is how much content before its segment a parser is handed: a
	// window to search in, and as much before it as a stored block may need.
	Context = 2 * deflate.Window
)

// A Task is a segment of a content.
type Task struct {
	Data   []byte // from Context before Start (or the content's start) on
	Before int    // bytes of Data before Start
	Start  int    // position in the content
	Last   bool   // Data ends where the content does
	tokens []deflate.Token
	done   chan struct{}
}

// A Parser returns the tokens of a task from a position on, as if a token ended
// there; up to where less follows than it looks ahead, or all if the task is
// the last.
type Parser interface {
	Parse(t *Task, start int) []deflate.Token
}

// A Sink takes the true sequence of tokens.
type Sink interface {
	// Follow says what content the next tokens lie in: data, which starts at a
	// position of the content and ends at stop, where the content does, or
	// somewhere else if stop is Unknown.
	Follow(data []byte, from, stop int)
	Add(t deflate.Token)
}

// Unknown is a position behind the end of every content.
const Unknown = 1 << 62

// A Writer takes content and hands its tokens to a sink.
type Writer struct {
	workers   int
	lookAhead int
	idle      chan Parser
	sink      Sink

	buf     []byte // content that is still needed
	from    int    // position of buf[0]
	next    int    // position of the next segment
	pending []*Task

	pos  int             // where the last token handed on ends
	rest []deflate.Token // of the segment before, not yet handed on
}

// NewWriter returns a Writer with parsers, which need lookAhead bytes behind
// where they stand.
func NewWriter(parsers []Parser, lookAhead int) *Writer {
	w := &Writer{workers: len(parsers), lookAhead: lookAhead, idle: make(chan Parser, len(parsers))}
	for _, p := range parsers {
		w.idle <- p
	}
	return w
}

// Reset makes w ready for another content, whose tokens go to sink.
func (w *Writer) Reset(sink Sink) {
	for _, t := range w.pending {
		<-t.done
	}
	w.sink, w.buf, w.from, w.next, w.pending = sink, w.buf[:0], 0, 0, nil
	w.pos, w.rest = 0, nil
}

// Write takes content.
func (w *Writer) Write(b []byte) {
	for len(b) > 0 {
		need := w.next + Size + Overlap + w.lookAhead - w.from
		n := min(need-len(w.buf), len(b))
		w.buf, b = append(w.buf, b[:n]...), b[n:]
		if len(w.buf) == need {
			w.dispatch(false)
		}
	}
}

// End says that the content ends, and hands on all tokens that are left.
func (w *Writer) End() {
	w.dispatch(true)
	for len(w.pending) > 0 {
		w.collect()
	}
}

// dispatch hands the next segment to a parser.
func (w *Writer) dispatch(last bool) {
	for len(w.pending) > w.workers {
		w.collect()
	}
	t := &Task{
		Data: append([]byte(nil), w.buf...), Before: w.next - w.from,
		Start: w.next, Last: last, done: make(chan struct{}),
	}
	w.pending = append(w.pending, t)
	go func() {
		p := <-w.idle
		t.tokens = p.Parse(t, t.Start)
		w.idle <- p
		close(t.done)
	}()
	w.next += Size
	if drop := w.next - Context - w.from; drop > 0 && !last {
		w.buf = w.buf[:copy(w.buf, w.buf[drop:])]
		w.from += drop
	}
}

// collect hands on the tokens of the oldest task.
func (w *Writer) collect() {
	t := w.pending[0]
	w.pending = w.pending[1:]
	<-t.done
	if !w.meet(t) {
		// The sequences have nothing in common: begin where the true one is.
		p := <-w.idle
		t.tokens = p.Parse(t, w.pos)
		w.idle <- p
		w.follow(t, t.tokens)
	}
}

// meet goes on with the segment before up to the first position where tokens
// of both end, and then with t. It reports false if there is none.
func (w *Writer) meet(t *Task) bool {
	at, next := t.Start, t.tokens
	for i := 0; ; {
		switch {
		case w.pos == at:
			w.follow(t, next)
			return true
		case w.pos < at:
			if i == len(w.rest) || w.pos > t.Start+meetWithin {
				return false
			}
			w.add(w.rest[i])
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
func (w *Writer) follow(t *Task, tokens []deflate.Token) {
	from, stop := t.Start-t.Before, Unknown
	if t.Last {
		stop = from + len(t.Data)
	}
	w.sink.Follow(t.Data, from, stop)
	end := t.Start + Size
	for i, tok := range tokens {
		if w.pos >= end && !t.Last {
			w.rest = tokens[i:]
			return
		}
		w.add(tok)
	}
	w.rest = nil
}

func (w *Writer) add(t deflate.Token) {
	w.pos += t.Length()
	w.sink.Add(t)
}
