package archive

import (
	"bytes"
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
	encoder  *encoder
	index    index
	known    map[manifest.Digest]bool   // blobs
	contents map[manifest.Digest]int    // numbers of contents
	begun    map[[sha256.Size]byte]bool // first pages of what gzip blobs decompress to, by SHA-256
	small    *small                     // nil: no copies are looked for
	// compressed says that the content being added has nothing to copy.
	compressed bool
	failed     error // of an Add: the space is worthless
	free       chan []byte
	queue      chan *pending
	drained    chan struct{} // closed when the drain has ended
	broken     chan struct{} // closed when the drain has failed
	drain      drain
}

// pending is a frame on its way.
type pending struct {
	content int
	whole   *whole // nil, or the content is stored as it is
	done    func() // nil, or gives back the memory of its bytes of content
	result  chan encoded
	held    bool      // it may have to be dropped
	settled *settling // nil, or what becomes of the frames held; then nothing else
}

// Lender is a reader that hands out its own memory, so that it need not be
// copied.
type Lender interface {
	io.Reader
	// Lend returns the next n bytes, which stay as they are until done is
	// called, once, by any goroutine; or nil, and Read is to be called.
	Lend(n int) (data []byte, done func())
}

// encoded is a frame as it will stand in the space.
type encoded struct {
	kind FrameKind
	data []byte
	page int64 // of Same
	err  error // it could not be encoded
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
		encoder:  encoder,
		known:    map[manifest.Digest]bool{},
		contents: map[manifest.Digest]int{},
		begun:    map[[sha256.Size]byte]bool{},
		free:     make(chan []byte, framesUnderWay),
		queue:    make(chan *pending, framesUnderWay),
		drained:  make(chan struct{}),
		broken:   make(chan struct{}),
		drain:    newDrain(space),
	}
	for range framesUnderWay {
		w.free <- make([]byte, FrameSize)
	}
	go w.run()
	return w, nil
}

// run writes what is queued until the queue is closed.
func (w *Writer) run() {
	defer close(w.drained)
	for p := range w.queue {
		broken := w.drain.err != nil
		w.process(p)
		if !broken && w.drain.err != nil {
			close(w.broken)
			w.stopSmall()
		}
	}
}

// process writes or holds a frame, or settles what becomes of those held.
func (w *Writer) process(p *pending) {
	if p.settled != nil {
		defer close(p.settled.done)
		if w.drain.err == nil {
			w.drain.err = w.drain.settle(p)
		}
		return
	}
	e := <-p.result
	switch {
	case w.drain.err != nil:
	case e.err != nil:
		w.drain.err = e.err
	case p.held:
		w.drain.err = w.drain.hold(e)
	default:
		w.drain.err = w.drain.write(p, e)
	}
	if p.done != nil {
		p.done()
	}
}

func (w *Writer) stopSmall() {
	if w.small != nil {
		w.small.stop()
	}
}

// Has reports whether a blob was added.
func (w *Writer) Has(d manifest.Digest) bool { return w.known[d] }

// Add appends a blob of size bytes as it is, which must be new. It reads r to
// its end and returns an error that wraps ErrMismatch if the bytes are more,
// fewer or others than named; the space is worthless then. That a compressed
// blob's bytes are others may be told by a later Add or by Finish.
func (w *Writer) Add(d manifest.Digest, size int64, r io.Reader) error {
	if err := w.meet(d); err != nil {
		return err
	}
	return w.addWhole(d, size, r, Untried)
}

// AddCompressed is Add for a blob that is compressed, and for some reason packed
// so: no copies are looked for in it, nor will others copy from it.
func (w *Writer) AddCompressed(d manifest.Digest, size int64, r io.Reader, why Reason) error {
	if err := w.meet(d); err != nil {
		return err
	}
	w.compressed = true
	defer func() { w.compressed = false }()
	return w.addWhole(d, size, r, why)
}

// addWhole appends a blob as it is.
func (w *Writer) addWhole(d manifest.Digest, size int64, r io.Reader, why Reason) error {
	n, err := w.addContent(d, size, r)
	if err != nil {
		w.failed = err
		return err
	}
	w.index.blobs = append(w.index.blobs, blob{digest: d, kind: asItIs, why: why, content: n, size: size})
	return nil
}

// meet takes note of a blob that is to be added.
func (w *Writer) meet(d manifest.Digest) error {
	if w.known[d] {
		return fmt.Errorf("blob %s: added twice", d)
	}
	w.known[d] = true
	return nil
}

// begin appends a content without frames and returns its number.
func (w *Writer) begin(d manifest.Digest, size int64) int {
	n := len(w.index.contents)
	w.index.contents = append(w.index.contents, content{digest: d, size: size, first: w.index.pages()})
	w.contents[d] = n
	return n
}

// addContent appends a content and returns its number.
func (w *Writer) addContent(d manifest.Digest, size int64, r io.Reader) (int, error) {
	if n, ok := w.contents[d]; ok {
		// A blob whose content is there already, as what another one decompresses to.
		return n, hashOnly(d, size, r)
	}
	n := w.begin(d, size)
	sum := sha256.New()
	var stored *whole
	for left := size; left > 0; {
		data, done, err := w.take(r, d, size-left, size)
		if err != nil {
			return n, err
		}
		if left == size && w.storesWhole(data) {
			stored = &whole{digest: d}
		}
		left -= int64(len(data))
		if stored == nil {
			sum.Write(data)
		}
		if err := w.send(&pending{content: n, whole: stored, done: done}, data); err != nil {
			return n, err
		}
	}
	if stored != nil {
		return n, ended(d, r) // the drain takes its digest
	}
	return n, judge(d, manifest.Digest(sum.Sum(nil)), r)
}

