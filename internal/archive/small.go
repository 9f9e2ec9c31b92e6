package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"airlock/internal/delta"
	"airlock/internal/lru"
	"airlock/internal/manifest"
)

// Scratch is memory or a file that is written and read at once.
type Scratch interface {
	io.WriterAt
	io.ReaderAt
}

// Space is a space that can be read back while it is written.
type Space interface {
	io.Writer
	io.ReaderAt
}

// NewSmallWriter returns a Writer that looks for every content's bytes in all
// that came before it and in the bases, with an index of that many bytes of
// memory. What AddGzip may have to drop again is kept in scratch until then. What
// the bases hold is indexed first, which reads and decodes all of them, and inflates
// gzip blobs that they have as they are. The bases must outlive the Writer.
func NewSmallWriter(space Space, scratch Scratch, bases *Bases, memory int) (*Writer, error) {
	w, err := NewWriter(space)
	if err != nil {
		return nil, err
	}
	if w.small, err = newSmall(space, bases, memory); err != nil {
		w.Close()
		return nil, err
	}
	w.small.scratch, w.drain.held.scratch, w.drain.told = scratch, scratch, w.small
	return w, nil
}

// NewBasedWriter returns a Writer that takes from the bases the blobs that they
// have, and looks for no other copies. The bases must outlive it.
func NewBasedWriter(space io.Writer, bases *Bases) (*Writer, error) {
	w, err := NewWriter(space)
	if err != nil {
		return nil, err
	}
	s := &small{bases: bases, plain: true, most: manifest.MaxUnpacked}
	s.more.L = &s.mu
	if err := s.learnAll(); err != nil {
		w.Close()
		return nil, err
	}
	w.small = s
	return w, nil
}

// Bases is the bundles that a new one is based on, each after those that it is
// itself based on.
type Bases struct{ all []*Reader }

// NewBases takes bundles and all that these are based on.
func NewBases(readers ...*Reader) *Bases {
	// Who has most bases comes first: as many as can be come from it then, and share its cache.
	readers = slices.Clone(readers)
	slices.SortStableFunc(readers, func(a, b *Reader) int { return len(b.family()) - len(a.family()) })
	b := &Bases{}
	seen := map[manifest.Digest]bool{}
	for _, r := range readers {
		for _, one := range r.family() {
			if root := one.Verified().Root(); !seen[root] {
				seen[root] = true
				b.all = append(b.all, one)
			}
		}
	}
	return b
}

// Close closes the bases' volumes.
func (b *Bases) Close() error {
	var all []error
	for _, r := range b.all {
		all = append(all, r.space.Close())
	}
	return errors.Join(all...)
}

// Manifest returns what a manifest says of the bases, but for what a Writer
// copies from gzip blobs that they have as they are (Writer.Bases).
func (b *Bases) Manifest() []manifest.Base {
	var all []manifest.Base
	for _, r := range b.all {
		all = append(all, r.asBase())
	}
	return all
}

func (r *Reader) asBase() manifest.Base {
	m := r.Manifest()
	return manifest.Base{Release: m.Release, Version: m.Version, Root: r.Verified().Root(), Pages: r.index.pages()}
}

// unpacks is how much larger than a blob that is compressed what it decompresses
// to is taken to be.
const unpacks = 3

// Size returns about how many bytes there are in the bases to copy from.
func (b *Bases) Size() int64 {
	if b == nil {
		return 0
	}
	var sum int64
	for _, r := range b.all {
		sum += r.index.pages() * FrameSize
		for i := range r.index.contents {
			if c := &r.index.contents[i]; c.isPlain() {
				sum += (unpacks - 1) * c.size
			}
		}
	}
	return sum
}

// Bases returns what the manifest says of the bases.
func (w *Writer) Bases() []manifest.Base {
	if w.small == nil {
		return nil
	}
	var all []manifest.Base
	for _, b := range w.small.below {
		all = append(all, b.Base)
	}
	return all
}

// origin returns whose page r calls number.
func (r *Reader) origin(number int64) origin {
	if of, ok := r.bases.origin(number); ok {
		return of
	}
	return r.own(number - r.bases.pages())
}

// own names a page of r's own.
func (r *Reader) own(number int64) origin {
	return origin{&base{Base: r.asBase(), Reader: r}, -1, number}
}

// need is what decoding a page takes.
type need struct {
	depth int
	parts []int32 // what must be decoded before it, ascending, each once: twice a page's number, one more for its news
}

