package create

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"airlock/internal/oci"
	"airlock/internal/progress"
)

// segmentSize is how many bytes of a blob are asked for at once: large enough
// that a request costs little beside it, small enough that several are under
// way for the one blob that is to be written next.
const segmentSize = 8 << 20

// Bounds of what is fetched ahead of the packing.
const (
	maxFetching = 6               // requests under way
	maxFetched  = 8 * segmentSize // bytes of segments under way or waiting
)

// segment is bytes [from, to) of an item.
type segment struct {
	from, to int64
	ready    chan struct{} // closed when data or err is set
	data     []byte
	err      error
}

// fetcher fetches the segments of all items ahead of their use: in the items'
// order, several side by side, whichever items they belong to.
type fetcher struct {
	ctx      context.Context
	queue    chan *segment // in the items' order
	memory   *semaphore.Weighted
	requests *semaphore.Weighted
	free     chan []byte // buffers of segmentSize bytes to be used again
	running  sync.WaitGroup

	mu       sync.Mutex
	noRanges map[Source]bool
}

// fetch begins to fetch the items that are not documents.
func fetch(ctx context.Context, items []item) *fetcher {
	f := &fetcher{
		ctx:      ctx,
		queue:    make(chan *segment, 256),
		memory:   semaphore.NewWeighted(maxFetched),
		requests: semaphore.NewWeighted(maxFetching),
		free:     make(chan []byte, maxFetched/segmentSize),
		noRanges: map[Source]bool{},
	}
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		for i := range items {
			if items[i].raw == nil {
				f.plan(&items[i])
			}
		}
	}()
	return f
}

// stop ends all requests and waits for them.
func (f *fetcher) stop(cancel context.CancelFunc) {
	cancel()
	f.running.Wait()
}

// plan queues an item's segments as memory allows, each being fetched from then on.
func (f *fetcher) plan(it *item) {
	var stream chan *segment
	for from := int64(0); from < it.Size; from += segmentSize {
		s := &segment{from: from, to: min(from+segmentSize, it.Size), ready: make(chan struct{})}
		if f.memory.Acquire(f.ctx, held(s.to-s.from)) != nil {
			break
		}
		switch {
		case stream != nil:
			stream <- s
		case f.isSequential(it.source) && it.Size > segmentSize:
			stream = make(chan *segment, maxFetched/segmentSize)
			stream <- s
			f.start(func() { f.fetchStream(it, stream) })
		default:
			f.start(func() { f.fetchRange(it, s) })
		}
		select {
		case f.queue <- s:
		case <-f.ctx.Done():
		}
	}
	if stream != nil {
		close(stream)
	}
}

func (f *fetcher) start(work func()) {
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		work()
	}()
}

func (f *fetcher) isSequential(s Source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noRanges[s]
}

// fetchRange fetches one segment by itself.
func (f *fetcher) fetchRange(it *item, s *segment) {
	defer close(s.ready)
	if s.err = f.requests.Acquire(f.ctx, 1); s.err != nil {
		return
	}
	defer f.requests.Release(1)
	r, err := it.source.Open(f.ctx, it.Descriptor, s.from, s.to)
	if errors.Is(err, oci.ErrNoRanges) {
		f.mu.Lock()
		f.noRanges[it.source] = true
		f.mu.Unlock()
		if r, err = it.source.Open(f.ctx, it.Descriptor, 0, it.Size); err == nil {
			_, err = io.CopyN(io.Discard, r, s.from)
		}
	}
	if r != nil {
		defer r.Close()
	}
	if err == nil {
		err = f.read(s, r)
	}
	s.err = err
}

// fetchStream fetches segments that follow each other with one request.
func (f *fetcher) fetchStream(it *item, segments <-chan *segment) {
	err := f.requests.Acquire(f.ctx, 1)
	var r io.ReadCloser
	if err == nil {
		defer f.requests.Release(1)
		if r, err = it.source.Open(f.ctx, it.Descriptor, 0, it.Size); err == nil {
			defer r.Close()
		}
	}
	at := int64(0)
	for s := range segments {
		if err == nil && at < s.from {
			_, err = io.CopyN(io.Discard, r, s.from-at)
		}
		if err == nil {
			err = f.read(s, r)
		}
		s.err, at = err, s.to
		close(s.ready)
	}
}

func (f *fetcher) read(s *segment, r io.Reader) error {
	s.data = f.buffer(s.to - s.from)
	_, err := io.ReadFull(r, s.data)
	return err
}

// held returns how many bytes of memory the buffer for n bytes takes: a whole
// one, to be used again, or, if that were mostly idle, just these.
func held(n int64) int64 {
	if n <= segmentSize/2 {
		return n
	}
	return segmentSize
}

// buffer returns n bytes of memory.
func (f *fetcher) buffer(n int64) []byte {
	if held(n) < segmentSize {
		return make([]byte, n)
	}
	select {
	case b := <-f.free:
		return b[:n]
	default:
		return make([]byte, n, segmentSize)
	}
}

// release gives a segment's memory back.
func (f *fetcher) release(data []byte) {
	f.memory.Release(held(int64(len(data))))
	if cap(data) == segmentSize {
		select {
		case f.free <- data:
		default:
		}
	}
}

// next returns the bytes of an item. Items have to be taken in order, each
// read to its end before the next.
func (f *fetcher) next(it item, total progress.Task) io.Reader {
	return &itemReader{f: f, left: it.Size, raw: it.raw, total: total}
}

type itemReader struct {
	f     *fetcher
	raw   []byte // to be handed out
	held  []byte // the segment that raw is of; nil: of none
	left  int64
	total progress.Task
}

func (r *itemReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(r.raw) == 0 {
		if err := r.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.raw)
	r.raw, r.left = r.raw[n:], r.left-int64(n)
	r.total.Add(int64(n))
	if len(r.raw) == 0 && r.held != nil {
		r.f.release(r.held)
		r.held = nil
	}
	return n, nil
}

func (r *itemReader) load() error {
	select {
	case s := <-r.f.queue:
		select {
		case <-s.ready:
		case <-r.f.ctx.Done():
			return r.f.ctx.Err()
		}
		if s.err != nil {
			return fmt.Errorf("bytes %d to %d: %w", s.from, s.to, s.err)
		}
		r.raw, r.held = s.data, s.data
		return nil
	case <-r.f.ctx.Done():
		return r.f.ctx.Err()
	}
}
