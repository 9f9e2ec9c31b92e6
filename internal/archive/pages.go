package archive

import (
	"errors"
	"fmt"

	"airlock/internal/delta"
	"airlock/internal/lru"
)

// Bounds of copies over copies (FORMAT.md, "Copies"). A frame that is stored or
// zstd has depth 0 and needs no other page.
const (
	maxDepth   = 32  // of a frame
	ownDepth   = 8   // from which a writer copies no more within one bundle, to leave room for those based on it
	maxSources = 8   // pages that a frame copies from
	maxNeeded  = 256 // pages that have to be decoded for one frame
)

// cachedPages is how many decoded pages a reader and its bases keep: 64 MiB.
const cachedPages = 32

// pageKey names a page by the reader whose own it is.
type pageKey struct {
	reader *Reader
	number int64 // among its own
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

// pagesBelow is the pages of a reader that come before one of its frames. It is a delta.Source.
type pagesBelow struct {
	reader *Reader
	limit  int64
	way    descent
}

// Page implements delta.Source.
func (p pagesBelow) Page(number int64) ([]byte, error) {
	if number < 0 || number >= p.limit {
		return nil, fmt.Errorf("%w: page %d is copied by page %d, which does not come after it", ErrMalformed, number, p.limit)
	}
	next := p.way
	next.depth++
	if next.depth > maxDepth {
		return nil, p.tooDeep()
	}
	data, err := p.reader.page(number, next)
	if err == nil && *p.way.deepest > maxDepth {
		return nil, p.tooDeep() // though what is below it was at hand
	}
	return data, err
}

func (p pagesBelow) tooDeep() error {
	return fmt.Errorf("%w: page %d is more than %d copies deep", ErrMalformed, p.limit, maxDepth)
}

// page returns the bytes of a page: one of a base's, or of the reader's own.
func (r *Reader) page(number int64, way descent) ([]byte, error) {
	for _, b := range r.bases {
		if number >= b.Pages {
			number -= b.Pages
			continue
		}
		if b.Reader == nil {
			return nil, b.missing()
		}
		return b.ownPage(number, way)
	}
	return r.ownPage(number, way)
}

func (r *Reader) ownPage(number int64, way descent) ([]byte, error) {
	p, err := way.cache.Get(pageKey{r, number}, func() (page, error) {
		if *way.left--; *way.left < 0 {
			return page{}, fmt.Errorf("%w: more than %d pages are needed for one frame", ErrMalformed, maxNeeded)
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
	raw := make([]byte, c.frames[i].encoded)
	if _, err := r.space.ReadAt(raw, c.frames[i].offset); err != nil {
		return nil, err
	}
	return r.decodeFrame(c, i, raw, way)
}

// decodeFrame is frame for who has the frame's bytes of the space.
func (r *Reader) decodeFrame(c *content, i int, raw []byte, way descent) ([]byte, error) {
	f := c.frames[i]
	below := pagesBelow{reader: r, limit: r.basePages() + c.first + int64(i), way: way}
	if f.kind == Same {
		return r.same(f.page, c.frameLength(i), below)
	}
	return r.decoders.decode(f.kind, raw, c.frameLength(i), below)
}

func (r *Reader) same(page, length int64, below pagesBelow) ([]byte, error) {
	data, err := below.Page(page)
	if err == nil && int64(len(data)) != length {
		err = fmt.Errorf("%w: page %d has %d bytes, and its copy %d", ErrMalformed, page, len(data), length)
	}
	return data, err
}

// basePages returns how many pages the bases have.
func (r *Reader) basePages() int64 {
	var sum int64
	for _, b := range r.bases {
		sum += b.Pages
	}
	return sum
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
		if errors.Is(err, delta.ErrMalformed) {
			err = fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return data, err
	}
	return nil, fmt.Errorf("%w: a frame of kind %d has no bytes", ErrMalformed, kind)
}