// small finds copies for the frames of a Writer.
type small struct {
	bases    *Bases
	below    bases // these, as far as they were learnt
	space    io.ReaderAt
	decoders *decoders
	index    *delta.Index
	found    chan found // pages of the bases, to be indexed
	encoder  *delta.Encoder
	next     int64  // number of the next page
	needs    []need // by page of the bases
	most     int    // gzip blobs of the bases that may be listed
	owed     int    // of those that bases copy from, how many are still to be learnt
	plain    bool   // no copies are looked for
	strict   bool   // only pages that need few others may be copied from
	cache    *lru.Cache[int64, []byte]

	mu      sync.Mutex
	lengths []int64 // by own page: bytes of content
	written []frame // by own page: where it stands in the space
	held    []frame // of the pages behind those: where they stand in scratch
	scratch Scratch
	stopped bool      // no more will be written
	more    sync.Cond // written or stopped has changed
}

func newSmall(space io.ReaderAt, bases *Bases, memory int) (*small, error) {
	s := &small{bases: bases, most: manifest.MaxUnpacked, space: space, index: delta.NewIndex(memory), cache: lru.NewWeighted[int64](cachedBytes, func(page []byte) int { return len(page) + 1<<10 })}
	s.more.L = &s.mu
	var err error
	if s.decoders, err = newDecoders(runtime.GOMAXPROCS(0)); err != nil {
		return nil, err
	}
	s.encoder, err = delta.NewEncoder(s.index, s, delta.Limits{MaxPages: maxSources, Usable: s.usable}, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	return s, s.learnAll()
}

// usable reports whether frames may copy from a page.
func (s *small) usable(page int64) bool {
	if page >= s.below.pages() {
		return true
	}
	most := maxNeeded / 2
	if s.strict {
		most = maxNeeded / maxSources
	}
	return s.needs[page].depth < maxDepth && len(s.needs[page].parts) < most
}

// needOf returns what decoding an own frame takes that copies from these pages.
func (s *small) needOf(sources []int64) need {
	var n need
	for _, page := range sources {
		if page >= s.below.pages() {
			n.addNews(page)
		} else {
			n.add(page, s.needs[page])
		}
	}
	return n.tidy()
}

// addNews adds what is new in a page, which needs no other.
func (n *need) addNews(page int64) {
	n.depth = max(n.depth, 1)
	n.parts = append(n.parts, int32(2*page+1))
}

// add adds a page and what that needs.
func (n *need) add(page int64, of need) {
	n.depth = max(n.depth, of.depth+1)
	n.parts = append(append(n.parts, int32(2*page)), of.parts...)
}

func (n *need) tidy() need {
	slices.Sort(n.parts)
	return need{depth: n.depth, parts: slices.Clip(slices.Compact(n.parts))}
}

// match finds copies for a page that keep its need within bounds.
func (s *small) match(data []byte, address int64) (*delta.Plan, error) {
	plan, err := s.encoder.Match(data, address)
	if err != nil || len(s.needOf(plan.Pages()).parts) < maxNeeded {
		return plan, err
	}
	s.strict = true
	defer func() { s.strict = false }()
	return s.encoder.Match(data, address)
}

// encode finds copies for the next page and returns what encodes it, to be
// called in any goroutine.
func (s *small) encode(plain *encoder, data []byte) (func() encoded, error) {
	address := s.next * FrameSize
	plan, err := s.match(data, address)
	if err != nil {
		return nil, err
	}
	copies := len(plan.Pages()) > 0
	s.encoder.AddNews(plan)
	if copies {
		s.cache.Put(s.next, plan.Literals())
	} else {
		s.cache.Put(s.next, bytes.Clone(data)) // the buffer will hold another page
	}
	s.add(int64(len(data)))
	return func() encoded {
		if copies {
			return s.prove(plan.Marshal(), data)
		}
		data, kind := plain.encode(data)
		return encoded{kind: kind, data: data}
	}, nil
}

// prove returns a delta frame after data was made of it again.
func (s *small) prove(frame, data []byte) encoded {
	err := s.decoders.delta.Prove(frame, data, s)
	if err != nil {
		err = fmt.Errorf("decoding a frame that was just encoded: %w", ofDelta(err))
	}
	return encoded{kind: Delta, data: frame, err: err}
}

// took implements listener.
func (s *small) took(f frame) {
	s.mu.Lock()
	s.written = append(s.written, f)
	if len(s.held) > 0 {
		s.held = s.held[1:]
	}
	s.mu.Unlock()
	s.more.Broadcast()
}

// tookHeld implements listener.
func (s *small) tookHeld(f frame) {
	s.mu.Lock()
	s.held = append(s.held, f)
	s.mu.Unlock()
	s.more.Broadcast()
}

// dropHeld implements listener.
func (s *small) dropHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

// Page implements delta.Source: pages of the bases, and what is new in those
// that were written.
func (s *small) Page(number int64) ([]byte, error) {
	return s.cache.Get(number, func() ([]byte, error) { return s.read(number) })
}

func (s *small) read(number int64) ([]byte, error) {
	of, ok := s.below.origin(number)
	switch {
	case !ok:
		return s.readOwn(number - s.below.pages())
	case of.unpacked >= 0:
		return of.base.unpacked[of.unpacked].read(of.page) // its bytes are kept once, by s
	}
	return of.read(newDescent(of.base.cache))
}

// readOwn reads a page back, waiting until it is there.
func (s *small) readOwn(own int64) ([]byte, error) {
	p, err := s.wait(own)
	if err != nil {
		return nil, err
	}
	if p.raw == nil {
		p.raw = make([]byte, p.encoded)
		if _, err := s.space.ReadAt(p.raw, p.offset); err != nil {
			return nil, err
		}
	}
	return s.decoders.news(p.kind, p.raw, p.length)
}

// ownPage is an own page as it is encoded.
type ownPage struct {
	frame
	length int64  // of its content
	raw    []byte // nil: it stands in the space
}

// wait waits until an own page is there.
func (s *small) wait(own int64) (ownPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for int64(len(s.written)+len(s.held)) <= own && !s.stopped {
		s.more.Wait()
	}
	written := int64(len(s.written))
	if own < written {
		return ownPage{frame: s.written[own], length: s.lengths[own]}, nil
	}
	if own >= written+int64(len(s.held)) {
		return ownPage{}, errors.New("writing has failed")
	}
	p := ownPage{frame: s.held[own-written], length: s.lengths[own]}
	p.raw = make([]byte, p.encoded)
	// Once s is unlocked, another frame may take its place.
	_, err := s.scratch.ReadAt(p.raw, p.offset)
	return p, err
}

// stop ends waiting for frames that will not be written any more.
func (s *small) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.more.Broadcast()
}

