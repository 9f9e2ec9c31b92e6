package create

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"airlock/internal/archive"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// segmentSize is the unit of what is fetched, in bytes: large enough that a
// request for it costs little beside it, small enough that several are under
// way for the one blob that is to be written next.
const segmentSize = 8 << 20

// Bounds of what is fetched ahead of the packing.
const (
	maxFetching = 6               // requests under way
	maxFetched  = 8 * segmentSize // bytes of segments under way or waiting
)

// slowSegment is how long one connection may take for a segment. A source that
// takes longer, at less than about 20 MB/s, is asked for several at once. One
// request for a whole blob costs the source half as much work.
const slowSegment = 400 * time.Millisecond

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
	slow     map[Source]bool
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
		slow:     map[Source]bool{},
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
		if it.Size <= segmentSize || !f.isSequential(it.source) {
			if stream != nil {
				close(stream)
				stream = nil
			}
			f.start(func() { f.fetchRange(it, s) })
		} else {
			if stream == nil {
				stream = make(chan *segment, maxFetched/segmentSize)
				f.start(func() { f.fetchStream(it, s.from, stream) })
			}
			stream <- s
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

// isSequential says whether a blob is to be fetched with one request.
func (f *fetcher) isSequential(s Source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noRanges[s] || !f.slow[s]
}

// observe takes note of how long a source took for a segment.
func (f *fetcher) observe(s Source, size int64, took time.Duration) {
	if size == segmentSize && took > slowSegment {
		f.mu.Lock()
		f.slow[s] = true
		f.mu.Unlock()
	}
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
			err = skip(r, s.from)
		}
	}
	if r != nil {
		defer r.Close()
	}
	if err == nil {
		err = f.read(s, r)
	}
	s.err = trouble(err)
}

// fetchStream fetches segments that follow each other, the first of them at
// byte from, with one request.
func (f *fetcher) fetchStream(it *item, from int64, segments <-chan *segment) {
	r, err := f.openStream(it, from)
	if err == nil {
		defer f.requests.Release(1)
		defer r.Close()
	}
	for s := range segments {
		began := time.Now()
		if err == nil {
			err = f.read(s, r)
		}
		f.observe(it.source, s.to-s.from, time.Since(began))
		s.err = trouble(err)
		close(s.ready)
	}
}

// openStream opens an item at byte from. Unless it fails it has acquired a request.
func (f *fetcher) openStream(it *item, from int64) (io.ReadCloser, error) {
	if err := f.requests.Acquire(f.ctx, 1); err != nil {
		return nil, err
	}
	at := from
	r, err := it.source.Open(f.ctx, it.Descriptor, from, it.Size)
	if errors.Is(err, oci.ErrNoRanges) {
		at = 0
		r, err = it.source.Open(f.ctx, it.Descriptor, 0, it.Size)
	}
	if err == nil && at < from {
		err = skip(r, from-at)
	}
	if err != nil {
		if r != nil {
			r.Close()
		}
		f.requests.Release(1)
	}
	return r, err
}

func (f *fetcher) read(s *segment, r io.Reader) error {
	s.data = f.buffer(s.to - s.from)
	in := noting{Reader: r}
	n, err := io.ReadFull(&in, s.data)
	return in.judge(s.from+int64(n), err)
}

// skip reads n bytes that nobody wants.
func skip(r io.Reader, n int64) error {
	in := noting{Reader: r}
	got, err := io.CopyN(io.Discard, &in, n)
	return in.judge(got, err)
}

// noting keeps the error that its Reader fails with, which io.ReadFull's own
// cannot be told from.
type noting struct {
	io.Reader
	failed error
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.failed = err
	}
	return got, err
}

// judge returns the error of reading up to byte at: the Reader's own or, where
// it has said that its bytes end there, that they are too few.
func (n *noting) judge(at int64, err error) error {
	switch {
	case err == nil:
		return nil
	case n.failed != nil:
		return n.failed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: they end after %d bytes", archive.ErrMismatch, at)
	}
	return err
}

// errBroken says that a source has not said all that it had to say.
var errBroken = errors.New("the source broke off")

// trouble returns a source's error in a form that cannot be taken for the end of
// its bytes: those that it gave may all be right.
func trouble(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s", errBroken, err)
	}
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

// itemReader is an archive.Lender: most of an item is not copied on its way.
type itemReader struct {
	f     *fetcher
	raw   []byte // to be handed out
	held  *loan  // the segment that raw is of; nil: of none
	left  int64
	total progress.Task
	err   error // sticky
}

// loan is a segment's memory, which is released when its last user is done.
type loan struct {
	f     *fetcher
	data  []byte
	users atomic.Int32
}

func (l *loan) done() {
	if l.users.Add(-1) == 0 {
		l.f.release(l.data)
	}
}

func (r *itemReader) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.raw)
	r.advance(n)
	return n, nil
}

// Lend implements archive.Lender.
func (r *itemReader) Lend(n int) ([]byte, func()) {
	if r.fill() != nil || r.held == nil || len(r.raw) < n {
		return nil, nil // Read tells why
	}
	data, from := r.raw[:n:n], r.held
	from.users.Add(1)
	r.advance(n)
	return data, from.done
}

// fill sees to it that there are bytes to hand out.
func (r *itemReader) fill() error {
	if r.left == 0 {
		return io.EOF
	}
	if len(r.raw) == 0 && r.err == nil {
		r.err = r.load()
	}
	return r.err
}

// advance goes on behind the next n bytes.
func (r *itemReader) advance(n int) {
	r.raw, r.left = r.raw[n:], r.left-int64(n)
	r.total.Add(int64(n))
	if len(r.raw) == 0 && r.held != nil {
		r.held.done()
		r.held = nil
	}
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
		r.raw, r.held = s.data, &loan{f: r.f, data: s.data}
		r.held.users.Store(1)
		return nil
	case <-r.f.ctx.Done():
		return r.f.ctx.Err()
	}
}
