package delta

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/klauspost/compress/zstd"
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

// Marshal returns the frame, or nil if plain zstd is as small. It may run in
// another goroutine than the Encoder.
func (p *Plan) Marshal() []byte {
	if len(p.pages) == 0 {
		return nil
	}
	f := frame{pages: p.pages}
	total := 0
	for i, raw := range p.raw {
		f.streams[i] = p.zstd.stream(raw)
		total += len(raw)
	}
	encoded := f.marshal()
	if uint64(total) > maxStreams(len(p.page)) || len(encoded) >= len(p.page) {
		return nil
	}
	// More than half literals: the rest may be as small without copies.
	if len(p.raw[literalStream]) > len(p.page)/2 && len(p.zstd.stream(p.page).encoded) <= len(encoded) {
		return nil
	}
	return encoded
}

// plan writes down the matches.
func (m *matcher) plan(p *Plan) {
	used := make([]bool, len(m.numbers))
	pieces := m.pieces()
	for _, c := range pieces {
		for slot := (c.start + c.shift) / PageSize; slot <= (c.end+c.shift-1)/PageSize; slot++ {
			used[slot] = true
		}
	}
	moved := make([]int, len(m.numbers)) // by slot: how much lower its place will be
	for slot, n := range m.numbers {
		moved[slot] = (slot - len(p.pages)) * PageSize
		if used[slot] {
			p.pages = append(p.pages, n)
		}
	}
	at, done, gap := 0, 0, 0
	control := p.raw[controlStream]
	var runs runs
	for k, c := range pieces {
		place := c.start + c.shift
		place -= moved[place/PageSize]
		literals := c.start - done
		control = binary.AppendUvarint(control, uint64(literals))
		control = binary.AppendUvarint(control, uint64(c.end-c.start))
		control = binary.AppendVarint(control, int64(place-at-literals))
		p.raw[literalStream] = append(p.raw[literalStream], m.target[done:c.start]...)
		runs.add(m.target[c.start:c.end], m.window[c.start+c.shift:c.end+c.shift])
		at, done = place+c.end-c.start, c.end
		_ = k
	}
	_ = gap
	p.raw[controlStream] = control
	p.raw[literalStream] = append(p.raw[literalStream], m.target[done:]...)
	runs.close()
	p.raw[gapStream], p.raw[singleStream], p.raw[runStream] = runs.gaps, runs.singles, runs.longer
}

// pieces are the matches without runs of differences that are cheaper as
// literals, and without seams.
func (m *matcher) pieces() []match {
	var to []match
	for _, c := range m.matches {
		start := c.start
		for i := c.start; i < c.end; {
			i += same(m.target[i:c.end], m.window[i+c.shift:c.end+c.shift])
			run := i
			for i < c.end && m.target[i] != m.window[i+c.shift] {
				i++
			}
			if i-run >= longRun || i == c.end {
				to = appendPiece(to, match{start: start, end: run, shift: c.shift})
				start = i
			}
		}
		to = appendPiece(to, match{start: start, end: c.end, shift: c.shift})
	}
	return to
}

func appendPiece(to []match, c match) []match {
	if c.start >= c.end {
		return to
	}
	if k := len(to) - 1; k >= 0 && to[k].end == c.start && to[k].shift == c.shift {
		to[k].end = c.end
		return to
	}
	return append(to, c)
}

// runs writes down differences.
type runs struct {
	gaps, singles, longer []byte
	gap                   int    // equal bytes since the run before
	open                  []byte // the run that may go on
	borrow                uint32 // from the next byte of the open run
}

// add writes down how want differs from have, of one length. Where both are
// equal for no byte a run of the add before goes on.
func (r *runs) add(want, have []byte) {
	for i := 0; i < len(want); {
		if n := same(want[i:], have[i:]); n > 0 {
			r.close()
			r.gap += n
			i += n
		}
		for i < len(want) && want[i] != have[i] {
			var d uint32
			d, r.borrow = bits.Sub32(uint32(want[i]), uint32(have[i]), r.borrow)
			r.open = append(r.open, byte(d))
			i++
		}
	}
}

// close writes down the open run.
func (r *runs) close() {
	n := len(r.open)
	if n == 0 {
		return
	}
	r.gaps = binary.AppendUvarint(r.gaps, uint64(r.gap)<<2|uint64(min(n, shortRun)-1))
	if n >= shortRun {
		r.gaps = binary.AppendUvarint(r.gaps, uint64(n-shortRun))
	}
	if n == 1 {
		r.singles = append(r.singles, r.open...)
	} else {
		r.longer = append(r.longer, r.open...)
	}
	r.gap, r.open, r.borrow = 0, r.open[:0], 0
}

// compressor encodes streams. It is safe for use by several goroutines.
type compressor struct{ normal, better *zstd.Encoder }

// smallStream is up to which size a stream gets the slower encoder.
const smallStream = 256 << 10

func newCompressor() (*compressor, error) {
	level := func(l zstd.EncoderLevel) (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderCRC(false), zstd.WithWindowSize(4<<20),
			zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	}
	normal, err := level(zstd.SpeedDefault)
	if err != nil {
		return nil, err
	}
	better, err := level(zstd.SpeedBetterCompression)
	return &compressor{normal: normal, better: better}, err
}

func (c *compressor) stream(raw []byte) stream {
	s := stream{size: len(raw), encoded: raw}
	if len(raw) == 0 {
		return s
	}
	encoder := c.normal
	if len(raw) <= smallStream {
		encoder = c.better
	}
	if encoded := encoder.EncodeAll(raw, nil); len(encoded) < len(raw) {
		s.encoded = encoded
	}
	return s
}

func sourceError(page int64, err error) error { return fmt.Errorf("source page %d: %w", page, err) }

func sourceLength(page int64, length int) error {
	return fmt.Errorf("source page %d: %d bytes, at most %d are allowed", page, length, PageSize)
}
