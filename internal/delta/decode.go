package delta

import (
	"bytes"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Decoder decodes frames. It is safe for use by several goroutines.
type Decoder struct {
	zstd    *zstd.Decoder
	scratch sync.Pool // of *scratch
}

// scratch is memory for what is not needed once a frame was decoded.
type scratch struct{ streams, page []byte }

// NewDecoder returns a Decoder that decodes at most workers streams at a time.
func NewDecoder(workers int) (*Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
	return &Decoder{zstd: d, scratch: sync.Pool{New: func() any { return new(scratch) }}}, err
}

// Decode returns the size bytes that a frame holds, reading the pages that it
// copies from. It is strict: what an Encoder would not write by its format is
// an error that wraps ErrMalformed. Beside the result and what src holds it
// allocates at most 2*size+64 bytes for streams and what zstd needs for a
// window of 8 MiB. An error of src is returned as it is.
func (d *Decoder) Decode(encoded []byte, size int, src Source) ([]byte, error) {
	if size < 0 || size > PageSize {
		return nil, malformed("a frame of %d bytes, at most %d are allowed", size, PageSize)
	}
	s := d.scratch.Get().(*scratch)
	defer d.scratch.Put(s)
	return d.decode(encoded, make([]byte, 0, size), src, s)
}

// Prove returns an error unless Decode would make page of a frame.
func (d *Decoder) Prove(encoded, page []byte, src Source) error {
	s := d.scratch.Get().(*scratch)
	defer d.scratch.Put(s)
	s.page = slices.Grow(s.page[:0], len(page))
	again, err := d.decode(encoded, s.page[:0:len(page)], src, s)
	if err == nil && !bytes.Equal(again, page) {
		err = malformed("other bytes than the page's")
	}
	return err
}

// decode fills the capacity of out with what a frame holds.
func (d *Decoder) decode(encoded, out []byte, src Source, s *scratch) ([]byte, error) {
	f, err := parseFrame(encoded, cap(out))
	if err != nil {
		return nil, err
	}
	total := 0
	for _, s := range f.streams {
		total += s.size
	}
	s.streams = slices.Grow(s.streams[:0], total)
	var raw [streamCount][]byte
	at := 0
	for i, of := range f.streams {
		if raw[i], err = d.stream(of, s.streams[at:at:at+of.size]); err != nil {
			return nil, err
		}
		at += of.size
	}
	b := &builder{
		out:      out,
		size:     cap(out),
		literals: raw[literalStream],
		patch:    patch{gaps: raw[gapStream], singles: raw[singleStream], longer: raw[runStream]},
		window:   window{numbers: f.pages, pages: make([][]byte, len(f.pages)), source: src},
	}
	if err := b.run(raw[controlStream]); err != nil {
		return nil, err
	}
	return b.out, nil
}

// Literals returns the bytes of a frame of size bytes that it does not copy, one
// run behind the other. It reads no page, and holds the frame to nothing but
// what it needs of it.
func (d *Decoder) Literals(encoded []byte, size int) ([]byte, error) {
	if size < 0 || size > PageSize {
		return nil, malformed("a frame of %d bytes, at most %d are allowed", size, PageSize)
	}
	f, err := parseFrame(encoded, size)
	if err != nil {
		return nil, err
	}
	if n := f.streams[literalStream].size; n > size {
		return nil, malformed("%d literals for a frame of %d bytes", n, size)
	}
	return d.stream(f.streams[literalStream], make([]byte, 0, f.streams[literalStream].size))
}

// Pages returns the numbers of the pages that a frame copies from, ascending.
// It reads the head of the frame alone.
func Pages(encoded []byte) ([]int64, error) {
	var f frame
	if _, err := f.parsePages(encoded); err != nil {
		return nil, err
	}
	return f.pages, nil
}

// stream returns what a stream holds, in the memory of to if it is compressed.
func (d *Decoder) stream(s stream, to []byte) ([]byte, error) {
	if len(s.encoded) == s.size {
		return s.encoded, nil
	}
	if err := checkZstd(s.encoded, s.size); err != nil {
		return nil, malformed("a stream: %w", err)
	}
	raw, err := d.zstd.DecodeAll(s.encoded, to)
	if err != nil {
		return nil, malformed("a stream: %w", err)
	}
	if len(raw) != s.size {
		return nil, malformed("a stream of %d bytes, want %d", len(raw), s.size)
	}
	return raw, nil
}

// builder puts a frame's bytes together.
type builder struct {
	out      []byte
	size     int
	literals []byte
	patch    patch
	window   window
}

// run follows the control stream.
func (b *builder) run(control []byte) error {
	at := int64(0) // in the window, behind the copy before
	for first := true; len(control) > 0; first = false {
		var literals, length, shift uint64
		var err error
		if literals, control, err = uvarint(control); err != nil {
			return err
		}
		if length, control, err = uvarint(control); err != nil {
			return err
		}
		if shift, control, err = uvarint(control); err != nil {
			return err
		}
		if length == 0 || !first && literals == 0 && shift == 0 {
			return malformed("a copy that the format has no room for")
		}
		if err := b.literal(literals); err != nil {
			return err
		}
		if shift > 4*MaxPages*PageSize {
			return malformed("a copy from beyond the source pages")
		}
		at += int64(literals) + unzigzag(shift)
		if err := b.copy(at, length); err != nil {
			return err
		}
		at += int64(length)
	}
	return b.finish()
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (b *builder) literal(n uint64) error {
	if n > uint64(len(b.literals)) || n > uint64(b.size-len(b.out)) {
		return malformed("%d literals, more than there are", n)
	}
	b.out = append(b.out, b.literals[:n]...)
	b.literals = b.literals[n:]
	return nil
}

// copy appends length bytes of the window, with their differences.
func (b *builder) copy(at int64, length uint64) error {
	if length > uint64(b.size-len(b.out)) {
		return malformed("a copy of %d bytes, more than the frame has left", length)
	}
	start := len(b.out)
	for left := int(length); left > 0; {
		from, err := b.window.at(at)
		if err != nil {
			return err
		}
		from = from[:min(left, len(from))]
		b.out = append(b.out, from...)
		at += int64(len(from))
		left -= len(from)
	}
	return b.patch.apply(b.out[start:])
}

// finish takes the last literals, and checks that nothing is left of any
// stream and that no page was listed in vain.
func (b *builder) finish() error {
	if len(b.literals) != b.size-len(b.out) {
		return malformed("%d literals at the end, want %d", len(b.literals), b.size-len(b.out))
	}
	b.out = append(b.out, b.literals...)
	for i, p := range b.window.pages {
		if p == nil {
			return malformed("source page %d is not used", b.window.numbers[i])
		}
	}
	return b.patch.finish()
}

// window is the source pages of a frame, side by side as if each had PageSize
// bytes.
type window struct {
	numbers []int64
	pages   [][]byte // nil until used
	source  Source
}

// at returns the bytes from a place in the window to the end of their page.
func (w *window) at(place int64) ([]byte, error) {
	slot := place / PageSize
	if place < 0 || slot >= int64(len(w.pages)) {
		return nil, malformed("a copy from beyond the source pages")
	}
	if w.pages[slot] == nil {
		page, err := readPage(w.source, w.numbers[slot])
		if err != nil {
			return nil, err
		}
		w.pages[slot] = page[:len(page):len(page)]
	}
	offset := int(place % PageSize)
	if offset >= len(w.pages[slot]) {
		return nil, malformed("a copy from behind source page %d", w.numbers[slot])
	}
	return w.pages[slot][offset:], nil
}
