package gzipexact

import (
	"io"
	"sync"
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
	waiting   [][]byte // by step
	bytes     int      // of them
	released  int      // steps
	confirmed int      // steps
	ended     bool     // nothing more will be confirmed
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
func (r *releaser) add(p []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.err == nil && r.bytes > maxUnreleased {
		r.changed.Wait()
	}
	r.waiting = append(r.waiting, p)
	r.bytes += len(p)
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
		_, err := r.to.Write(p)
		r.mu.Lock()
		r.bytes -= len(p)
		r.err = err
		r.changed.Broadcast()
		r.mu.Unlock()
	}
}

// next waits for the next step's content.
func (r *releaser) next() ([]byte, bool) {
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
