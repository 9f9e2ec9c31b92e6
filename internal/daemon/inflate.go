package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Limits of inflating layers.
const (
	maxWindow    = 128 << 20 // bytes of a zstd window (zstd --long=27)
	windowBudget = 160 << 20 // bytes of all zstd windows at one time
	peekSize     = 64        // bytes that tell how a layer is compressed
)

var (
	gzipMagic = []byte{0x1f, 0x8b}             // RFC 1952, 2.3.1
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, 3.1.1
	skipMagic = []byte{0x2a, 0x4d, 0x18}       // RFC 8878, 3.1.2, behind 0x50 to 0x5f
)

// errSize says that a layer has another size than its compressed form let
// expect. It says nothing about the layer being right or wrong.
var errSize = errors.New("uncompressed size is not the expected one")

// inflater opens layers as the tars that they are, bounding the memory that
// all of them take together.
type inflater struct {
	blobs
	windows *semaphore.Weighted
}

func newInflater(b blobs) *inflater {
	return &inflater{blobs: b, windows: semaphore.NewWeighted(windowBudget)}
}

// compression is what the first bytes of a layer tell. Media types are not
// believed, as the Engine does not believe them.
type compression int

const (
	plain compression = iota
	gzipped
	zstandard
)

func detect(head []byte) compression {
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return gzipped
	case bytes.HasPrefix(head, zstdMagic):
		return zstandard
	case len(head) > 3 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], skipMagic):
		return zstandard
	}
	return plain
}

// open returns a layer's uncompressed bytes, inflated ahead of the reader.
func (f *inflater) open(ctx context.Context, d oci.Descriptor, read func(int)) (io.ReadCloser, error) {
	if r, size, ok := f.OpenContent(d); ok {
		// Progress is told in bytes of the blob.
		ofBlob := func(n int) { read(int(float64(n) * float64(d.Size) / float64(size))) }
		return aheadOf(counted{r, ofBlob}, func() { r.Close() }), nil
	}
	blob, err := f.Open(d)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(counted{blob, read}, 64<<10)
	head, err := in.Peek(peekSize)
	if err != nil && !errors.Is(err, io.EOF) {
		blob.Close()
		return nil, err
	}
	out, release, err := f.decompress(ctx, in, head)
	if err != nil {
		blob.Close()
		return nil, fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	return aheadOf(out, func() { release(); blob.Close() }), nil
}

// decompress returns the reader for what head announces, and what to call when
// it is no longer read.
func (f *inflater) decompress(ctx context.Context, in io.Reader, head []byte) (io.Reader, func(), error) {
	switch detect(head) {
	case gzipped:
		out, err := gzip.NewReader(in)
		return out, func() {}, err
	case zstandard:
		var h zstd.Header
		if err := h.Decode(head); err != nil {
			return nil, nil, err
		}
		window := int64(min(max(h.WindowSize, h.FrameContentSize*b2u(h.SingleSegment), 8<<20), maxWindow))
		if err := f.windows.Acquire(ctx, window); err != nil {
			return nil, nil, err
		}
		out, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			f.windows.Release(window)
			return nil, nil, err
		}
		return out, func() { out.Close(); f.windows.Release(window) }, nil
	}
	return in, func() {}, nil
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// guess returns the uncompressed size that a layer's own header or trailer
// names, and whether it names one at all. It may be wrong: gzip keeps it modulo
// 2^32 and, like zstd, for one of possibly several members.
func (f *inflater) guess(d oci.Descriptor) (size int64, ok bool, err error) {
	if r, size, ok := f.OpenContent(d); ok {
		return size, true, r.Close()
	}
	head := make([]byte, min(peekSize, d.Size))
	if err := f.at(d, head, 0); err != nil {
		return 0, false, err
	}
	switch detect(head) {
	case zstandard:
		var h zstd.Header
		if err := h.Decode(head); err != nil {
			return 0, false, fmt.Errorf("layer %s: %w", d.Digest, err)
		}
		return int64(h.FrameContentSize), h.HasFCS && h.FrameContentSize < 1<<62, nil
	case gzipped:
		return f.trailer(d)
	}
	return d.Size, true, nil
}

// at reads bytes from the middle of a layer.
func (f *inflater) at(d oci.Descriptor, p []byte, off int64) error {
	n, err := f.ReadAt(d, p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("layer %s: %w", d.Digest, err)
}

// trailer reads ISIZE, the last four bytes of a gzip member (RFC 1952, 2.3.1).
func (f *inflater) trailer(d oci.Descriptor) (int64, bool, error) {
	if d.Size < 18 { // the shortest header and trailer
		return 0, false, nil
	}
	var last [4]byte
	if err := f.at(d, last[:], d.Size-int64(len(last))); err != nil {
		return 0, false, err
	}
	size := int64(binary.LittleEndian.Uint32(last[:]))
	for size < d.Size-d.Size/1000-1024 { // deflate makes nothing much longer
		size += 1 << 32
	}
	return size, true, nil
}

// count inflates a layer and returns its size.
func (f *inflater) count(ctx context.Context, d oci.Descriptor) (int64, error) {
	r, err := f.open(ctx, d, func(int) {})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	size, err := io.Copy(io.Discard, contextReader{ctx, r})
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	return size, nil
}

type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

type counted struct {
	io.Reader
	read func(int)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read(n)
	return n, err
}

// judged hands out just size bytes, the last of them only if all have the
// digest want and nothing follows; otherwise it fails with errSize or
// ErrRejected.
type judged struct {
	io.ReadCloser
	size, left int64
	want       manifest.Digest
	sum        hash.Hash
}

func judge(r io.ReadCloser, size int64, want manifest.Digest) *judged {
	return &judged{ReadCloser: r, size: size, left: size, want: want, sum: sha256.New()}
}

func (j *judged) Read(p []byte) (int, error) {
	if j.left == 0 {
		if j.size == 0 {
			return 0, j.judge() // nothing was handed out yet
		}
		return 0, io.EOF
	}
	n, err := j.ReadCloser.Read(p[:min(int64(len(p)), j.left)])
	j.sum.Write(p[:n])
	j.left -= int64(n)
	switch {
	case j.left == 0:
		if err := j.judge(); err != io.EOF {
			return 0, err
		}
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("layer with diffID %s: %w: %d bytes, expected %d", j.want, errSize, j.size-j.left, j.size)
	}
	return n, err
}

// judge returns io.EOF if the bytes are the right ones and the last.
func (j *judged) judge() error {
	var one [1]byte
	n, err := io.ReadFull(j.ReadCloser, one[:])
	switch {
	case n > 0:
		return fmt.Errorf("layer with diffID %s: %w: more than %d bytes", j.want, errSize, j.size)
	case !errors.Is(err, io.EOF):
		return err
	}
	if got := manifest.Digest(j.sum.Sum(nil)); got != j.want {
		return fmt.Errorf("%w: layer has the diffID %s, its image's config says %s", ErrRejected, got, j.want)
	}
	return io.EOF
}
