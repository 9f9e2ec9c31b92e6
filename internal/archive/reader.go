package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"airlock/internal/gunzip"
	"airlock/internal/gzipexact"
	"airlock/internal/lru"
	"airlock/internal/manifest"
	"airlock/internal/trust"
	"airlock/internal/twosum"
	"airlock/internal/volume"
)

// ErrBase is wrapped where a bundle cannot be read without a base that is not
// there, or is another one.
var ErrBase = errors.New("a base is needed")

// Reader reads blobs from the space of a verified bundle. It is safe for use
// by several goroutines.
type Reader struct {
	space    *volume.Reader
	index    *index
	bases    bases
	decoders *decoders
	cache    *pageCache                      // shared with the bases
	shared   map[manifest.Unpacked]*unpacked // what bundles that are based on r say of its gzip blobs
}

// Open proves and opens the bundle in fsys: its texts by manifest.Open, the
// presence and sizes of its volumes, its index. It is what everything on the
// isolated side begins with. OpenOn opens one that is based on others.
func Open(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Reader, error) {
	return OpenOn(fsys, nil, allowed, at)
}

// OpenOn opens a bundle together with the bundles it is based on, and those
// they are based on, which are looked for among bases by the digests of their
// SHA256SUMS. Each is proven like the bundle itself. Where a base is missing,
// Complete and the reading of what is copied from it return an error that
// wraps ErrBase and names it.
func OpenOn(fsys fs.FS, bases []fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Reader, error) {
	o, err := newOpener(bases, allowed, at)
	if err != nil {
		return nil, err
	}
	r, err := o.bundle(fsys, 0)
	if err != nil {
		o.close()
		return nil, err
	}
	return r, nil
}

// OpenBases opens bundles to base another on. Each is opened as by OpenOn, on the
// others; all that they are based on must be among them. They share one cache.
func OpenBases(bundles []fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Bases, error) {
	o, err := newOpener(bundles, allowed, at)
	if err != nil {
		return nil, err
	}
	var readers []*Reader
	for _, root := range o.roots {
		r, err := o.reader(manifest.Base{Root: root}, 0)
		if err == nil {
			err = r.Complete()
		}
		if err != nil {
			o.close()
			return nil, err
		}
		readers = append(readers, r)
	}
	return NewBases(readers...), nil
}

// maxChain is how many bundles may be based on each other.
const maxChain = 64

type opener struct {
	allowed *trust.AllowedSigners
	at      time.Time
	offered map[manifest.Digest]fs.FS
	roots   []manifest.Digest // of those offered, in their order
	open    map[manifest.Digest]*Reader
	cache   *pageCache
	points  *gunzip.Points
}

func newOpener(offered []fs.FS, allowed *trust.AllowedSigners, at time.Time) (*opener, error) {
	o := &opener{allowed: allowed, at: at, offered: map[manifest.Digest]fs.FS{}, open: map[manifest.Digest]*Reader{},
		cache: lru.NewWeighted[pageKey](cachedBytes, pageWeight), points: gunzip.NewPoints(maxPoints)}
	for _, bundle := range offered {
		sums, err := manifest.ReadSums(bundle)
		if err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
		root := manifest.DigestOf(sums)
		o.offered[root] = bundle
		o.roots = append(o.roots, root)
	}
	return o, nil
}

func (o *opener) close() {
	for _, r := range o.open {
		r.space.Close()
	}
}

