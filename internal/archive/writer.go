package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"airlock/internal/manifest"
)

// Writer writes blobs and then the index to a space. Frames are encoded side
// by side and written in order, at most 16 MiB of them under way. It serves
// one goroutine.
type Writer struct {
	encoder *encoder
	index   index
	known   map[manifest.Digest]bool
	free    chan []byte
	queue   chan *pending
	drained chan struct{} // closed when the drain has ended
	broken  chan struct{} // closed when the drain has failed
	drain   drain
}

// pending is a frame on its way.
type pending struct {
	content int
	data    []byte // its bytes of content; the buffer goes back to free
	result  chan encoded
}

type encoded struct {
	kind FrameKind
	data []byte
}

// drain is the goroutine that writes frames in order. Its fields are its own
// until it has ended.
type drain struct {
	space  io.Writer
	offset int64
	frames map[int][]frame // by content
	err    error
}

const framesUnderWay = 8

// NewWriter returns a Writer to an empty space. Close must be called, after an
// error too.
func NewWriter(space io.Writer) (*Writer, error) {
	encoder, err := newEncoder(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	w := &Writer{
		encoder: encoder,
		known:   map[manifest.Digest]bool{},
		free:    make(chan []byte, framesUnderWay),
		queue:   make(chan *pending, framesUnderWay),
		drained: make(chan struct{}),
		broken:  make(chan struct{}),
		drain:   drain{space: space, frames: map[int][]frame{}},
	}
	for range framesUnderWay {
		w.free <- make([]byte, frameSize)
	}
	go w.run()
	return w, nil
}

// run writes what is queued until the queue is closed.
func (w *Writer) run() {
	defer close(w.drained)
	for p := range w.queue {
		e := <-p.result
		if w.drain.err == nil {
			if w.drain.err = w.drain.write(p, e); w.drain.err != nil {
				close(w.broken)
			}
		}
		w.free <- p.data[:frameSize]
	}
}

func (d *drain) write(p *pending, e encoded) error {
	f := frame{kind: e.kind, size: int64(len(p.data)), encoded: int64(len(e.data)), offset: d.offset}
	d.frames[p.content] = append(d.frames[p.content], f)
	d.offset += f.encoded
	_, err := d.space.Write(e.data)
	return err
}

// Has reports whether a blob was added.
func (w *Writer) Has(d manifest.Digest) bool { return w.known[d] }

// Add appends a blob of size bytes, which must be new. It reads r to its end
// and returns an error that wraps ErrMismatch if the bytes are more, fewer or
// others than named; the space is worthless then.
func (w *Writer) Add(d manifest.Digest, size int64, r io.Reader) error {
	if w.known[d] {
		return fmt.Errorf("blob %s: added twice", d)
	}
	w.known[d] = true
	n := len(w.index.contents)
	w.index.contents = append(w.index.contents, content{digest: d, size: size})
	w.index.blobs = append(w.index.blobs, blob{digest: d, recipe: asItIs, content: n})
	sum := sha256.New()
	for left := size; left > 0; {
		buffer, err := w.buffer()
		if err != nil {
			return err
		}
		data := buffer[:min(left, frameSize)]
		if got, err := io.ReadFull(r, data); err != nil {
			return short(d, size-left+int64(got), size, err)
		}
		left -= int64(len(data))
		w.send(n, data)
		// The buffer is not filled again before the next turn of this loop.
		sum.Write(data)
	}
	if err := checkEnd(r); err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	if got := manifest.Digest(sum.Sum(nil)); got != d {
		return fmt.Errorf("blob %s: %w: they have %s", d, ErrMismatch, got)
	}
	return nil
}

func short(d manifest.Digest, got, size int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("blob %s: %w: got %d bytes, want %d", d, ErrMismatch, got, size)
	}
	return fmt.Errorf("reading blob %s: %w", d, err)
}

// checkEnd refuses a reader that has more to give.
func checkEnd(r io.Reader) error {
	var more [1]byte
	n, err := io.ReadFull(r, more[:])
	if n > 0 {
		return fmt.Errorf("%w: more of them than its size", ErrMismatch)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// buffer waits for a free frame buffer.
func (w *Writer) buffer() ([]byte, error) {
	select {
	case <-w.broken:
		return nil, w.drain.err
	case b := <-w.free:
		return b, nil
	}
}

// send has a frame encoded and queues it for writing.
func (w *Writer) send(content int, data []byte) {
	p := &pending{content: content, data: data, result: make(chan encoded, 1)}
	go func() {
		data, kind := w.encoder.encode(data)
		p.result <- encoded{kind: kind, data: data}
	}()
	w.queue <- p
}

// Finish writes the index behind the frames and returns where it stands. It
// ends the Writer.
func (w *Writer) Finish() (manifest.Extent, error) {
	w.Close()
	if w.drain.err != nil {
		return manifest.Extent{}, w.drain.err
	}
	for i := range w.index.contents {
		w.index.contents[i].frames = w.drain.frames[i]
	}
	slices.SortFunc(w.index.blobs, func(a, b blob) int { return a.digest.Compare(b.digest) })
	raw := w.index.marshal()
	if len(raw) > MaxIndex {
		return manifest.Extent{}, fmt.Errorf("index of %d bytes, at most %d are allowed", len(raw), MaxIndex)
	}
	if _, err := w.drain.space.Write(raw); err != nil {
		return manifest.Extent{}, err
	}
	return manifest.Extent{Offset: w.drain.offset, Size: int64(len(raw)), Digest: manifest.DigestOf(raw)}, nil
}

// Close ends the Writer's goroutine. It may be called again.
func (w *Writer) Close() {
	select {
	case <-w.drained:
	default:
		close(w.queue)
		<-w.drained
	}
}
