package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// seedVolumes returns the first volume of the golden bundle and the bytes of
// every vector, which hold more of them.
func seedVolumes(f *testing.F) [][]byte {
	f.Helper()
	paths, err := filepath.Glob("testdata/vectors/*")
	if err != nil || len(paths) == 0 {
		f.Fatalf("%d seeds, %v", len(paths), err)
	}
	var all [][]byte
	for _, path := range append(paths, "testdata/golden/shop-1.0.000.vol") {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, raw)
	}
	return all
}

// FuzzParseIndex holds that what parses is what marshal writes, that its
// frames fill the space before it and its contents, and that all else is
// malformed.
func FuzzParseIndex(f *testing.F) {
	seeds := 0
	for _, raw := range seedVolumes(f) {
		for at := bytes.Index(raw, []byte(indexMagic)); at >= 0; at = -1 {
			for _, space := range []int64{0, 689, 690, 691, int64(at)} {
				f.Add(raw[at:], space)
				seeds++
			}
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, raw []byte, space int64) {
		x, err := parseIndex(raw, space, 3)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			return
		}
		if !bytes.Equal(x.marshal(), raw) {
			t.Errorf("parsed %q, which marshals to %q", raw, x.marshal())
		}
		offset, page := int64(0), int64(0)
		for i := range x.contents {
			c := &x.contents[i]
			if c.first != page || int64(len(c.frames)) != frameCount(c.size) {
				t.Errorf("content of %d bytes: %d frames from page %d on", c.size, len(c.frames), c.first)
			}
			for i, f := range c.frames {
				for i == 0 && offset%64 > 0 {
					offset++
				}
				if f.offset != offset || f.encoded < 0 || f.encoded > c.frameLength(i) || (f.kind == Same) != (f.encoded == 0) {
					t.Errorf("frame %+v at %d", f, offset)
				}
				if f.kind == Same && f.page >= 3+page {
					t.Errorf("page %d copies page %d", 3+page, f.page)
				}
				if of, at := x.at(page); of != c || at != i {
					t.Errorf("page %d is not found", page)
				}
				offset, page = offset+f.encoded, page+1
			}
		}
		if offset != space || page != x.pages() {
			t.Errorf("%d pages of %d bytes in a space of %d", page, offset, space)
		}
		for _, b := range x.blobs {
			if found, ok := x.find(b.digest); !ok || !reflect.DeepEqual(found, b) {
				t.Errorf("blob %s is not found", b.digest)
			}
		}
	})
}

// FuzzDecode holds that a zstd frame gives the bytes that were declared, or
// none, and that all else is malformed.
func FuzzDecode(f *testing.F) {
	encoder, err := newEncoder(1)
	if err != nil {
		f.Fatal(err)
	}
	decoder, err := newDecoder(1)
	if err != nil {
		f.Fatal(err)
	}
	for _, size := range []int{1, 100, 255, 256, 1000, 65536, 200_000} {
		data := bytes.Repeat([]byte("abcdefgh"), size/8+1)[:size]
		f.Add(encoder.full.EncodeAll(data, nil), uint32(size))
		f.Add(encoder.probe.EncodeAll(data, nil), uint32(size))
	}
	seeds := 0
	for _, raw := range seedVolumes(f) {
		for at := bytes.Index(raw, []byte{0x28, 0xb5, 0x2f, 0xfd}); at >= 0; at = -1 {
			f.Add(raw[at:], uint32(107))
			f.Add(raw[at:], uint32(544))
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, encoded []byte, size uint32) {
		data, err := decoder.decode(encoded, int64(size%(FrameSize+1)))
		switch {
		case err != nil && (data != nil || !errors.Is(err, ErrMalformed)):
			t.Errorf("%d bytes with %v", len(data), err)
		case err == nil && len(data) != int(size%(FrameSize+1)):
			t.Errorf("%d bytes, want %d", len(data), size)
		}
	})
}
