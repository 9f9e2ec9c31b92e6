package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// Limits of an index (FORMAT.md, "Limits").
const (
	MaxIndex  = 256 << 20 // bytes
	FrameSize = 2 << 20   // bytes of content in each frame of a content but its last
)

// contentAlign is what every content's first byte stands at a multiple of, as
// blocks and volumes do: so the hashes of all three can be taken in one pass.
const contentAlign = twosum.BlockSize

// aligned returns where a content begins that comes after offset.
func aligned(offset int64) int64 { return (offset + contentAlign - 1) / contentAlign * contentAlign }

const indexMagic = "airlock-index-v1\n"

// FrameKind says how a frame's bytes stand in the space.
type FrameKind byte

// The frame kinds of this version.
const (
	Stored FrameKind = 0 // as they are
	Zstd   FrameKind = 1 // one zstd frame (RFC 8878)
	Delta  FrameKind = 2 // copies from earlier pages, and what differs (package delta)
	Same   FrameKind = 3 // the bytes of an earlier page; takes no space
)

// frame is a slice of a content: FrameSize bytes of it, the last one perhaps
// fewer. Its number among all frames, those of the bases first, is its page.
type frame struct {
	kind    FrameKind
	encoded int64 // bytes in the space
	page    int64 // of Same: which page
	offset  int64 // in the space; follows from the frames before
}

// content is a run of bytes named by its SHA-256.
type content struct {
	digest manifest.Digest
	size   int64
	frames []frame
	first  int64 // number of the first frame in this archive; follows from the contents before
}

// frameCount returns how many frames a content of size bytes has.
func frameCount(size int64) int64 { return (size + FrameSize - 1) / FrameSize }

// isPlain says that the content's bytes stand in the space as they are.
func (c *content) isPlain() bool {
	return len(c.frames) > 0 && !slices.ContainsFunc(c.frames, func(f frame) bool { return f.kind != Stored })
}

// isAlone says that no frame of the content copies.
func (c *content) isAlone() bool {
	return !slices.ContainsFunc(c.frames, func(f frame) bool { return f.kind != Stored && f.kind != Zstd })
}

// frameLength returns how many bytes of content frame i holds.
func (c *content) frameLength(i int) int64 { return min(FrameSize, c.size-int64(i)*FrameSize) }

// recipeKind says how a blob comes from its content.
type recipeKind byte

// The recipe kinds of this version.
const (
	asItIs recipeKind = 0 // the blob is the content
	gzip   recipeKind = 1 // the content, compressed as a gzipexact.Recipe says
)

// Reason says why a blob that decompresses is packed as it is.
type Reason byte

// The reasons of this version. In the index, a reason but Untried is a recipe
// kind of its own.
const (
	Untried   Reason = 0 // nothing else was tried
	NoEncoder Reason = 1 // no known encoder makes these bytes of what they decompress to
	TooSlow   Reason = 2 // making it smaller, and making it again, would have taken longer than it saves on the way
)

// afterGzip is what a reason is added to, to make a recipe kind.
const afterGzip = byte(gzip)

// blob is a named run of bytes that is rebuilt from a content.
type blob struct {
	digest  manifest.Digest
	kind    recipeKind
	why     Reason // of asItIs
	content int    // in index.contents
	size    int64  // of gzip: bytes of the blob
	recipe  []byte // of gzip
}

// recipeByte is the recipe's kind as it stands in the index.
func (b *blob) recipeByte() byte {
	if b.why != Untried {
		return afterGzip + byte(b.why)
	}
	return byte(b.kind)
}

// setRecipe is the inverse of recipeByte.
func (b *blob) setRecipe(kind byte) {
	b.kind = recipeKind(kind)
	if kind > afterGzip && kind <= afterGzip+byte(TooSlow) {
		b.kind, b.why = asItIs, Reason(kind-afterGzip)
	}
}

// index lists all that the space holds. Frames stand in the space in the order
// of the contents, from offset 0 to the index itself, each content's first
// aligned and no other gaps between them.
type index struct {
	contents []content
	blobs    []blob // by digest
}