// forget drops all own pages from one on, none of which is written.
func (s *small) forget(first int64) {
	s.next = first
	s.encoder.Forget(first * FrameSize)
	s.cache.Drop(func(page int64) bool { return page >= first })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lengths = s.lengths[:first-s.below.pages()]
}

// add takes note of an own page of length bytes.
func (s *small) add(length int64) {
	s.next++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lengths = append(s.lengths, length)
}

// AddBased appends a blob that a base has, as copies of the base's pages, and
// reports whether there is such a base. Nothing is read where copies suffice.
func (w *Writer) AddBased(d manifest.Digest) (bool, error) {
	if w.small == nil {
		return false, nil
	}
	base, b, ok := w.small.bases.find(d)
	if !ok {
		return false, nil
	}
	if err := w.meet(d); err != nil {
		return false, err
	}
	c := &base.index.contents[b.content]
	n, ok := w.contents[c.digest]
	if !ok {
		var err error
		if n, err = w.addSame(base, c); err != nil {
			return false, err
		}
	}
	b.content = n
	w.index.blobs = append(w.index.blobs, b)
	return true, nil
}

// Empty reports whether there are no bases.
func (b *Bases) Empty() bool { return b == nil || len(b.all) == 0 }

// Has reports whether a base has a blob.
func (b *Bases) Has(d manifest.Digest) bool {
	_, _, ok := b.find(d)
	return ok
}

// find returns the latest base that has a blob.
func (b *Bases) find(d manifest.Digest) (*Reader, blob, bool) {
	for _, base := range slices.Backward(b.all) {
		if found, ok := base.index.find(d); ok {
			return base, found, true
		}
	}
	return nil, blob{}, false
}

// addSame appends a base's content page by page. A page that would be too many
// copies deep is packed anew.
func (w *Writer) addSame(base *Reader, c *content) (int, error) {
	n := w.begin(c.digest, c.size)
	for i, f := range c.frames {
		of := base.own(c.first + int64(i))
		if f.kind == Same {
			of = base.origin(f.page)
		}
		page, ok := w.small.below.number(of)
		if ok && w.small.usable(page) {
			w.small.add(c.frameLength(i))
			p := &pending{content: n, result: make(chan encoded, 1)}
			p.result <- encoded{kind: Same, page: page}
			w.queue <- p
			continue
		}
		if err := w.addAnew(n, base, c, i); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w *Writer) addAnew(n int, base *Reader, c *content, i int) error {
	data, err := base.frame(c, i, newDescent(base.cache))
	if err != nil {
		return err
	}
	return w.send(&pending{content: n}, data)
}
