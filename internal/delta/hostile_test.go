package delta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// numbers writes numbers as a frame has them.
func numbers(ns ...uint64) []byte {
	var b []byte
	for _, n := range ns {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func stored(raw ...byte) stream { return stream{size: len(raw), encoded: raw} }

// alphabet is a Source of two pages, the second a short one.
func alphabet() *pages {
	p := newPages()
	p.bytes[3] = bytes.Repeat([]byte("0123456789abcdef"), PageSize/16)
	p.bytes[4] = []byte("ghijklmnop")
	return p
}

// byHand is the frame of handmade: the copy runs over the border of the pages,
// and so does the first run of differences.
func byHand() *frame {
	return &frame{pages: []int64{3, 4}, streams: [streamCount]stream{
		controlStream: stored(numbers(2, 12, 2*(PageSize-4-2))...),
		gapStream:     stored(3<<2|1, 4<<2),
		singleStream:  stored('^' - 'l' + 256),
		runStream:     stored(0xbb, 0xb9), // 0x2121 - 0x6766
		literalStream: stored('X', 'Y', 'Z'),
	}}
}

const handmade = "XYcde!!hijk^mnZ"

func newDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFrameByHand(t *testing.T) {
	got, err := newDecoder(t).Decode(byHand().marshal(), len(handmade), alphabet())
	if err != nil || string(got) != handmade {
		t.Errorf("Decode = %q, %v, want %q", got, err, handmade)
	}
}

// pack returns raw as a stream with one thing changed about its zstd frame.
func pack(t *testing.T, raw []byte, options ...zstd.EOption) stream {
	t.Helper()
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return stream{size: len(raw), encoded: e.EncodeAll(raw, nil)}
}

// ofWindow is 300 bytes in a zstd frame by hand (RFC 8878 section 3.1.1) with a
// window of 1<<(10+exponent) bytes: two bytes of content size, one RLE block.
func ofWindow(exponent byte) stream {
	return stream{size: 300, encoded: []byte{0x28, 0xb5, 0x2f, 0xfd, 0x40, exponent << 3, 300 - 256, 0, 0x63, 0x09, 0, 'a'}}
}

func TestRefusedStreams(t *testing.T) {
	// 256 bytes is where a zstd frame begins to state its size in any case.
	long := bytes.Repeat([]byte("a"), 300)
	good := pack(t, long)
	for name, s := range map[string]stream{
		"checksum":         pack(t, long, zstd.WithEncoderCRC(true)),
		"dictionary":       pack(t, long, zstd.WithEncoderDictRaw(7, []byte("aaaaaaaaaaaa"))),
		"wide window":      ofWindow(14),
		"no size":          pack(t, long[:200], zstd.WithSingleSegment(false)),
		"other size":       {size: 301, encoded: good.encoded},
		"no zstd":          {size: 300, encoded: []byte("no zstd at all")},
		"skippable":        {size: 300, encoded: []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}},
		"cut":              {size: 300, encoded: good.encoded[:len(good.encoded)-1]},
		"trailing byte":    {size: 300, encoded: append(slices.Clone(good.encoded), 0)},
		"two frames":       {size: 300, encoded: slices.Concat(good.encoded, good.encoded)},
		"skippable behind": {size: 300, encoded: append(slices.Clone(good.encoded), 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0)},
	} {
		f := byHand()
		f.streams[literalStream] = s
		refused(t, name, f.marshal(), len(handmade)-3+s.size)
	}
	f := byHand()
	for _, s := range []stream{good, ofWindow(13)} {
		f.streams[literalStream] = s
		if _, err := newDecoder(t).Decode(f.marshal(), len(handmade)-3+300, alphabet()); err != nil {
			t.Errorf("a stream in zstd: %v", err)
		}
	}
}

// refused wants ErrMalformed for a frame.
func refused(t *testing.T, name string, encoded []byte, size int) {
	t.Helper()
	got, err := newDecoder(t).Decode(encoded, size, alphabet())
	if !errors.Is(err, ErrMalformed) || got != nil {
		t.Errorf("%s: Decode = %q, %v, want ErrMalformed", name, got, err)
	}
}

func TestRefusedFrames(t *testing.T) {
	const size = len(handmade)
	control := func(ns ...uint64) func(*frame) {
		return func(f *frame) { f.streams[controlStream] = stored(numbers(ns...)...) }
	}
	gaps := func(ns ...uint64) func(*frame) {
		return func(f *frame) { f.streams[gapStream] = stored(numbers(ns...)...) }
	}
	const shift = 2 * (PageSize - 4 - 2)
	for name, change := range map[string]func(*frame){
		"copy of nothing":          control(2, 0, shift, 0, 12, 0),
		"seam":                     control(2, 6, shift, 0, 6, 0),
		"more literals than given": control(4, 11, shift),
		"literals beyond size":     control(1<<63, 12, shift),
		"copy beyond size":         control(2, 14, shift),
		"copy of 2^64-1":           control(2, 1<<64-1, shift),
		"copy too short":           control(2, 11, shift),
		"copy from before":         control(2, 12, 5),
		"copy behind short page":   control(2, 12, shift+12),
		"copy behind all pages":    control(2, 12, 2*(2*PageSize)),
		"shift of 2^64-1":          control(2, 12, 1<<64-1),
		"control cut short":        control(2, 12),
		"control in the middle":    control(2, 12, shift, 0),
		"number not shortest":      func(f *frame) { f.streams[controlStream] = stored(append([]byte{0x82, 0}, numbers(12, shift)...)...) },
		"number of 65 bits":        func(f *frame) { f.streams[controlStream] = stored(append(bytes.Repeat([]byte{0xff}, 9), 2)...) },
		"page in vain":             control(2, 12, 2*(100-2)),
		"no page":                  func(f *frame) { f.pages = nil },
		"too many pages":           func(f *frame) { f.pages = slices.Repeat([]int64{0}, MaxPages+1) },
		"page beyond the last":     func(f *frame) { f.pages = []int64{3, maxPage + 1} },
		"pages not ascending":      func(f *frame) { f.pages = []int64{4, 3} },
		"gap of nothing":           gaps(3<<2|1, 0<<2),
		"gap beyond":               gaps(3<<2|1, 8<<2),
		"huge gap":                 gaps(3<<2|1, 1<<63),
		"run beyond runs":          gaps(3<<2|2, 3<<2),
		"single beyond singles":    gaps(3<<2|1, 4<<2, 1<<2),
		"huge run":                 gaps(3<<2|3, 1<<64-1),
		"gaps cut short":           gaps(3<<2 | 3),
		"run behind the copies":    gaps(3<<2|1, 4<<2, 100<<2),
		"singles left":             gaps(3<<2 | 1),
		"runs left":                gaps(4 << 2),
		"literals left":            func(f *frame) { f.streams[literalStream] = stored('X', 'Y', 'Z', '!') },
		"literals missing":         func(f *frame) { f.streams[literalStream] = stored('X', 'Y') },
		"stream longer than raw":   func(f *frame) { f.streams[literalStream].size = 2 },
		"empty stream of a byte":   func(f *frame) { f.streams[literalStream].size = 0 },
		"stream of 2^40":           func(f *frame) { f.streams[literalStream].size = 1 << 40 },
		"streams together":         func(f *frame) { f.streams[literalStream] = stored(make([]byte, 2*size+60)...) },
	} {
		f := byHand()
		change(f)
		refused(t, name, f.marshal(), size)
	}
	encoded := byHand().marshal()
	refused(t, "other version", append([]byte{2}, encoded[1:]...), size)
	refused(t, "trailing byte", append(slices.Clone(encoded), 0), size)
	refused(t, "a byte less of content", encoded, size-1)
	refused(t, "a byte more of content", encoded, size+1)
	refused(t, "negative size", encoded, -1)
	refused(t, "size beyond a page", encoded, PageSize+1)
	for n := range encoded {
		refused(t, "cut", encoded[:n], size)
	}
	if _, err := newDecoder(t).Decode(encoded[:len(encoded)-1], size, alphabet()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a frame cut short: %v, want io.ErrUnexpectedEOF", err)
	}
}

// FuzzDecode holds that Decode never panics, never gives another size than
// asked for and takes no frame whose head it would write differently.
func FuzzDecode(f *testing.F) {
	f.Add(byHand().marshal(), len(handmade))
	f.Add([]byte{version, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
	d, source := newDecoder(f), alphabet()
	f.Fuzz(func(t *testing.T, encoded []byte, size int) {
		got, err := d.Decode(encoded, size, source)
		if err != nil {
			if got != nil {
				t.Error("bytes beside an error")
			}
			return
		}
		if len(got) != size {
			t.Errorf("%d bytes, want %d", len(got), size)
		}
		parsed, err := parseFrame(encoded, size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.marshal(), encoded) {
			t.Error("written again the frame is another")
		}
	})
}

// FuzzEncode holds that whatever is encoded decodes to itself: target against
// base, and then itself with a few bytes changed.
func FuzzEncode(f *testing.F) {
	// What takes its time to make is made once; it keeps nothing of a frame.
	shared := newArchive(f, Limits{MaxPages: 2})
	r := source(9)
	base := noise(r, 9000)
	f.Add(base, edit(r, base, 5), uint16(3))
	f.Add(bytes.Repeat([]byte("abcabcabd"), 300), bytes.Repeat([]byte("abcabcabe"), 300), uint16(1))
	f.Fuzz(func(t *testing.T, base, target []byte, step uint16) {
		index := NewIndex(0)
		encoder := *shared.encoder
		encoder.index, encoder.last = index, trail{}
		a := &archive{pages: newPages(), index: index, encoder: &encoder, decoder: shared.decoder}
		encoder.source = a.pages
		a.add(t, base)
		a.add(t, target)
		again := slices.Concat(target, base)
		for i := 0; i < len(again); i += int(step) + 1 {
			again[i]++
		}
		a.add(t, again)
	})
}
