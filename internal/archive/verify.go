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
	held    []byte // encoded bytes of the next frame, so far
	frames  chan checked
	failed  chan error
}

type checked struct {
	content *content
	frame   frame
	encoded []byte
}

// take cuts further bytes of the space into frames. What follows the last
// frame is the index, which was proven before.
func (c *checker) take(data []byte) error {
	for {
		f, ok := c.next()
		if !ok {
			return nil
		}
		n := min(int64(len(data)), f.frame.encoded-int64(len(c.held)))
		c.held = append(c.held, data[:n]...)
		data = data[n:]
		if int64(len(c.held)) < f.frame.encoded {
			return nil
		}
		f.encoded, c.held = c.held, make([]byte, 0, frameSize)
		c.frame++
		c.frames <- f
	}
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
	return checked{content: content, frame: content.frames[c.frame]}, true
}

// run hashes contents until there are no more frames, and reports the first error.
func (c *checker) run() {
	sum, left := hash.Hash(nil), int64(0)
	var failed error
	for f := range c.frames {
		if failed != nil {
			continue
		}
		if left == 0 {
			sum, left = sha256.New(), f.content.size
		}
		data := f.encoded
		if f.frame.kind == Zstd {
			if data, failed = c.r.decoder.decode(f.encoded, f.frame.size); failed != nil {
				continue
			}
		}
		sum.Write(data)
		left -= f.frame.size
		if left == 0 && manifest.Digest(sum.Sum(nil)) != f.content.digest {
			failed = fmt.Errorf("content %s: %w in the bundle", f.content.digest, ErrMismatch)
		}
	}
	c.failed <- failed
}
