package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// Verify reads all volumes once and proves every block, every volume's SHA-256
// and every content's digest. All damage of volumes is returned together.
func (r *Reader) Verify(ctx context.Context, show progress.Sink) error {
	c := &checker{r: r, frames: make(chan checked, 1), failed: make(chan error, 1)}
	go c.run()
	err := r.space.Verify(ctx, show, c.take)
	close(c.frames)
	if checkErr := <-c.failed; err == nil {
		err = checkErr
	}
	return err
}

// checker takes the space in order and hashes each content of it. Cutting into
// frames is one goroutine's work, decoding and hashing another's.
type checker struct {
	r       *Reader
	content int    // of the next frame
	frame   int    // in that content
	at      int64  // in the space: of what is taken next
	held    []byte // encoded bytes of the next frame, so far
	frames  chan checked
	failed  chan error
}

type checked struct {
	content *content
	frame   int // of the content
	encoded []byte
}

func (f checked) offset() int64 { return f.content.frames[f.frame].offset }

// take cuts further bytes of the space into frames, and refuses gaps between
// them that are not zeros. What follows the last frame is the index, which was
// proven before.
func (c *checker) take(data []byte) error {
	for {
		f, ok := c.next()
		if !ok {
			return nil
		}
		var err error
		if data, err = c.gap(f, data); err != nil || c.at < f.offset() {
			return err
		}
		encoded := f.content.frames[f.frame].encoded
		if c.held == nil {
			c.held = make([]byte, 0, encoded)
		}
		n := min(int64(len(data)), encoded-int64(len(c.held)))
		c.held = append(c.held, data[:n]...)
		c.at += n
		data = data[n:]
		if int64(len(c.held)) < encoded {
			return nil
		}
		f.encoded, c.held = c.held, nil
		c.frame++
		c.frames <- f
	}
}

// gap takes what comes before a frame and returns the rest.
func (c *checker) gap(f checked, data []byte) ([]byte, error) {
	n := min(int64(len(data)), max(0, f.offset()-c.at))
	for _, b := range data[:n] {
		if b != 0 {
			return nil, fmt.Errorf("%w: a byte between contents, before content %s, is not zero", ErrMalformed, f.content.digest)
		}
	}
	c.at += n
	return data[n:], nil
}

// next returns the frame that the next bytes belong to.
func (c *checker) next() (checked, bool) {
	contents := c.r.index.contents
	for c.content < len(contents) && c.frame == len(contents[c.content].frames) {
		c.content, c.frame = c.content+1, 0
	}
	if c.content == len(contents) {
		return checked{}, false
	}
	content := &contents[c.content]
	return checked{content: content, frame: c.frame}, true
}

// run hashes contents until there are no more frames, and reports the first error.
func (c *checker) run() {
	sum := sha256.New()
	var failed error
	for f := range c.frames {
		if failed == nil {
			failed = c.check(f, sum)
		}
	}
	c.failed <- failed
}

// check hashes a frame, and judges its content if it is the last of it.
func (c *checker) check(f checked, sum hash.Hash) error {
	data, err := c.r.decodeFrame(f.content, f.frame, f.encoded, newDescent(c.r.cache))
	if err != nil {
		return fmt.Errorf("content %s: %w", f.content.digest, err)
	}
	sum.Write(data)
	if f.frame < len(f.content.frames)-1 {
		return nil
	}
	got := manifest.Digest(sum.Sum(nil))
	sum.Reset()
	if got != f.content.digest {
		return fmt.Errorf("content %s: %w in the bundle", f.content.digest, ErrMismatch)
	}
	return nil
}
