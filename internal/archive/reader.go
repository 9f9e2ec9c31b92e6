package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"runtime"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// Reader reads blobs from the space of a verified bundle. It is safe for use
// by several goroutines.
type Reader struct {
	space   *volume.Reader
	index   *index
	decoder *decoder
}

// Open proves and opens the bundle in fsys: its texts by manifest.Open, the
// presence and sizes of its volumes, its index. It is what everything on the
// isolated side begins with.
func Open(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Reader, error) {
	verified, err := manifest.Open(fsys, allowed, at)
	if err != nil {
		return nil, err
	}
	space, err := volume.NewReader(verified, fsys)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(space)
	if err != nil {
		space.Close()
		return nil, err
	}
	return r, nil
}

// NewReader reads the index of a space.
func NewReader(space *volume.Reader) (*Reader, error) {
	where := space.Verified().Manifest().Index
	if where.Size > MaxIndex {
		return nil, fmt.Errorf("%w: index of %d bytes, at most %d are allowed", ErrMalformed, where.Size, MaxIndex)
	}
	raw := make([]byte, where.Size)
	if _, err := space.ReadAt(raw, where.Offset); err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	if manifest.DigestOf(raw) != where.Digest {
		return nil, fmt.Errorf("%w: index has another digest than %s lists", ErrMalformed, manifest.ManifestName)
	}
	parsed, err := parseIndex(raw, where.Offset)
	if err != nil {
		return nil, err
	}
	decoder, err := newDecoder(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	return &Reader{space: space, index: parsed, decoder: decoder}, nil
}

// Close closes the volumes.
func (r *Reader) Close() error { return r.space.Close() }

// Verified returns the proven texts of the bundle.
func (r *Reader) Verified() *manifest.Verified { return r.space.Verified() }

// Manifest returns the bundle's manifest. It must not be changed.
func (r *Reader) Manifest() *manifest.Manifest { return r.Verified().Manifest() }

// Space returns the volumes' space.
func (r *Reader) Space() *volume.Reader { return r.space }

// Size returns a blob's size in bytes, and whether the archive has it.
func (r *Reader) Size(d manifest.Digest) (int64, bool) {
	b, ok := r.index.find(d)
	if !ok {
		return 0, false
	}
	return r.index.contents[b.content].size, true
}

// Packing says how a blob is packed.
type Packing struct {
	Digest manifest.Digest `json:"digest"`
	Size   int64           `json:"size"`   // bytes of the blob
	Packed int64           `json:"packed"` // bytes its content takes in the volumes
	Recipe string          `json:"recipe"` // how it is rebuilt from its content
	Frames string          `json:"frames"` // how its content is stored
}

// Packings returns how each blob is packed, by digest.
func (r *Reader) Packings() []Packing {
	var all []Packing
	for _, b := range r.index.blobs {
		c := r.index.contents[b.content]
		p := Packing{Digest: b.digest, Size: c.size, Recipe: "as it is", Frames: "stored"}
		for _, f := range c.frames {
			p.Packed += f.encoded
			if f.kind == Zstd {
				p.Frames = "zstd"
			}
		}
		all = append(all, p)
	}
	return all
}

// Open returns a blob's bytes. The reader hands out the last byte only if all
// of them have the blob's digest; otherwise it fails with an error that wraps
// ErrMismatch. Close must be called.
func (r *Reader) Open(d manifest.Digest) (io.ReadCloser, error) {
	b, ok := r.index.find(d)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	c := &r.index.contents[b.content]
	br := &blobReader{digest: d, left: c.size, sum: sha256.New(), frames: make(chan decoded, 1), stop: make(chan struct{})}
	go r.decode(c, br)
	return br, nil
}

// ReadAt fills p with a blob's bytes from offset off. They are proven by the
// blocks they came from, not by the blob's digest. Past the blob's end it
// returns io.EOF.
func (r *Reader) ReadAt(d manifest.Digest, p []byte, off int64) (int, error) {
	b, ok := r.index.find(d)
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	read, start := 0, int64(0)
	for _, f := range r.index.contents[b.content].frames {
		if read == len(p) {
			break
		}
		if at := off + int64(read) - start; at < f.size {
			data, err := r.frame(f)
			if err != nil {
				return read, fmt.Errorf("blob %s: %w", d, err)
			}
			read += copy(p[read:], data[at:])
		}
		start += f.size
	}
	if read < len(p) {
		return read, io.EOF
	}
	return read, nil
}

// frame returns a frame's bytes of content.
func (r *Reader) frame(f frame) ([]byte, error) {
	raw := make([]byte, f.encoded)
	if _, err := r.space.ReadAt(raw, f.offset); err != nil {
		return nil, err
	}
	if f.kind == Stored {
		return raw, nil
	}
	return r.decoder.decode(raw, f.size)
}

type decoded struct {
	data []byte
	err  error
}

// decode feeds a blobReader, a frame ahead of it.
func (r *Reader) decode(c *content, br *blobReader) {
	defer close(br.frames)
	for _, f := range c.frames {
		data, err := r.frame(f)
		select {
		case br.frames <- decoded{data, err}:
		case <-br.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// blobReader hands out a blob's frames once they are hashed.
type blobReader struct {
	digest manifest.Digest
	left   int64 // bytes not yet hashed
	sum    hash.Hash
	data   []byte // hashed, not yet handed out
	frames chan decoded
	stop   chan struct{}
	err    error // sticky
	closed bool
}

func (b *blobReader) Read(p []byte) (int, error) {
	for len(b.data) == 0 && b.err == nil {
		b.next()
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	if n == 0 && len(p) > 0 {
		return 0, b.err
	}
	return n, nil
}

// next takes the next frame; with the last one it judges the whole blob.
func (b *blobReader) next() {
	d, ok := <-b.frames
	if d.err != nil {
		b.err = fmt.Errorf("blob %s: %w", b.digest, d.err)
		return
	}
	b.sum.Write(d.data)
	b.left -= int64(len(d.data))
	if b.left == 0 && manifest.Digest(b.sum.Sum(nil)) != b.digest {
		b.err = fmt.Errorf("blob %s: %w in the bundle", b.digest, ErrMismatch)
		return
	}
	b.data = d.data
	if !ok {
		b.err = io.EOF
	}
}

func (b *blobReader) Close() error {
	if !b.closed {
		b.closed = true
		close(b.stop)
		if b.err == nil {
			b.err = errors.New("reading from a closed blob")
		}
	}
	return nil
}