func (o *opener) bundle(fsys fs.FS, depth int) (*Reader, error) {
	verified, err := manifest.Open(fsys, o.allowed, o.at)
	if err != nil {
		return nil, err
	}
	if depth > maxChain {
		return nil, fmt.Errorf("%w: more than %d bundles are based on each other", ErrMalformed, maxChain)
	}
	var all bases
	for _, listed := range verified.Manifest().Bases {
		b, err := o.base(listed, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	space, err := volume.NewReader(verified, fsys)
	if err != nil {
		return nil, err
	}
	r, err := newReader(space, all, o.cache)
	if err != nil {
		space.Close()
		return nil, err
	}
	o.open[verified.Root()] = r
	return r, nil
}

// base returns a base, without its reader if it is not among those offered.
func (o *opener) base(listed manifest.Base, depth int) (base, error) {
	r, err := o.reader(listed, depth)
	if err == nil && r != nil && r.index.pages() != listed.Pages {
		err = fmt.Errorf("%w: it has %d pages, want %d", ErrMalformed, r.index.pages(), listed.Pages)
	}
	var b base
	if err == nil {
		b, err = newBase(listed, r, o.points)
	}
	if err != nil {
		return base{}, fmt.Errorf("base %s %s: %w", listed.Release, listed.Version, err)
	}
	return b, nil
}

// reader returns the reader of a base, or nil.
func (o *opener) reader(listed manifest.Base, depth int) (*Reader, error) {
	if r, ok := o.open[listed.Root]; ok {
		return r, nil
	}
	fsys, ok := o.offered[listed.Root]
	if !ok {
		return nil, nil
	}
	return o.bundle(fsys, depth)
}

// newReader reads the index of a space.
func newReader(space *volume.Reader, all bases, cache *pageCache) (*Reader, error) {
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
	decoders, err := newDecoders(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	r := &Reader{space: space, bases: all, decoders: decoders, cache: cache, shared: map[manifest.Unpacked]*unpacked{}}
	r.index, err = parseIndex(raw, where.Offset, r.bases.pages())
	return r, err
}

// Close closes the volumes, the bases' too.
func (r *Reader) Close() error {
	var all []error
	for _, one := range r.family() {
		all = append(all, one.space.Close())
	}
	return errors.Join(all...)
}

// family returns all that r is based on, each once and after its own bases,
// and r itself as the last.
func (r *Reader) family() []*Reader {
	var all []*Reader
	var visit func(*Reader)
	visit = func(one *Reader) {
		if slices.Contains(all, one) {
			return
		}
		for _, b := range one.bases {
			if b.Reader != nil {
				visit(b.Reader)
			}
		}
		all = append(all, one)
	}
	visit(r)
	return all
}

// Complete returns an error that wraps ErrBase if a base is missing.
func (r *Reader) Complete() error {
	for _, one := range r.family() {
		for _, b := range one.bases {
			if b.Reader == nil {
				return fmt.Errorf("%s: %w", one.Manifest().Title(), b.missing())
			}
		}
	}
	return nil
}

func (b base) missing() error {
	return fmt.Errorf("%w: %s %s with root %s is not among those given", ErrBase, b.Release, b.Version, b.Root)
}

// Verified returns the proven texts of the bundle.
func (r *Reader) Verified() *manifest.Verified { return r.space.Verified() }

// Manifest returns the bundle's manifest. It must not be changed.
func (r *Reader) Manifest() *manifest.Manifest { return r.Verified().Manifest() }

// Space returns the volumes' space.
func (r *Reader) Space() *volume.Reader { return r.space }

// Size returns a blob's size in bytes, and whether the archive has it.
func (r *Reader) Size(d manifest.Digest) (int64, bool) {
	b, ok := r.index.find(d)
	return b.size, ok
}

// ContentSize returns how many bytes all contents have together.
func (r *Reader) ContentSize() int64 {
	var sum int64
	for _, c := range r.index.contents {
		sum += c.size
	}
	return sum
}

// Packing says how a blob is packed.
type Packing struct {
	Digest manifest.Digest `json:"digest"`
	Size   int64           `json:"size"`          // bytes of the blob
	Packed int64           `json:"packed"`        // bytes its content takes in the volumes
	Recipe string          `json:"recipe"`        // how it is rebuilt from its content
	Why    string          `json:"why,omitempty"` // why it is packed as it is
	Frames string          `json:"frames"`        // how its content is stored
}

// reasons are in words for people.
var reasons = [...]string{
	NoEncoder: "no known encoder makes these bytes",
	TooSlow:   "so it arrives sooner over the link that was named",
}

var frameNames = [...]string{Stored: "stored", Zstd: "zstd", Delta: "delta", Same: "copied"}

// Packings returns how each blob is packed, by digest.
func (r *Reader) Packings() []Packing { return r.index.packings() }

func (x *index) packings() []Packing {
	var all []Packing
	for _, b := range x.blobs {
		p := Packing{Digest: b.digest, Size: b.size, Recipe: "as it is", Why: reasons[b.why]}
		if b.kind == gzip {
			recipe, err := gzipexact.ParseRecipe(b.recipe)
			if err != nil {
				panic("archive: internal error: " + err.Error()) // it was parsed before
			}
			p.Recipe = "gzip: " + recipe.String()
		}
		var kinds []string
		var counts [len(frameNames)]int
		for _, f := range x.contents[b.content].frames {
			p.Packed += f.encoded
			counts[f.kind]++
		}
		for kind, n := range counts {
			if n > 0 {
				kinds = append(kinds, fmt.Sprintf("%d %s", n, frameNames[kind]))
			}
		}
		p.Frames = strings.Join(kinds, ", ")
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
	if b.kind == asItIs {
		return r.content(c), nil
	}
	recipe, err := gzipexact.ParseRecipe(b.recipe)
	if err != nil {
		return nil, err
	}
	return newProven(d, b.size, ownPass{sha256.New()}, func(emit func([]byte) error) error { return r.rebuild(c, recipe, emit) }), nil
}

// OpenContent returns the content that a gzip blob is rebuilt from: what it
// decompresses to, proven by its digest as Open's bytes are, and its size.
// False: the blob is no such blob.
func (r *Reader) OpenContent(d manifest.Digest) (io.ReadCloser, int64, bool) {
	b, ok := r.index.find(d)
	if !ok || b.kind != gzip {
		return nil, 0, false
	}
	c := &r.index.contents[b.content]
	return r.content(c), c.size, true
}

// Rebuilt reports whether a blob is rebuilt from a content by a recipe.
func (r *Reader) Rebuilt(d manifest.Digest) bool {
	b, ok := r.index.find(d)
	return ok && b.kind == gzip
}

// content returns a content's bytes, proven by its digest.
func (r *Reader) content(c *content) io.ReadCloser {
	if c.isPlain() {
		sum := new(twosum.Hash)
		return newProven(c.digest, c.size, samePass{sum}, func(emit func([]byte) error) error { return r.plain(c, sum, emit) })
	}
	return newProven(c.digest, c.size, ownPass{sha256.New()}, func(emit func([]byte) error) error { return r.frames(c, emit) })
}

// plain emits the bytes of a content that stand in the space as they are, block
// by block, and has each hashed into sum before.
func (r *Reader) plain(c *content, sum *twosum.Hash, emit func([]byte) error) error {
	var buffers [inUse][]byte
	at := c.frames[0].offset
	for i, end := 0, at+c.size; at < end; i++ {
		n := min(manifest.BlockSize-at%manifest.BlockSize, end-at)
		if len(buffers[i%inUse]) < int(n) {
			buffers[i%inUse] = make([]byte, min(manifest.BlockSize, c.size))
		}
		data := buffers[i%inUse][:n]
		if _, err := r.space.ReadHashed(data, at, sum); err != nil {
			return err
		}
		if err := emit(data); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// frames emits a content's bytes, frame by frame.
func (r *Reader) frames(c *content, emit func([]byte) error) error {
	for i := range c.frames {
		data, err := r.frame(c, i, newDescent(r.cache))
		if err != nil {
			return err
		}
		if err := emit(data); err != nil {
			return err
		}
	}
	return nil
}

// rebuild emits a gzip blob made of its content.
func (r *Reader) rebuild(c *content, recipe gzipexact.Recipe, emit func([]byte) error) error {
	content := r.content(c)
	defer content.Close()
	w := &chunker{emit: emit}
	if err := gzipexact.RebuildParallel(w, recipe, content, runtime.GOMAXPROCS(0)); err != nil {
		return err
	}
	return w.flush()
}

// chunker gathers small writes into chunks for a proven reader.
type chunker struct {
	emit func([]byte) error
	data []byte
}

const chunkSize = 256 << 10

func (w *chunker) Write(p []byte) (int, error) {
	w.data = append(w.data, p...)
	if len(w.data) < chunkSize {
		return len(p), nil
	}
	return len(p), w.flush()
}

func (w *chunker) flush() error {
	data := w.data
	w.data = make([]byte, 0, chunkSize+64<<10)
	return w.emit(data)
}

// ReadAt fills p with the bytes of a blob that is packed as it is, from offset
// off. They are proven by the blocks they came from, not by the blob's digest.
// Past the blob's end it returns io.EOF; of any other blob errors.ErrUnsupported.
func (r *Reader) ReadAt(d manifest.Digest, p []byte, off int64) (int, error) {
	b, ok := r.index.find(d)
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	if b.kind != asItIs || off < 0 {
		return 0, fmt.Errorf("blob %s: reading at %d: %w", d, off, errors.ErrUnsupported)
	}
	n, err := contentBytes{r, &r.index.contents[b.content]}.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("blob %s: %w", d, err)
	}
	return n, err
}
