package archive

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// Content is what a gzip blob decompresses to.
type Content struct {
	Digest manifest.Digest
	Size   int64
	Recipe gzipexact.Recipe // proven: it makes the blob of the content
}

// Proving is the content of a gzip blob while its recipe is being proven.
type Proving struct {
	// Content gives the content, or, if there is no recipe, a part of it that is
	// always the same one.
	Content io.Reader
	// Proof is called once Content has ended. It returns nil if there is no recipe.
	Proof func() (*Content, error)
	// Again gives the content that was proven once more.
	Again func() (io.Reader, error)
}

// AddGzip appends a gzip blob of size bytes, which must be new, as its content
// and the recipe that rebuilds it. Without a proof nothing is appended, and it
// returns false. It is for a small Writer. After an error the space is worthless.
func (w *Writer) AddGzip(d manifest.Digest, size int64, p Proving) (bool, error) {
	c, err := w.addProving(p)
	if err == nil && c != nil {
		err = w.meet(d)
	}
	if err != nil {
		w.failed = err
	}
	if err != nil || c == nil {
		return false, err
	}
	w.index.blobs = append(w.index.blobs, blob{digest: d, kind: gzip, content: w.contents[c.Digest], size: size, recipe: c.Recipe.Marshal()})
	return true, nil
}

// addProving appends a content if it is proven and new. One that begins like
// another may be that one: whether it is has to be known before it is packed.
func (w *Writer) addProving(p Proving) (*Content, error) {
	head := make([]byte, FrameSize)
	n, err := io.ReadFull(p.Content, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	head = head[:n]
	if sum := sha256.Sum256(head); !w.begun[sum] {
		w.begun[sum] = true
		return w.addHeld(io.MultiReader(bytes.NewReader(head), p.Content), p.Proof)
	}
	if _, err := io.Copy(io.Discard, p.Content); err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	c, err := p.Proof()
	if err != nil || c == nil || w.has(c) {
		return c, err
	}
	content, err := p.Again()
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	return w.addHeld(io.TeeReader(content, sum), func() (*Content, error) { return c, CheckDigest(c.Digest, manifest.Digest(sum.Sum(nil))) })
}

func (w *Writer) has(c *Content) bool {
	_, ok := w.contents[c.Digest]
	return ok
}

// addHeld appends a content if it turns out to be proven and new.
func (w *Writer) addHeld(content io.Reader, proof func() (*Content, error)) (*Content, error) {
	first := w.small.next
	size, err := w.sendHeld(content)
	if err != nil {
		return nil, err
	}
	c, err := proof()
	if err != nil {
		return nil, err
	}
	if c != nil && c.Size != size {
		return nil, fmt.Errorf("%s: %w: got %d bytes, and %d were proven", c.Digest, ErrMismatch, size, c.Size)
	}
	s := &settling{keep: c != nil && !w.has(c), done: make(chan struct{})}
	n := len(w.index.contents)
	w.queue <- &pending{content: n, settled: s}
	if !s.keep {
		<-s.done
		w.small.forget(first)
		return c, w.stopped()
	}
	w.begin(c.Digest, c.Size)
	return c, nil
}

// sendHeld has the frames of the next content encoded and held, and returns its
// size.
func (w *Writer) sendHeld(content io.Reader) (int64, error) {
	for size := int64(0); ; {
		buffer, err := w.buffer()
		if err != nil {
			return size, err
		}
		n, err := io.ReadFull(content, buffer)
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return size, fmt.Errorf("decompressing: %w", err)
		}
		done := func() { w.free <- buffer }
		if n == 0 {
			done()
			return size, nil
		}
		if err := w.send(&pending{held: true, done: done}, buffer[:n]); err != nil {
			return size, err
		}
		if size += int64(n); ended {
			return size, nil
		}
	}
}

// settling says what becomes of the frames held.
type settling struct {
	keep bool
	done chan struct{} // closed when it has become so
}

// held is frames that may have to be dropped. They stand in a scratch, from its
// beginning on.
type held struct {
	scratch Scratch
	size    int64
	frames  []frame // with offsets in scratch
	buffer  []byte
}

// hold appends a frame to those held.
func (d *drain) hold(e encoded) error {
	h := &d.held
	f := frame{kind: e.kind, encoded: int64(len(e.data)), page: e.page, offset: h.size}
	if _, err := h.scratch.WriteAt(e.data, f.offset); err != nil {
		return err
	}
	h.frames = append(h.frames, f)
	h.size += f.encoded
	d.told.tookHeld(f)
	return nil
}

// settle writes the frames held as those of p's content, or drops them.
func (d *drain) settle(p *pending) error {
	h := &d.held
	defer func() { h.frames, h.size = h.frames[:0], 0 }()
	if !p.settled.keep {
		d.told.dropHeld()
		return nil
	}
	if h.buffer == nil {
		h.buffer = make([]byte, FrameSize)
	}
	for _, f := range h.frames {
		raw := h.buffer[:f.encoded]
		if _, err := h.scratch.ReadAt(raw, f.offset); err != nil {
			return err
		}
		if err := d.write(p, encoded{kind: f.kind, data: raw, page: f.page}); err != nil {
			return err
		}
	}
	return nil
}
