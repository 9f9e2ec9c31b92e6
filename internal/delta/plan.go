package delta

import (
	"bytes"
	"encoding/binary"
)

// Plan is what Match found for a page. It holds the page's bytes, which must
// not change before Marshal has returned.
type Plan struct {
	page  []byte
	zstd  *compressor
	pages []int64
	raw   [streamCount][]byte
}

// Pages returns the numbers of the pages that the frame will copy from,
// ascending. There are none if the page is to be stored plainly.
func (p *Plan) Pages() []int64 { return p.pages }

// Literals returns the bytes of the page that are not copied, one run behind
// the other; of a page that is to be stored plainly none. They must not be
// changed before Marshal has returned.
func (p *Plan) Literals() []byte { return p.raw[literalStream] }

// Marshal returns the frame, which is smaller than the page, or nil if the page
// is to be stored plainly. It may run in another goroutine than the Encoder.
func (p *Plan) Marshal() []byte {
	if len(p.pages) == 0 {
		return nil
	}
	scratch := p.zstd.scratch.Get().(*[]byte)
	defer p.zstd.scratch.Put(scratch)
	f, to := frame{pages: p.pages}, (*scratch)[:0]
	for i, raw := range p.raw {
		f.streams[i], to = p.zstd.stream(raw, p.size(), to)
	}
	*scratch = to
	return f.marshal()
}

// What a plan has to save to be taken: headSize bytes, which is more than all
// of a frame takes but its streams, and a part of the page.
const (
	headSize  = 512
	savedPart = 32
)

// pays reports whether the frame will be smaller than the page, however little
// zstd gains.
func (p *Plan) pays() bool {
	return headSize+len(p.page)/savedPart+p.size() < len(p.page)
}

// size is the bytes of all streams.
func (p *Plan) size() int {
	sum := 0
	for _, raw := range p.raw {
		sum += len(raw)
	}
	return sum
}

// plan writes down the matches.
func (m *matcher) plan(p *Plan) {
	pieces := m.pieces()
	moved := m.list(pieces, p)
	news := len(m.target)
	for _, c := range pieces {
		news -= c.end - c.start
	}
	literals := make([]byte, 0, news)
	m.copies.reset()
	m.runs.reset()
	done := 0
	for _, c := range pieces {
		place := c.start + c.shift
		m.copies.add(c.start-done, c.end-c.start, place-moved[place/PageSize])
		literals = append(literals, m.target[done:c.start]...)
		m.runs.add(m.target[c.start:c.end], m.along(c.start, c.end, c.shift))
		done = c.end
	}
	m.copies.close()
	m.runs.close()
	p.raw[controlStream] = bytes.Clone(m.copies.to)
	p.raw[gapStream], p.raw[singleStream], p.raw[runStream] = bytes.Clone(m.runs.gaps), bytes.Clone(m.runs.singles), bytes.Clone(m.runs.longer)
	p.raw[literalStream] = append(literals, m.target[done:]...)
}

// list has the plan list the pages that the pieces use. It returns, by slot,
// how much lower its places are without the others.
func (m *matcher) list(pieces []match, p *Plan) []int {
	used := make([]bool, len(m.numbers))
	for _, c := range pieces {
		for slot := (c.start + c.shift) / PageSize; slot <= (c.end+c.shift-1)/PageSize; slot++ {
			used[slot] = true
		}
	}
	moved := make([]int, len(m.numbers))
	for slot, n := range m.numbers {
		moved[slot] = (slot - len(p.pages)) * PageSize
		if used[slot] {
			p.pages = append(p.pages, n)
		}
	}
	return moved
}

// copies writes the control stream.
type copies struct {
	to                      []byte
	at                      int // behind the copy before the open one
	literals, length, place int // the open copy, if length is above 0
}

func (c *copies) reset() { *c = copies{to: c.to[:0]} }

// add appends a copy. One without a seam to the open one makes that longer:
// two that ended and began at pages now side by side may have none.
func (c *copies) add(literals, length, place int) {
	if c.length > 0 && literals == 0 && place == c.place+c.length {
		c.length += length
		return
	}
	c.close()
	c.literals, c.length, c.place = literals, length, place
}

// close writes down the open copy.
func (c *copies) close() {
	if c.length == 0 {
		return
	}
	c.to = binary.AppendUvarint(c.to, uint64(c.literals))
	c.to = binary.AppendUvarint(c.to, uint64(c.length))
	c.to = binary.AppendVarint(c.to, int64(c.place-c.at-c.literals))
	c.at, c.length = c.place+c.length, 0
}

// longRun is the differing bytes that are cheaper as literals.
const longRun = 16

// pieces are the matches without runs of differences that are cheaper as
// literals, and without seams in a span.
func (m *matcher) pieces() []match {
	m.parts = m.parts[:0]
	for _, c := range m.matches {
		want, have := m.target[c.start:c.end], m.along(c.start, c.end, c.shift)
		start := 0
		for i := 0; i < len(want); {
			i += same(want[i:], have[i:])
			run := i
			for i < len(want) && want[i] != have[i] {
				i++
			}
			if i-run >= longRun || i == len(want) {
				m.part(match{start: c.start + start, end: c.start + run, shift: c.shift})
				start = i
			}
		}
		m.part(match{start: c.start + start, end: c.end, shift: c.shift})
	}
	return m.parts
}

func (m *matcher) part(c match) {
	if c.start >= c.end {
		return
	}
	if k := len(m.parts) - 1; k >= 0 {
		if before := &m.parts[k]; before.end == c.start && before.shift == c.shift && m.span(before.start+c.shift).first == m.span(c.start+c.shift).first {
			before.end = c.end
			return
		}
	}
	m.parts = append(m.parts, c)
}
