package transfer

import (
	"context"
	"io"
	"sync"
)

// resend is the most that is sent again after a cut: what was written but not
// yet known to be durable, over all connections to a place.
const resend = 64 << 20

// pipe moves the bytes of one file in pieces that are written side by side,
// makes them durable window by window while the next ones travel, and tells
// how far that has come. At most two windows are ever not durable.
type pipe struct {
	pipeTo
	mu     sync.Mutex
	news   *sync.Cond
	acked  map[int64]int64 // bytes written of each window, by where it begins
	pushed int64           // where the next piece goes
	safe   int64           // below it all is durable
	end    int64           // where the file ends, -1 while that is not known
	err    error

	work chan piece
	free chan []byte
	wg   sync.WaitGroup
}

// pipeTo is where a pipe leads.
type pipeTo struct {
	packet  int
	workers int // that write side by side; 0: whoever pushes writes, in order
	window  int64
	write   func(b []byte, off int64) error
	sync    func() error
	last    func() error           // in the place of the last sync, when all was written; nil: sync
	durable func(upTo int64) error // called in order, from one goroutine
	rate    *bucket
}

type piece struct {
	b   []byte
	off int64
}

// newPipe starts a pipe whose first byte goes to offset from.
func newPipe(to pipeTo, from int64) *pipe {
	p := &pipe{pipeTo: to, acked: map[int64]int64{}, pushed: from, safe: from, end: -1}
	p.news = sync.NewCond(&p.mu)
	p.work, p.free = make(chan piece), make(chan []byte, p.workers+1)
	for range p.workers {
		p.free <- make([]byte, p.packet)
		p.wg.Go(p.writer)
	}
	if p.workers > 0 {
		p.free <- make([]byte, p.packet)
	}
	p.wg.Go(p.syncer)
	return p
}

// buffer returns room for one piece. It need not be asked for at once: there
// are as many as writers, and one.
func (p *pipe) buffer() []byte { return <-p.free }

// push hands over the next piece, at most a packet long, in a buffer of
// buffer's; without workers it is the caller's again when push returns. It
// waits while too much is not durable.
func (p *pipe) push(ctx context.Context, b []byte) error {
	err := p.rate.wait(ctx, len(b))
	p.mu.Lock()
	if err != nil && p.err == nil {
		p.stop(err)
	}
	for p.err == nil && p.pushed+int64(len(b))-p.safe > 2*p.window {
		p.news.Wait()
	}
	at, err := p.pushed, p.err
	p.pushed += int64(len(b))
	p.mu.Unlock()
	switch {
	case p.workers == 0 && err == nil:
		p.put(piece{b, at})
	case p.workers == 0:
	case err == nil:
		p.work <- piece{b, at}
	default:
		p.free <- b[:cap(b)]
	}
	return err
}

// room is how much the next piece may have so that it lies in one window.
func (p *pipe) room() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(int64(p.packet), p.window-p.pushed%p.window)
}

// finish says that all was pushed, or with an error that no more will be, and
// returns when the writers are done: nil if all is durable.
func (p *pipe) finish(err error) error {
	p.mu.Lock()
	p.end = p.pushed
	if err != nil && p.err == nil {
		p.stop(err)
	}
	p.news.Broadcast()
	p.mu.Unlock()
	close(p.work)
	p.wg.Wait()
	return p.err
}

// stop ends the pipe with its first error. The caller holds mu.
func (p *pipe) stop(err error) {
	if p.err == nil {
		p.err = err
	}
	p.news.Broadcast()
}

func (p *pipe) writer() {
	for w := range p.work {
		p.put(w)
		p.free <- w.b[:cap(w.b)]
	}
}

// put writes a piece, unless the pipe has ended.
func (p *pipe) put(w piece) {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err == nil {
		err = p.write(w.b, w.off)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.stop(err)
		return
	}
	p.acked[w.off-w.off%p.window] += int64(len(w.b))
	p.news.Broadcast()
}

// syncer makes durable what is complete.
func (p *pipe) syncer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.safe // the first window may begin before it: at the boundary below
	for p.err == nil && p.safe != p.end {
		upTo := p.complete(first)
		if upTo == p.safe {
			p.news.Wait()
			continue
		}
		sync := p.sync
		if upTo == p.end && p.last != nil {
			sync = p.last
		}
		p.mu.Unlock()
		err := sync()
		if err == nil {
			err = p.durable(upTo)
		}
		p.mu.Lock()
		if err != nil {
			p.stop(err)
			return
		}
		for begin := range p.acked {
			if begin+p.window <= upTo {
				delete(p.acked, begin)
			}
		}
		p.safe = upTo
		p.news.Broadcast()
	}
}

// complete returns up to where all windows were written wholly.
func (p *pipe) complete(first int64) int64 {
	at := p.safe
	for {
		begin := at - at%p.window
		next := begin + p.window
		if p.end >= 0 {
			next = min(next, p.end)
		}
		if next <= at || p.acked[begin] < next-max(begin, first) {
			return at
		}
		at = next
	}
}

// pump pushes the bytes [from, to) of src and finishes.
func (p *pipe) pump(ctx context.Context, src io.ReaderAt, from, to int64) error {
	return p.finish(inOrder(ctx, source{src}, from, to, func(b []byte) error {
		for len(b) > 0 {
			n := int(min(p.room(), int64(len(b))))
			piece := b[:n]
			if p.workers > 0 {
				piece = append(p.buffer()[:0], piece...)
			}
			if err := p.push(ctx, piece); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}))
}

// source is what is sent. Its errors are sourceErrors, a short read one too.
type source struct{ io.ReaderAt }

func (s source) ReadAt(b []byte, off int64) (int, error) {
	if err := readWhole(s.ReaderAt, b, off); err != nil {
		return 0, &sourceError{err}
	}
	return len(b), nil
}

// sourceError is an error of what is read, not of where it is written.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "reading what is to be sent: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }
