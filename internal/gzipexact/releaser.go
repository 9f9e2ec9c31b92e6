package gzipexact

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// maxUnreleased is how many bytes of content may wait to be written: at least
// what a race holds before it starts (prefixMost).
const maxUnreleased = 8 << 20

// A releaser writes the steps' content, each once it is confirmed.
type releaser struct {
	to   io.Writer
	done chan struct{}

	mu        sync.Mutex
	changed   sync.Cond
	waiting   []*loan // by step
	bytes     int     // of them
	released  int     // steps
	confirmed int     // steps
	ended     bool    // nothing more will be confirmed
	err       error
}

func newReleaser(to io.Writer) *releaser {
	r := &releaser{to: to, done: make(chan struct{})}
	r.changed.L = &r.mu
	go r.run()
	return r
}

// add appends a step's content, when there is room. It reports whether more is
// wanted.
func (r *releaser) add(p *loan) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.err == nil && r.bytes > maxUnreleased {
		r.changed.Wait()
	}
	p.to()
	r.waiting = append(r.waiting, p)
	r.bytes += len(p.content)
	return r.err == nil
}

// confirm says that an encoder makes the stream's first steps.
func (r *releaser) confirm(steps int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed = max(r.confirmed, steps)
	r.changed.Broadcast()
}

// end waits until what is confirmed is written, and returns the writer's error.
func (r *releaser) end() error {
	r.mu.Lock()
	r.ended = true
	r.changed.Broadcast()
	r.mu.Unlock()
	<-r.done
	return r.err
}

func (r *releaser) run() {
	defer close(r.done)
	for p, ok := r.next(); ok; p, ok = r.next() {
		size := len(p.content)
		_, err := r.to.Write(p.content)
		p.done()
		r.mu.Lock()
		r.bytes -= size
		r.err = err
		r.changed.Broadcast()
		r.mu.Unlock()
	}
}

// next waits for the next step's content.
func (r *releaser) next() (*loan, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.err == nil && !r.ended && !r.ready() {
		r.changed.Wait()
	}
	if r.err != nil || !r.ready() {
		return nil, false
	}
	p := r.waiting[0]
	r.waiting[0] = nil
	r.waiting = r.waiting[1:]
	r.released++
	return p, true
}

func (r *releaser) ready() bool { return r.released < r.confirmed && len(r.waiting) > 0 }

// A loan is memory that is used again once nobody needs its content any more.
// If a user never says so it is left to the garbage collector.
type loan struct {
	content []byte
	pool    *sync.Pool // of *loan; nil: it is not used again
	users   atomic.Int32
}

// lend returns size bytes of memory to one user.
func lend(pool *sync.Pool, size int) *loan {
	l, _ := pool.Get().(*loan)
	if l == nil || cap(l.content) < size {
		l = &loan{content: make([]byte, size), pool: pool}
	}
	l.content = l.content[:size]
	l.users.Store(1)
	return l
}

// cut returns the first n bytes, in memory of their size if they are few: streams
// of small members have many such.
func (l *loan) cut(n int) *loan {
	if n >= len(l.content)/2 {
		l.content = l.content[:n]
		return l
	}
	small := &loan{content: bytes.Clone(l.content[:n])}
	small.users.Store(1)
	l.done()
	return small
}

// to adds a user. The one that calls it is not done yet.
func (l *loan) to() { l.users.Add(1) }

// done says that a user needs the content no more.
func (l *loan) done() {
	if l.users.Add(-1) == 0 && l.pool != nil {
		l.pool.Put(l)
	}
}