// pages returns how many frames there are.
func (x *index) pages() int64 {
	if len(x.contents) == 0 {
		return 0
	}
	last := x.contents[len(x.contents)-1]
	return last.first + frameCount(last.size)
}

// at returns the content that frame n belongs to, and which of its frames it is.
func (x *index) at(n int64) (*content, int) {
	i := sort.Search(len(x.contents), func(i int) bool { return x.contents[i].first > n }) - 1
	return &x.contents[i], int(n - x.contents[i].first)
}

// marshal returns the one encoding of the index.
func (x *index) marshal() []byte {
	b := []byte(indexMagic)
	b = binary.AppendUvarint(b, uint64(len(x.contents)))
	for _, c := range x.contents {
		b = append(b, c.digest[:]...)
		b = binary.AppendUvarint(b, uint64(c.size))
		for _, f := range c.frames {
			b = append(b, byte(f.kind))
			switch f.kind {
			case Zstd, Delta:
				b = binary.AppendUvarint(b, uint64(f.encoded))
			case Same:
				b = binary.AppendUvarint(b, uint64(f.page))
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(x.blobs)))
	for _, blob := range x.blobs {
		b = append(b, blob.digest[:]...)
		b = append(b, blob.recipeByte())
		b = binary.AppendUvarint(b, uint64(blob.content))
		if blob.kind == gzip {
			b = binary.AppendUvarint(b, uint64(blob.size))
			b = binary.AppendUvarint(b, uint64(len(blob.recipe)))
			b = append(b, blob.recipe...)
		}
	}
	return b
}

// parseIndex reads what marshal writes and nothing else. spaceSize is how many
// bytes of frames come before the index, basePages how many pages the bases have.
func parseIndex(raw []byte, spaceSize, basePages int64) (*index, error) {
	p := &parser{rest: raw, page: basePages}
	x := &index{}
	if string(p.take(len(indexMagic))) != indexMagic {
		return nil, fmt.Errorf("%w: index does not begin with %q", ErrMalformed, indexMagic)
	}
	for n := p.count(minContent); n > 0 && p.err == nil; n-- {
		x.contents = append(x.contents, p.content(x.pages()))
	}
	for n := p.count(minBlob); n > 0 && p.err == nil; n-- {
		x.blobs = append(x.blobs, p.blob(x))
	}
	switch {
	case p.err != nil:
		return nil, fmt.Errorf("%w: index: %w", ErrMalformed, p.err)
	case len(p.rest) > 0:
		return nil, fmt.Errorf("%w: index: %d bytes too many", ErrMalformed, len(p.rest))
	case p.offset != spaceSize:
		return nil, fmt.Errorf("%w: index: frames take %d bytes, but %d come before it", ErrMalformed, p.offset, spaceSize)
	case !bytes.Equal(x.marshal(), raw):
		return nil, fmt.Errorf("%w: index: a number is not in its shortest form", ErrMalformed)
	}
	return x, x.check()
}

// check holds the rules that span entries.
func (x *index) check() error {
	seen := map[manifest.Digest]bool{}
	for _, c := range x.contents {
		if seen[c.digest] {
			return fmt.Errorf("%w: index: content %s stands twice", ErrMalformed, c.digest)
		}
		if c.size == 0 && c.digest != manifest.DigestOf(nil) {
			return fmt.Errorf("%w: index: content %s has no bytes, but not their digest", ErrMalformed, c.digest)
		}
		seen[c.digest] = true
	}
	used := make([]bool, len(x.contents))
	for i, b := range x.blobs {
		if i > 0 && x.blobs[i-1].digest.Compare(b.digest) >= 0 {
			return fmt.Errorf("%w: index: blob %s is out of order", ErrMalformed, b.digest)
		}
		used[b.content] = true
	}
	if i := slices.Index(used, false); i >= 0 {
		return fmt.Errorf("%w: index: no blob uses content %s", ErrMalformed, x.contents[i].digest)
	}
	return nil
}

// find returns the blob of that digest.
func (x *index) find(d manifest.Digest) (blob, bool) {
	i, ok := slices.BinarySearchFunc(x.blobs, d, func(b blob, d manifest.Digest) int { return b.digest.Compare(d) })
	if !ok {
		return blob{}, false
	}
	return x.blobs[i], true
}

// Fewest bytes that an entry takes; counts beyond what is left are refused
// before anything is allocated.
const (
	minContent = 32 + 1
	minFrame   = 1
	minBlob    = 32 + 1 + 1
)

// parser takes an index apart; its first error sticks.
type parser struct {
	rest   []byte
	err    error
	offset int64 // of the next frame in the space
	page   int64 // number of the next frame
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.rest = nil
}

func (p *parser) take(n int) []byte {
	if len(p.rest) < n {
		p.fail("ends too early")
		return make([]byte, n)
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) number(limit int64) int64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.fail("ends too early, or a number is too long")
		return 0
	}
	if v > uint64(limit) {
		p.fail("%d is over the limit of %d", v, limit)
		return 0
	}
	p.rest = p.rest[n:]
	return int64(v)
}

