package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"airlock/internal/manifest"
)

// Limits of an index (FORMAT.md, "Limits").
const (
	MaxIndex = 256 << 20 // bytes
	MaxFrame = 4 << 20   // bytes of content in one frame
)

const indexMagic = "airlock-index-v1\n"

// FrameKind says how a frame's bytes stand in the space.
type FrameKind byte

// The frame kinds of this version.
const (
	Stored FrameKind = 0 // as they are
	Zstd   FrameKind = 1 // one zstd frame (RFC 8878)
)

// frame is a slice of a content.
type frame struct {
	kind    FrameKind
	size    int64 // bytes of content
	encoded int64 // bytes in the space
	offset  int64 // in the space; follows from the frames before
}

// content is a run of bytes named by its SHA-256.
type content struct {
	digest manifest.Digest
	size   int64
	frames []frame
}

// recipeKind says how a blob comes from its content.
type recipeKind byte

// asItIs: the blob is the content.
const asItIs recipeKind = 0

// blob is a named run of bytes that is rebuilt from a content.
type blob struct {
	digest  manifest.Digest
	recipe  recipeKind
	content int // in index.contents
}

// index lists all that the space holds. Frames stand in the space in the order
// of the contents, without gaps, from offset 0 to the index itself.
type index struct {
	contents []content
	blobs    []blob // by digest
}

// marshal returns the one encoding of the index.
func (x *index) marshal() []byte {
	b := []byte(indexMagic)
	b = binary.AppendUvarint(b, uint64(len(x.contents)))
	for _, c := range x.contents {
		b = append(b, c.digest[:]...)
		b = binary.AppendUvarint(b, uint64(c.size))
		b = binary.AppendUvarint(b, uint64(len(c.frames)))
		for _, f := range c.frames {
			b = append(b, byte(f.kind))
			b = binary.AppendUvarint(b, uint64(f.size))
			if f.kind != Stored {
				b = binary.AppendUvarint(b, uint64(f.encoded))
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(x.blobs)))
	for _, blob := range x.blobs {
		b = append(b, blob.digest[:]...)
		b = append(b, byte(blob.recipe))
		b = binary.AppendUvarint(b, uint64(blob.content))
	}
	return b
}

// parseIndex reads what marshal writes and nothing else. spaceSize is how many
// bytes of frames come before the index.
func parseIndex(raw []byte, spaceSize int64) (*index, error) {
	p := &parser{rest: raw}
	x := &index{}
	if string(p.take(len(indexMagic))) != indexMagic {
		return nil, fmt.Errorf("%w: index does not begin with %q", ErrMalformed, indexMagic)
	}
	offset := int64(0)
	for n := p.count(minContent); n > 0 && p.err == nil; n-- {
		c := p.content(&offset)
		x.contents = append(x.contents, c)
	}
	for n := p.count(minBlob); n > 0 && p.err == nil; n-- {
		x.blobs = append(x.blobs, p.blob(x))
	}
	switch {
	case p.err != nil:
		return nil, fmt.Errorf("%w: index: %w", ErrMalformed, p.err)
	case len(p.rest) > 0:
		return nil, fmt.Errorf("%w: index: %d bytes too many", ErrMalformed, len(p.rest))
	case offset != spaceSize:
		return nil, fmt.Errorf("%w: index: frames take %d bytes, but %d come before it", ErrMalformed, offset, spaceSize)
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
	minContent = 32 + 1 + 1
	minFrame   = 2
	minBlob    = 32 + 1 + 1
)

// parser takes an index apart; its first error sticks.
type parser struct {
	rest []byte
	err  error
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
func (p *parser) count(size int) int64 {
	n := p.number(manifest.MaxSpace)
	if n > int64(len(p.rest)/size) {
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

func (p *parser) content(offset *int64) content {
	c := content{digest: p.digest(), size: p.number(manifest.MaxSpace)}
	left := c.size
	for n := p.count(minFrame); n > 0 && p.err == nil; n-- {
		f := frame{kind: FrameKind(p.take(1)[0]), size: p.number(MaxFrame), offset: *offset}
		f.encoded = f.size
		if f.kind == Zstd {
			f.encoded = p.number(MaxFrame)
		}
		if p.err == nil {
			p.checkFrame(f, left)
		}
		left -= f.size
		*offset += f.encoded
		c.frames = append(c.frames, f)
	}
	if left != 0 {
		p.fail("content %s: its frames do not make its %d bytes", c.digest, c.size)
	}
	return c
}

func (p *parser) checkFrame(f frame, left int64) {
	switch {
	case f.kind > Zstd:
		p.fail("frame of kind %d, which this version of airlock does not know", f.kind)
	case f.size == 0 || f.size > left:
		p.fail("frame of %d bytes where %d are left", f.size, left)
	case f.kind == Zstd && (f.encoded == 0 || f.encoded >= f.size):
		p.fail("zstd frame of %d bytes for %d", f.encoded, f.size)
	}
}

func (p *parser) blob(x *index) blob {
	b := blob{digest: p.digest(), recipe: recipeKind(p.take(1)[0])}
	n := p.number(manifest.MaxSpace)
	switch {
	case p.err != nil:
	case b.recipe != asItIs:
		p.fail("recipe of kind %d, which this version of airlock does not know", b.recipe)
	case n >= int64(len(x.contents)):
		p.fail("blob %s comes from content %d of %d", b.digest, n, len(x.contents))
	case x.contents[n].digest != b.digest:
		p.fail("blob %s is not its content %s as it is", b.digest, x.contents[n].digest)
	}
	b.content = int(n)
	return b
}