// storesWhole says that a content that begins with data is stored as it is: it is
// compressed, and its first frame does not get smaller.
func (w *Writer) storesWhole(data []byte) bool {
	if !w.isFast() || !bytes.HasPrefix(data, gzipMagic) && !bytes.HasPrefix(data, zstdMagic) {
		return false
	}
	_, kind := w.encoder.encode(data)
	return kind == Stored
}

var (
	gzipMagic = []byte{0x1f, 0x8b}             // RFC 1952 section 2.3.1
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878 section 3.1.1
)

// isFast says that no copies are looked for in anything.
func (w *Writer) isFast() bool { return w.small == nil || w.small.plain }

func hashOnly(d manifest.Digest, size int64, r io.Reader) error {
	sum := sha256.New()
	if got, err := io.CopyN(sum, r, size); err != nil {
		return short(d, got, size, err)
	}
	return judge(d, manifest.Digest(sum.Sum(nil)), r)
}

// judge refuses bytes with another digest than d, and a reader that has more to give.
func judge(d, got manifest.Digest, r io.Reader) error {
	if err := ended(d, r); err != nil {
		return err
	}
	return CheckDigest(d, got)
}

// CheckDigest returns an *OtherBytesError for bytes that have another digest than d.
func CheckDigest(d, got manifest.Digest) error {
	if got != d {
		return &OtherBytesError{Digest: d, Got: got}
	}
	return nil
}

// ended refuses a reader that has more to give.
func ended(d manifest.Digest, r io.Reader) error {
	if err := checkEnd(r); err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

func short(d manifest.Digest, got, size int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w: got %d bytes, want %d", d, ErrMismatch, got, size)
	}
	return fmt.Errorf("reading %s: %w", d, err)
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

// take returns the next frame's bytes of a content, from offset at on, and what
// gives their memory back.
func (w *Writer) take(r io.Reader, d manifest.Digest, at, size int64) ([]byte, func(), error) {
	n := min(size-at, FrameSize)
	if l, ok := r.(Lender); ok && w.unread() {
		if data, done := l.Lend(int(n)); data != nil {
			return data, done, w.stopped()
		}
	}
	buffer, err := w.buffer()
	if err != nil {
		return nil, nil, err
	}
	if got, err := io.ReadFull(r, buffer[:n]); err != nil {
		return nil, nil, short(d, at+int64(got), size, err)
	}
	return buffer[:n], func() { w.free <- buffer }, nil
}

// unread says that a frame's bytes are not looked at again once it is written.
func (w *Writer) unread() bool { return w.small == nil || w.compressed }

// stopped returns why nothing more is written.
func (w *Writer) stopped() error {
	select {
	case <-w.broken:
		return w.drain.err
	default:
		return nil
	}
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

// send has the next frame of a content encoded and queues it for writing.
func (w *Writer) send(p *pending, data []byte) error {
	encode := func() encoded {
		data, kind := w.encoder.encode(data)
		return encoded{kind: kind, data: data}
	}
	if p.whole != nil {
		encode = func() encoded { return encoded{kind: Stored, data: data} }
	}
	if w.small != nil && (w.compressed || w.isFast()) {
		w.small.add(int64(len(data)))
	} else if w.small != nil {
		var err error
		if encode, err = w.small.encode(w.encoder, data); err != nil {
			return err
		}
	}
	p.result = make(chan encoded, 1)
	go func() { p.result <- encode() }()
	w.queue <- p
	return nil
}

// Finish writes the index behind the frames and returns where it stands. It
// ends the Writer.
func (w *Writer) Finish() (manifest.Extent, error) {
	w.Close()
	err := errors.Join(w.failed, w.drain.err)
	if err == nil {
		err = w.drain.end()
	}
	if err != nil {
		return manifest.Extent{}, err
	}
	for i := range w.index.contents {
		w.index.contents[i].frames = w.drain.frames[i]
	}
	slices.SortFunc(w.index.blobs, func(a, b blob) int { return a.digest.Compare(b.digest) })
	raw := w.index.marshal()
	if len(raw) > MaxIndex {
		return manifest.Extent{}, fmt.Errorf("index of %d bytes, at most %d are allowed", len(raw), MaxIndex)
	}
	if _, err := w.drain.space.WriteHashed(raw, nil); err != nil {
		return manifest.Extent{}, err
	}
	return manifest.Extent{Offset: w.drain.offset, Size: int64(len(raw)), Digest: manifest.DigestOf(raw)}, nil
}

// Packings returns how each blob was packed, by digest, after Finish.
func (w *Writer) Packings() []Packing { return w.index.packings() }

// Close ends the Writer's goroutine. It may be called again.
func (w *Writer) Close() {
	select {
	case <-w.drained:
	default:
		close(w.queue)
		<-w.drained
	}
}