// count reads how many entries of at least size bytes follow.
func (p *parser) count(size int64) int64 { return p.fits(p.number(manifest.MaxSpace), size) }

// fits refuses n entries of at least size bytes where fewer bytes are left.
func (p *parser) fits(n, size int64) int64 {
	if n > int64(len(p.rest))/size {
		p.fail("%d entries do not fit in %d bytes", n, len(p.rest))
		return 0
	}
	return n
}

func (p *parser) digest() manifest.Digest {
	d := manifest.Digest(p.take(len(manifest.Digest{})))
	if d.IsZero() {
		p.fail("a digest is zero")
	}
	return d
}

func (p *parser) content(first int64) content {
	c := content{digest: p.digest(), size: p.number(manifest.MaxSpace), first: first}
	n := p.fits(frameCount(c.size), minFrame)
	c.frames = make([]frame, 0, n)
	if n > 0 {
		p.offset = aligned(p.offset)
	}
	for i := range int(n) {
		f := p.frame(c.frameLength(i))
		if p.err != nil {
			break
		}
		c.frames = append(c.frames, f)
		p.offset += f.encoded
		p.page++
	}
	return c
}

// frame reads a frame of length bytes of content.
func (p *parser) frame(length int64) frame {
	f := frame{kind: FrameKind(p.take(1)[0]), offset: p.offset}
	switch f.kind {
	case Stored:
		f.encoded = length
	case Zstd, Delta:
		f.encoded = p.number(FrameSize)
		if f.encoded == 0 || f.encoded >= length {
			p.fail("a frame of %d bytes for %d", f.encoded, length)
		}
	case Same:
		f.page = p.number(manifest.MaxSpace)
		if f.page >= p.page {
			p.fail("page %d is a copy of page %d, which does not come before it", p.page, f.page)
		}
	default:
		p.fail("a frame of kind %d, which this version of airlock does not know", f.kind)
	}
	return f
}

func (p *parser) blob(x *index) blob {
	b := blob{digest: p.digest()}
	b.setRecipe(p.take(1)[0])
	n := p.number(manifest.MaxSpace)
	if p.err == nil && n >= int64(len(x.contents)) {
		p.fail("blob %s comes from content %d of %d", b.digest, n, len(x.contents))
	}
	if p.err != nil {
		return b
	}
	b.content = int(n)
	c := &x.contents[n]
	switch b.kind {
	case asItIs:
		b.size = c.size
		if c.digest != b.digest {
			p.fail("blob %s is not its content %s as it is", b.digest, c.digest)
		}
	case gzip:
		b.size = p.number(manifest.MaxSpace)
		b.recipe = p.take(int(p.fits(p.number(gzipexact.MaxRecipe), 1)))
		if r, err := gzipexact.ParseRecipe(b.recipe); p.err == nil && err != nil {
			p.fail("blob %s: %w", b.digest, err)
		} else if p.err == nil && r.Size() != c.size {
			p.fail("blob %s: its recipe takes %d bytes, its content has %d", b.digest, r.Size(), c.size)
		}
	default:
		p.fail("a recipe of kind %d, which this version of airlock does not know", b.kind)
	}
	return b
}
