package gzipexact

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"testing/iotest"

	"airlock/internal/gzipexact/sampletest"
)

func TestReader(t *testing.T) {
	p := sampletest.Mixed(9, 300_000)
	blob := append(gzipped(t, p, 6, false), gzipped(t, nil, 1, true)...)
	blob = append(blob, gzipped(t, p, 1, true)...)
	want := append(bytes.Clone(p), p...)
	for _, trailing := range []string{"", "\x00", "no member"} {
		for _, r := range []io.Reader{
			bytes.NewReader(append(bytes.Clone(blob), trailing...)),
			iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(blob), trailing...))),
		} {
			got, err := io.ReadAll(NewReader(r))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("followed by %q: got %d bytes, %v, want %d", trailing, len(got), err, len(want))
			}
		}
	}
}

// TestResume goes on from every place of a stream, and from the places of who
// came in at one.
func TestResume(t *testing.T) {
	long := append(sampletest.Mixed(5, 1<<20), make([]byte, 300_000)...)
	streams := map[string][]byte{
		"members": bytes.Join([][]byte{gzipped(t, long[:700_000], 9, true), gzipped(t, nil, 1, false), gzipped(t, long[700_000:], 0, true), []byte("trailing")}, nil),
	}
	for _, level := range []int{gzip.HuffmanOnly, 0, 1, 6, 9} {
		streams[fmt.Sprint("level ", level)] = gzipped(t, long, level, false)
		streams[fmt.Sprint("flushed, level ", level)] = sampletest.Flushed(long, level, 100_000)
	}
	for name, stream := range streams {
		source := bytes.NewReader(stream)
		z, places := NewReader(bytes.NewReader(stream)), 0
		buf := make([]byte, ReadSize)
		for {
			at := z.Offset()
			n, err := z.Read(buf)
			if err == io.EOF && at == int64(len(long)) {
				break
			}
			if err != nil || !bytes.Equal(buf[:n], long[at:at+int64(n)]) {
				t.Fatalf("%s: at %d: %d bytes, %v", name, at, n, err)
			}
			p := z.Place()
			if p == nil {
				continue
			}
			if places++; p.Offset() != z.Offset() {
				t.Fatalf("%s: a place at %d, read up to %d", name, p.Offset(), z.Offset())
			}
			from, err := Resume(source, int64(len(stream)), p)
			if err != nil {
				t.Fatalf("%s: from %d: %v", name, p.Offset(), err)
			}
			if rest, err := io.ReadAll(from); err != nil || !bytes.Equal(rest, long[p.Offset():]) {
				t.Fatalf("%s: from %d: %d bytes, want %d: %v", name, p.Offset(), len(rest), len(long)-int(p.Offset()), err)
			}
			if places%2 == 0 {
				if z, err = Resume(source, int64(len(stream)), p); err != nil {
					t.Fatal(err)
				}
			}
		}
		if places < len(long)/ReadSize-3 {
			t.Errorf("%s: %d places in %d bytes", name, places, len(long))
		}
		z = NewReader(bytes.NewReader(stream))
		if _, err := z.Read(make([]byte, 10)); err != nil || z.Place() != nil {
			t.Errorf("%s: a place where not all was read, or %v", name, err)
		}
	}
}

func TestReaderDamaged(t *testing.T) {
	p := sampletest.Mixed(9, 3000)
	blob := gzipped(t, p, 6, false)
	for n := range blob {
		got, err := io.ReadAll(NewReader(bytes.NewReader(blob[:n])))
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrNotGzip) || !bytes.HasPrefix(p, got) {
			t.Fatalf("cut at %d: got %d bytes, %v", n, len(got), err)
		}
		other := bytes.Clone(blob)
		if other[n] ^= 1; n < 10 {
			continue // the header has bits of no meaning
		}
		if got, err := io.ReadAll(NewReader(bytes.NewReader(other))); err == nil && !bytes.Equal(got, p) {
			t.Fatalf("flipped at %d: got %d bytes, want an error", n, len(got))
		}
	}
	failing := errors.New("source fails")
	if _, err := io.ReadAll(NewReader(iotest.ErrReader(failing))); !errors.Is(err, failing) {
		t.Errorf("got %v, want the source's error", err)
	}
}

// wrapped is a member of a DEFLATE stream.
func wrapped(deflate, content []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflate...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

// bitWriter makes blocks with the fixed codes.
type bitWriter struct {
	bytes []byte
	n     int
}

// put appends the n bits of a code, the most significant first.
func (w *bitWriter) put(code, n int) {
	for n--; n >= 0; n-- {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(code>>n&1) << (w.n % 8)
		w.n++
	}
}

// reaching returns a member of literals, a match of three bytes that reaches two
// bytes back, and further literals. What it holds is as if zeros came before it.
func reaching(before, after int) (stream, content []byte) {
	w := &bitWriter{}
	w.put(0b110, 3) // the last block, of kind 1
	literals := func(n int) {
		for range n {
			w.put(0x30+'a', 8)
			content = append(content, 'a')
		}
	}
	literals(before)
	w.put(1, 7)
	w.put(1, 5)
	padded := append([]byte{0, 0}, content...)
	for range 3 {
		padded = append(padded, padded[len(padded)-2])
	}
	content = padded[2:]
	literals(after)
	w.put(0, 7)
	return wrapped(w.bytes, content), content
}

// TestReaderReachBack holds that no match reaches in front of a member's content,
// near the end of a stream or not.
func TestReaderReachBack(t *testing.T) {
	for _, after := range []int{0, 100, 1000} {
		for before := range 4 {
			stream, content := reaching(before, after)
			for what, front := range map[string][]byte{"the first": nil, "the second": make([]byte, 5)} {
				whole := stream
				if front != nil {
					whole = append(gzipped(t, front, 6, false), stream...)
				}
				got, err := io.ReadAll(NewReader(bytes.NewReader(whole)))
				if before < 2 && !errors.Is(err, ErrNotGzip) {
					t.Errorf("%d bytes before and %d after in %s member: %v, want a refusal", before, after, what, err)
				}
				if before >= 2 && (err != nil || !bytes.Equal(got, append(front, content...))) {
					t.Errorf("%d bytes before and %d after in %s member: %d bytes, %v", before, after, what, len(got), err)
				}
			}
		}
	}
}
