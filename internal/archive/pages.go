package archive

import (
	"errors"
	"fmt"

	"airlock/internal/delta"
	"airlock/internal/lru"
)

// Bounds of copies over copies (FORMAT.md, "Copies"). A frame that is stored or
// zstd has depth 0 and needs no other page, nor do the literals of any frame.
const (
	maxDepth   = 32  // of a frame
	maxSources = 16  // pages that a frame copies from
	maxNeeded  = 256 // pages, or literals of some, that have to be decoded for one frame
)

// cachedBytes is how many bytes of decoded pages a reader and its bases keep,
// and so does a small Writer.
const cachedBytes = 64 << 20

// pageWeight is what keeping a page takes; one without bytes is not for free.
func pageWeight(p page) int { return len(p.data) + 1<<10 }

// pageKey names a page by whose own it is, or what is new in it.
type pageKey struct {
	reader   *Reader   // nil: it is unpacked's
	unpacked *unpacked // nil: it is the reader's
	number   int64     // among its own
	news     bool
}

// page is what a frame decodes to.
type page struct {
	data  []byte
	depth int // of the frame
}

type pageCache = lru.Cache[pageKey, page]

// descent is the way from a frame down to the pages it needs.
type descent struct {
	cache   *pageCache
	depth   int
	left    *int // pages that may still be decoded
	deepest *int // the depth of the frame that is decoded, as far as its pages were asked for
}

func newDescent(cache *pageCache) descent {
	// Pages that were dropped from the cache on the way are decoded again.
	left := 16 * maxNeeded
	return descent{cache: cache, left: &left, deepest: new(int)}
}

// pagesBelow is what a frame of a reader may take from. As a delta.Source it is
// the pages of the bases, and what is new in the reader's own before the frame.
type pagesBelow struct {
	reader *Reader
	limit  int64
	way    descent
}

// check refuses a page that does not come before the frame, or is too far down.
func (p pagesBelow) check(number int64) error {
	if number < 0 || number >= p.limit {
		return fmt.Errorf("%w: page %d is copied by page %d, which does not come after it", ErrMalformed, number, p.limit)
	}
	return nil
}

// Page implements delta.Source.
func (p pagesBelow) Page(number int64) ([]byte, error) {
	if own := number - p.reader.bases.pages(); own >= 0 {
		return p.take(number, func(next descent) ([]byte, error) { return p.reader.news(own, next) })
	}
	return p.whole(number)
}

// whole returns a page, of the bases or of the reader's own.
func (p pagesBelow) whole(number int64) ([]byte, error) {
	return p.take(number, func(next descent) ([]byte, error) { return p.reader.page(number, next) })
}

// take has get read what a page below has, one copy further down.
func (p pagesBelow) take(number int64, get func(descent) ([]byte, error)) ([]byte, error) {
	if err := p.check(number); err != nil {
		return nil, err
	}
	next := p.way
	next.depth++
	if next.depth > maxDepth {
		return nil, p.tooDeep()
	}
	data, err := get(next)
	if err == nil && *p.way.deepest > maxDepth {
		return nil, p.tooDeep() // though what is below it was at hand
	}
	return data, err
}

func (p pagesBelow) tooDeep() error {
	return fmt.Errorf("%w: page %d is more than %d copies deep", ErrMalformed, p.limit, maxDepth)
}

// news returns what is new in an own page: all of it, or the literals of a frame that copies.
func (r *Reader) news(number int64, way descent) ([]byte, error) {
	p, err := way.cache.Get(pageKey{reader: r, number: number, news: true}, func() (page, error) {
		if err := way.decode(); err != nil {
			return page{}, err
		}
		c, i := r.index.at(number)
		raw, err := r.encoded(c, i)
		if err != nil {
			return page{}, err
		}
		data, err := r.decoders.news(c.frames[i].kind, raw, c.frameLength(i))
		return page{data: data}, err
	})
	*way.deepest = max(*way.deepest, 1)
	return p.data, err
}

// decode counts a page that is decoded on the way.
func (d descent) decode() error {
	if *d.left--; *d.left < 0 {
		return fmt.Errorf("%w: more than %d pages are needed for one frame", ErrMalformed, maxNeeded)
	}
	return nil
}

// page returns the bytes of a page: one of a base's, or of the reader's own.
func (r *Reader) page(number int64, way descent) ([]byte, error) {
	if of, ok := r.bases.origin(number); ok {
		return of.read(way)
	}
	return r.ownPage(number-r.bases.pages(), way)
}

func (r *Reader) ownPage(number int64, way descent) ([]byte, error) {
	p, err := way.cache.Get(pageKey{reader: r, number: number}, func() (page, error) {
		if err := way.decode(); err != nil {
			return page{}, err
		}
		inner := way
		inner.deepest = new(int)
		c, i := r.index.at(number)
		data, err := r.frame(c, i, inner)
		return page{data, *inner.deepest}, err
	})
	*way.deepest = max(*way.deepest, p.depth+1)
	return p.data, err
}

// frame returns the bytes of content that frame i of c holds.
func (r *Reader) frame(c *content, i int, way descent) ([]byte, error) {
	raw, err := r.encoded(c, i)
	if err != nil {
		return nil, err
	}
	return r.decodeFrame(c, i, raw, way)
}

// encoded returns the bytes of the space that hold frame i of c.
func (r *Reader) encoded(c *content, i int) ([]byte, error) {
	raw := make([]byte, c.frames[i].encoded)
	_, err := r.space.ReadAt(raw, c.frames[i].offset)
	return raw, err
}

// decodeFrame is frame for who has the frame's bytes of the space.
func (r *Reader) decodeFrame(c *content, i int, raw []byte, way descent) ([]byte, error) {
	f := c.frames[i]
	below := pagesBelow{reader: r, limit: r.bases.pages() + c.first + int64(i), way: way}
	if f.kind == Same {
		return r.same(f.page, c.frameLength(i), below)
	}
	return r.decoders.decode(f.kind, raw, c.frameLength(i), below)
}

func (r *Reader) same(page, length int64, below pagesBelow) ([]byte, error) {
	data, err := below.whole(page)
	if err == nil && int64(len(data)) != length {
		err = fmt.Errorf("%w: page %d has %d bytes, and its copy %d", ErrMalformed, page, len(data), length)
	}
	return data, err
}

// decoders decode frames of every kind. They are safe for use by several goroutines.
type decoders struct {
	zstd  *decoder
	delta *delta.Decoder
}

func newDecoders(workers int) (*decoders, error) {
	z, err := newDecoder(workers)
	if err != nil {
		return nil, err
	}
	d, err := delta.NewDecoder(workers)
	return &decoders{zstd: z, delta: d}, err
}

// decode returns the length bytes that a frame other than Same holds.
func (d *decoders) decode(kind FrameKind, raw []byte, length int64, below delta.Source) ([]byte, error) {
	switch kind {
	case Stored:
		return raw, nil
	case Zstd:
		return d.zstd.decode(raw, length)
	case Delta:
		data, err := d.delta.Decode(raw, int(length), below)
		return data, ofDelta(err)
	}
	return nil, fmt.Errorf("%w: a frame of kind %d has no bytes", ErrMalformed, kind)
}

// news returns what is new in a frame of length bytes.
func (d *decoders) news(kind FrameKind, raw []byte, length int64) ([]byte, error) {
	if kind != Delta {
		return d.decode(kind, raw, length, nil)
	}
	data, err := d.delta.Literals(raw, int(length))
	return data, ofDelta(err)
}

func ofDelta(err error) error {
	if errors.Is(err, delta.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return err
}
