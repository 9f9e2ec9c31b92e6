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
	c := &checker{r: r, sum: sha256.New()}
	if err := r.space.Verify(ctx, show, c.take); err != nil {
		return err
	}
	return c.failed
}

// checker takes the space in order and hashes each content of it.
type checker struct {
	r       *Reader
	content int    // of the next frame
	frame   int    // in that content
	at      int64  // in the space: of what is taken next
	held    []byte // encoded bytes of the next frame, so far; none of a stored one
	sum     hash.Hash
	failed  error // the first content that is wrong: told once all volumes were read
}

type checked struct {
	content *content
	frame   int // of the content
}

func (f checked) page() *frame { return &f.content.frames[f.frame] }

// take cuts further bytes of the space into frames, and refuses gaps between
// them that are not zeros. What follows the last frame is the index, which was
// proven before.
func (c *checker) take(data []byte) error {
	for c.failed == nil {
		f, ok := c.next()
		if !ok {
			return nil
		}
		var err error
		if data, err = c.gap(f, data); err != nil || c.at < f.page().offset {
			return err
		}
		end := f.page().offset + f.page().encoded
		n := min(int64(len(data)), end-c.at)
		if f.page().kind == Stored {
			c.sum.Write(data[:n])
		} else {
			c.held = append(c.held, data[:n]...)
		}
		c.at += n
		data = data[n:]
		if c.at < end {
			return nil
		}
		c.failed = c.check(f)
		c.held = c.held[:0]
		c.frame++
	}
	return nil
}

// gap takes what comes before a frame and returns the rest.
func (c *checker) gap(f checked, data []byte) ([]byte, error) {
	n := min(int64(len(data)), max(0, f.page().offset-c.at))
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
	return checked{content: &contents[c.content], frame: c.frame}, true
}

// check hashes a frame, unless that was done as it came, and judges its content
// if it is the last of it.
func (c *checker) check(f checked) error {
	if f.page().kind != Stored {
		data, err := c.r.decodeFrame(f.content, f.frame, c.held, newDescent(c.r.cache))
		if err != nil {
			return fmt.Errorf("content %s: %w", f.content.digest, err)
		}
		c.sum.Write(data)
	}
	if f.frame < len(f.content.frames)-1 {
		return nil
	}
	got := manifest.Digest(c.sum.Sum(nil))
	c.sum.Reset()
	if got != f.content.digest {
		return fmt.Errorf("content %s: %w in the bundle", f.content.digest, ErrMismatch)
	}
	return nil
}
