package gzipexact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Limits of a recipe.
const (
	// MaxRecipe is the size in bytes of the largest recipe.
	MaxRecipe = 16 << 20
	// MaxHeader is the size in bytes of the largest member header.
	MaxHeader = 128 << 10
	// MaxTrailing is how many bytes may follow the last member.
	MaxTrailing = 64 << 10
)

const recipeVersion = 1

// A Recipe says how a gzip stream is rebuilt from its content. The zero Recipe
// is not valid; recipes come from [Analyze] or from [ParseRecipe].
type Recipe struct {
	encoder  encoderSpec
	headers  []string // distinct, in order of first use
	members  []member
	trailing string
}

type member struct {
	header  int   // index into headers
	flushed bool  // an empty block before the last one
	size    int64 // bytes of content
}

// Size returns the number of content bytes that the recipe consumes.
func (r Recipe) Size() int64 {
	var n int64
	for _, m := range r.members {
		n += m.size
	}
	return n
}

// String describes the recipe to people: the encoder, its settings, and what
// is unusual.
func (r Recipe) String() string {
	var b strings.Builder
	b.WriteString(r.encoder.String())
	if n := len(r.members); n != 1 {
		fmt.Fprintf(&b, ", %d members", n)
	}
	if n := len(r.trailing); n > 0 {
		fmt.Fprintf(&b, ", %d trailing bytes", n)
	}
	return b.String()
}

// Marshal returns the canonical encoding of r: the version (one byte), the
// encoder, its level and block size, the distinct headers, the members, and
// the trailing bytes; all numbers but the version are unsigned varints in
// their shortest form.
func (r Recipe) Marshal() []byte {
	b := []byte{recipeVersion}
	b = binary.AppendUvarint(b, uint64(r.encoder.id))
	b = binary.AppendUvarint(b, uint64(r.encoder.level+levelBias))
	b = binary.AppendUvarint(b, uint64(r.encoder.block))
	b = binary.AppendUvarint(b, uint64(len(r.headers)))
	for _, h := range r.headers {
		b = binary.AppendUvarint(b, uint64(len(h)))
		b = append(b, h...)
	}
	b = binary.AppendUvarint(b, uint64(len(r.members)))
	for _, m := range r.members {
		tag := uint64(m.header) << 1
		if m.flushed {
			tag |= 1
		}
		b = binary.AppendUvarint(b, tag)
		b = binary.AppendUvarint(b, uint64(m.size))
	}
	b = binary.AppendUvarint(b, uint64(len(r.trailing)))
	return append(b, r.trailing...)
}

// levelBias makes the lowest level 0.
const levelBias = 2

// ParseRecipe returns the recipe whose encoding is b. It accepts exactly what
// Marshal returns: an unknown version, encoder, level or block size, a number
// in a longer form, a header twice or unused, and a byte too few or too many
// are errors.
func ParseRecipe(b []byte) (Recipe, error) {
	if len(b) > MaxRecipe {
		return Recipe{}, fmt.Errorf("recipe of %d bytes: more than %d", len(b), MaxRecipe)
	}
	p := parser{rest: b}
	r := p.recipe()
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("%d bytes too many", len(p.rest))
	}
	if p.err != nil {
		return Recipe{}, fmt.Errorf("parsing recipe: %w", p.err)
	}
	return r, nil
}

type parser struct {
	rest []byte
	err  error
}

func (p *parser) recipe() Recipe {
	var r Recipe
	if v := p.bytes(1); p.err == nil && v[0] != recipeVersion {
		p.fail(fmt.Errorf("version %d: want %d", v[0], recipeVersion))
	}
	id, level, block := p.number(math.MaxUint8), p.number(math.MaxInt8), p.number(math.MaxInt32)
	r.encoder = encoderSpec{id: encoderID(id), level: int(level) - levelBias, block: int(block)}
	if p.err == nil {
		p.fail(r.encoder.check())
	}
	p.headers(&r)
	p.members(&r)
	r.trailing = string(p.bytes(p.number(MaxTrailing)))
	return r
}

func (p *parser) headers(r *Recipe) {
	seen := map[string]bool{}
	for range p.count(1) {
		h := string(p.bytes(p.number(MaxHeader)))
		if p.err != nil {
			return
		}
		if n, err := headerLength(h); err != nil || n != len(h) {
			p.fail(errors.New("header: not one of a gzip member"))
		}
		if seen[h] {
			p.fail(errors.New("header: given twice"))
		}
		seen[h] = true
		r.headers = append(r.headers, h)
	}
}

func (p *parser) members(r *Recipe) {
	used := 0
	var total int64
	for range p.count(2) {
		tag, size := p.number(math.MaxInt32), p.number(math.MaxInt64)
		if p.err != nil {
			return
		}
		m := member{header: int(tag >> 1), flushed: tag&1 == 1, size: int64(size)}
		if m.header > used || m.header >= len(r.headers) {
			p.fail(fmt.Errorf("member: header %d is not the next one", m.header))
		}
		if m.header == used {
			used++
		}
		if !m.flushed && r.encoder.alwaysFlushed() || m.flushed && r.encoder.neverFlushed() {
			p.fail(errors.New("member: not flushed as its encoder does"))
		}
		if total += m.size; total < 0 {
			p.fail(errors.New("members: content too large"))
		}
		r.members = append(r.members, m)
	}
	if p.err == nil && (used == 0 || used != len(r.headers)) {
		p.fail(errors.New("headers: not all in use"))
	}
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// number reads a varint in its shortest form, at most limit.
func (p *parser) number(limit uint64) uint64 {
	if p.err != nil {
		return 0
	}
	v, n := binary.Uvarint(p.rest)
	switch {
	case n <= 0 || n > 1 && p.rest[n-1] == 0:
		p.fail(errors.New("number cut short or not in its shortest form"))
		return 0
	case v > limit:
		p.fail(fmt.Errorf("number %d: more than %d", v, limit))
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// count reads the number of items of at least size bytes each.
func (p *parser) count(size int) int {
	n := p.number(math.MaxInt32)
	if p.err == nil && n > uint64(len(p.rest)/size) {
		p.fail(fmt.Errorf("%d items in %d bytes", n, len(p.rest)))
		return 0
	}
	return int(n)
}

func (p *parser) bytes(n uint64) []byte {
	if p.err == nil && n > uint64(len(p.rest)) {
		p.fail(errors.New("cut short"))
	}
	if p.err != nil {
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}
