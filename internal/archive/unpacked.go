package archive

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"airlock/internal/gunzip"
	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// maxPoints is how many places in gzip blobs a reader and its bases keep from
// which inflating can go on. Each takes 32 KiB.
const maxPoints = 1024

// base is a bundle that another is based on.
type base struct {
	manifest.Base
	*Reader              // nil: not there
	unpacked []*unpacked // as Base.Unpacked lists them
	starts   []int64     // number of the first page of each, and of the page behind the last; the base's own come first
}

// newBase returns a base as a manifest lists it; r is nil if it is not there.
func newBase(b manifest.Base, r *Reader, points *gunzip.Points) (base, error) {
	all := base{Base: manifest.Base{Release: b.Release, Version: b.Version, Root: b.Root, Pages: b.Pages}, Reader: r, starts: []int64{b.Pages}}
	for _, u := range b.Unpacked {
		if r == nil {
			all.list(u, nil)
			continue
		}
		c, err := r.gzipContent(u.Blob)
		if err != nil {
			return base{}, err
		}
		if r.shared[u] == nil {
			r.shared[u] = newUnpacked(r, c, u.Size, points)
		}
		all.list(u, r.shared[u])
	}
	return all, nil
}

// list adds what a gzip blob of the base decompresses to.
func (b *base) list(u manifest.Unpacked, of *unpacked) {
	b.Unpacked = append(b.Unpacked, u)
	b.unpacked = append(b.unpacked, of)
	b.starts = append(b.starts, b.pages()+frameCount(u.Size))
}

// pages returns how many pages are numbered for the base.
func (b *base) pages() int64 { return b.starts[len(b.starts)-1] }

// gzipContent returns the content of a blob that is packed as it is, by frames
// that copy nothing.
func (r *Reader) gzipContent(d manifest.Digest) (*content, error) {
	b, ok := r.index.find(d)
	if !ok || b.kind != asItIs || !r.index.contents[b.content].isAlone() {
		return nil, fmt.Errorf("%w: blob %s is not packed as it is", ErrMalformed, d)
	}
	return &r.index.contents[b.content], nil
}

// bases is the bundles that one is based on, in the order in which their pages are numbered.
type bases []base

// origin names a page whatever its number is.
type origin struct {
	base     *base
	unpacked int   // of base.unpacked; -1: the base's own pages
	page     int64 // of these
}

// pages returns how many pages the bases have.
func (all bases) pages() int64 {
	var sum int64
	for i := range all {
		sum += all[i].pages()
	}
	return sum
}

// origin returns whose page has a number. False: no base's.
func (all bases) origin(number int64) (origin, bool) {
	for i := range all {
		b := &all[i]
		if number >= b.pages() {
			number -= b.pages()
			continue
		}
		if number < b.Pages {
			return origin{b, -1, number}, true
		}
		k, found := slices.BinarySearch(b.starts, number)
		if !found {
			k--
		}
		return origin{b, k, number - b.starts[k]}, true
	}
	return origin{}, false
}

// number returns the number that a page has here. False: it has none.
func (all bases) number(o origin) (int64, bool) {
	var sum int64
	for i := range all {
		b := &all[i]
		if b.Root != o.base.Root {
			sum += b.pages()
			continue
		}
		if o.unpacked < 0 {
			return sum + o.page, true
		}
		k, found := b.unpackedOf(o.base.Unpacked[o.unpacked].Blob)
		return sum + b.starts[k] + o.page, found
	}
	return 0, false
}

// unpackedOf returns where the list has a blob.
func (b *base) unpackedOf(d manifest.Digest) (int, bool) {
	return slices.BinarySearchFunc(b.Unpacked, d, func(u manifest.Unpacked, d manifest.Digest) int { return u.Blob.Compare(d) })
}

// read returns a page's bytes.
func (o origin) read(way descent) ([]byte, error) {
	switch {
	case o.base.Reader == nil:
		return nil, o.base.missing()
	case o.unpacked < 0:
		return o.base.ownPage(o.page, way)
	}
	return o.base.unpacked[o.unpacked].page(o.page, way)
}

// unpacked is what a gzip blob decompresses to that a bundle has as it is. Its
// pages are no copies deep.
type unpacked struct {
	reader *Reader // of the bundle
	blob   manifest.Digest
	size   int64
	file   *gunzip.File
}

// newUnpacked returns what the bytes of c decompress to, said to be size bytes.
func newUnpacked(r *Reader, c *content, size int64, points *gunzip.Points) *unpacked {
	return &unpacked{reader: r, blob: c.digest, size: size, file: gunzip.NewFile(contentBytes{r, c}, c.size, points)}
}

// page returns the bytes of a page.
func (u *unpacked) page(number int64, way descent) ([]byte, error) {
	p, err := way.cache.Get(pageKey{unpacked: u, number: number}, func() (page, error) {
		if err := way.decode(); err != nil {
			return page{}, err
		}
		data, err := u.read(number)
		return page{data: data}, err
	})
	*way.deepest = max(*way.deepest, 1)
	return p.data, err
}

// read inflates a page. The last one is refused if the content does not end with it.
func (u *unpacked) read(number int64) ([]byte, error) {
	at := number * FrameSize
	length := min(FrameSize, u.size-at)
	data := make([]byte, length, length+1)
	into := data
	if at+length == u.size {
		into = data[:length+1] // there must be no such byte
	}
	n, err := u.file.ReadAt(into, at)
	switch {
	case errors.Is(err, gzipexact.ErrNotGzip):
		return nil, fmt.Errorf("%w: blob %s: %w", ErrMalformed, u.blob, err)
	case err != nil && err != io.EOF:
		return nil, err
	case int64(n) != length:
		return nil, fmt.Errorf("%w: blob %s does not decompress to the %d bytes that are said", ErrMalformed, u.blob, u.size)
	}
	return data, nil
}

// contentBytes is a content that is read at any offset.
type contentBytes struct {
	reader  *Reader
	content *content
}

// ReadAt implements io.ReaderAt.
func (c contentBytes) ReadAt(p []byte, off int64) (int, error) {
	read := 0
	for read < len(p) && off < c.content.size {
		data, err := c.reader.ownPage(c.content.first+off/FrameSize, newDescent(c.reader.cache))
		if err != nil {
			return read, err
		}
		n := copy(p[read:], data[off%FrameSize:])
		read, off = read+n, off+int64(n)
	}
	if read < len(p) {
		return read, io.EOF
	}
	return read, nil
}
