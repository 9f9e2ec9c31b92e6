package diff

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airlock/internal/load"
	"airlock/internal/oci"
)

// maxContent is how many bytes of a layer's content or files are read, and maxWindow
// what a zstd layer may make its decoder allocate.
const (
	maxContent = 1 << 38
	maxWindow  = 128 << 20
)

// The first bytes of gzip (RFC 1952) and of zstd (RFC 8878).
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

var errLong = errors.New("its content is too long")

// content is what a blob decompresses to, whatever it is compressed with. Its
// bytes come from proven blocks; once Read has returned io.EOF the blob's
// digest is proven as well.
type content struct {
	ctx        context.Context
	blob       *sticky
	in         io.Reader
	close      []func()
	left       int64
	compressed bool // it was
}

// sticky keeps the error of reading the bundle apart from those of decoders.
type sticky struct {
	io.ReadCloser
	err error
}

func (s *sticky) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// openContent opens a blob's content. The error is about the bundle; one about
// the compression comes with the first Read.
func openContent(ctx context.Context, r *load.Release, d oci.Descriptor) (*content, error) {
	c := &content{ctx: ctx, left: maxContent}
	if inflated, _, ok := r.OpenContent(d); ok {
		c.blob, c.compressed = &sticky{ReadCloser: inflated}, true
		c.in = c.blob
		return c, nil
	}
	blob, err := r.Open(d)
	if err != nil {
		return nil, err
	}
	c.blob = &sticky{ReadCloser: blob}
	buffered := bufio.NewReaderSize(c.blob, 256<<10)
	magic, err := buffered.Peek(len(zstdMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		blob.Close()
		return nil, err
	}
	c.in = buffered
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		c.in, c.compressed = &lazy{open: func() (io.Reader, error) { return gzip.NewReader(buffered) }}, true
	case bytes.HasPrefix(magic, zstdMagic):
		c.in, c.compressed = &lazy{open: func() (io.Reader, error) {
			z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err == nil {
				c.close = append(c.close, z.Close)
			}
			return z, err
		}}, true
	}
	return c, nil
}

// lazy opens a reader with the first Read.
type lazy struct {
	open func() (io.Reader, error)
	r    io.Reader
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(p)
}

func (c *content) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.in.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return n, errLong
	}
	return n, err
}

// failed returns the error that is to end the comparison, if err is such a
// one: of reading the bundle, not of what stands in it.
func (c *content) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	}
	return c.blob.err
}

func (c *content) Close() {
	for _, end := range c.close {
		end()
	}
	c.blob.Close()
}

// finish reads what is left of the blob, so that its digest is proven.
func (c *content) finish() error {
	_, err := io.Copy(io.Discard, c)
	if failed := c.failed(err); failed != nil {
		return failed
	}
	_, err = io.Copy(io.Discard, c.blob)
	return err
}
