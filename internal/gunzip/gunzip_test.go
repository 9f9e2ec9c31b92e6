package gunzip

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"

	"airlock/internal/gzipexact/sampletest"
)

// zip returns content as one member, of several writes with a flush between them.
func zip(t testing.TB, level int, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	must(t, err)
	w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
	for i, p := range parts {
		if i > 0 {
			must(t, w.Flush())
		}
		_, err := w.Write(p)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// other returns content as an encoder of another make packs it.
func other(t testing.TB, w io.WriteCloser, b *bytes.Buffer, content []byte) []byte {
	t.Helper()
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// streams returns gzip streams of all makes, and what they hold.
func streams(t testing.TB) map[string][2][]byte {
	t.Helper()
	all := map[string][2][]byte{}
	for i, content := range sampletest.All() {
		for level := i%4 - 2; level <= 9; level += 4 {
			all[fmt.Sprint("sample ", i, " level ", level)] = [2][]byte{zip(t, level, content), content}
		}
	}
	long := sampletest.Mixed(5, 5<<20)
	for level := -2; level <= 9; level += 3 {
		all[fmt.Sprint("long level ", level)] = [2][]byte{zip(t, level, long[:1<<20], long[1<<20:]), long}
	}
	all["members"] = [2][]byte{bytes.Join([][]byte{zip(t, 9, long[:3<<20]), zip(t, 1, nil), zip(t, 0, long[3<<20:])}, nil), long}
	var k bytes.Buffer
	kw, err := kgzip.NewWriterLevel(&k, kgzip.BestCompression)
	must(t, err)
	all["klauspost"] = [2][]byte{other(t, kw, &k, long), long}
	var blocks [][]byte // as pgzip and pigz make
	for at := 0; at < len(long); at += 100_000 {
		blocks = append(blocks, long[at:min(at+100_000, len(long))])
	}
	all["flushed"] = [2][]byte{zip(t, 6, blocks...), long}
	return all
}

func TestRead(t *testing.T) {
	for name, s := range streams(t) {
		got, err := io.ReadAll(New(bytes.NewReader(s[0]), int64(len(s[0]))))
		if err != nil || !bytes.Equal(got, s[1]) {
			t.Fatalf("%s: %d bytes, want %d: %v", name, len(got), len(s[1]), err)
		}
	}
}

// TestResume stops at odd places, and goes on from each twice.
func TestResume(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, s := range streams(t) {
		z := New(bytes.NewReader(s[0]), int64(len(s[0])))
		for at := 0; at < len(s[1]); {
			p := make([]byte, 1+rng.IntN(min(len(s[1])-at, 700_000)))
			point := z.Point()
			n, err := z.Read(p)
			if err != nil || n < len(p) || !bytes.Equal(p, s[1][at:at+n]) {
				t.Fatalf("%s: at %d: %d bytes of %d: %v", name, at, n, len(p), err)
			}
			if point == nil && at > 0 {
				t.Fatalf("%s: no point at %d of %d", name, at, len(s[1]))
			}
			if point != nil {
				z = Resume(bytes.NewReader(s[0]), int64(len(s[0])), point)
				again := make([]byte, n)
				if m, err := z.Read(again); err != nil || m < n || !bytes.Equal(p, again) {
					t.Fatalf("%s: again at %d: %d bytes of %d: %v", name, at, m, n, err)
				}
			}
			at += n
		}
		if n, err := z.Read(make([]byte, 1)); n > 0 || err != io.EOF {
			t.Fatalf("%s: at the end: %d, %v", name, n, err)
		}
	}
}

// member wraps a DEFLATE stream.
func member(deflate, content []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflate...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

func TestRefused(t *testing.T) {
	good := zip(t, 6, sampletest.Mixed(3, 300_000))
	small := member([]byte{0x4b, 4, 0}, []byte("a"))
	change := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	for name, stream := range map[string][]byte{
		"nothing":               nil,
		"text":                  []byte("no gzip at all, but long enough"),
		"half a header":         good[:7],
		"no name's end":         good[:20],
		"no blocks":             small[:10],
		"half a trailer":        small[:len(small)-4],
		"no trailer":            small[:len(small)-8],
		"cut":                   good[:len(good)/2],
		"a byte more":           append(bytes.Clone(small), 0),
		"zeros behind":          append(bytes.Clone(small), make([]byte, 512)...),
		"half a member behind":  append(bytes.Clone(small), small[:12]...),
		"another method":        change(small, 2, 7),
		"a flag that is not":    change(small, 3, 0x20),
		"another checksum":      change(small, 13, 0),
		"another size":          change(small, 17, 2),
		"a header's checksum":   append([]byte{0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255, 1, 2}, small[10:]...),
		"a block of kind 3":     member([]byte{7}, nil),
		"a stored block's size": member([]byte{1, 1, 0, 0xff, 0xff, 'a'}, []byte("a")),
		"a match of nothing":    member([]byte{0x03, 0x02, 0}, nil),
		"a code of length 286":  member([]byte{0x1b, 0x03, 0}, nil),
		"no codes for codes":    member([]byte{0x05, 0, 0, 0, 0, 0}, nil),
		"287 literals":          member([]byte{0xf5, 0, 0, 0, 0, 0}, nil),
	} {
		got, err := io.ReadAll(New(bytes.NewReader(stream), int64(len(stream))))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := io.ReadAll(New(bytes.NewReader(small), int64(len(small)))); err != nil || string(got) != "a" {
		t.Errorf("what is good: %q, %v", got, err)
	}
	for end, want := range map[error]error{io.EOF: io.ErrUnexpectedEOF, io.ErrClosedPipe: io.ErrClosedPipe} {
		if _, err := io.ReadAll(New(failing{end}, 100)); !errors.Is(err, want) {
			t.Errorf("a stream that ends with %v: %v", end, err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestFile reads pages in any order, with room for few points and for many.
func TestFile(t *testing.T) {
	content := bytes.Join([][]byte{sampletest.Mixed(1, 7<<20), make([]byte, 20<<20), sampletest.Mixed(2, 5<<20+77)}, nil)
	stream := zip(t, 1, content)
	for _, most := range []int{1, 5, 1000} {
		points := NewPoints(most)
		files := []*File{NewFile(bytes.NewReader(stream), int64(len(stream)), points), NewFile(bytes.NewReader(stream), int64(len(stream)), points)}
		rng := rand.New(rand.NewPCG(1, uint64(most)))
		for i := range 60 {
			off := rng.Int64N(int64(len(content))/Step+1) * Step
			p := make([]byte, Step+rng.IntN(3))
			want := content[off:min(len(content), int(off)+len(p))]
			n, err := files[i%2].ReadAt(p, off)
			if !bytes.Equal(p[:n], want) || n < len(p) && err != io.EOF || n == len(p) && err != nil {
				t.Fatalf("room for %d: at %d: %d bytes of %d: %v", most, off, n, len(want), err)
			}
			kept := len(files[0].at) + len(files[1].at)
			if kept > most || kept != points.count {
				t.Fatalf("%d points are kept and %d counted, %d are allowed", kept, points.count, most)
			}
		}
		if n, err := files[0].ReadAt(make([]byte, 1), int64(len(content))); n > 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
}

// TestFileGoesOnFromPoints holds that content in front of the nearest point is not inflated again.
func TestFileGoesOnFromPoints(t *testing.T) {
	content := sampletest.Mixed(1, 3*Step)
	stream := zip(t, 6, content)
	counted := &counting{Reader: bytes.NewReader(stream)}
	f := NewFile(counted, int64(len(stream)), NewPoints(10))
	if _, err := f.ReadAt(make([]byte, 10), 2*Step+5); err != nil {
		t.Fatal(err)
	}
	counted.bytes = 0
	if _, err := f.ReadAt(make([]byte, 10), 2*Step+5); err != nil || counted.bytes > 3*bufferSize {
		t.Errorf("read %d bytes again: %v", counted.bytes, err)
	}
}

type counting struct {
	*bytes.Reader
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.bytes += n
	return n, err
}

// FuzzRead holds an Inflater to what compress/gzip makes of a stream, whether
// it is read in one go or with stops.
func FuzzRead(f *testing.F) {
	for i, content := range sampletest.All() {
		if len(content) < 70_000 {
			f.Add(zip(f, i%12-2, content), uint16(i))
		}
	}
	f.Add(append(zip(f, 6, []byte("one")), zip(f, 0, []byte("two"))...), uint16(2))
	f.Add(member([]byte{0x4b, 4, 0}, []byte("a")), uint16(0))
	f.Fuzz(func(t *testing.T, stream []byte, stop uint16) {
		const most = 1 << 20
		want, wantErr := reference(stream, most)
		z := New(bytes.NewReader(stream), int64(len(stream)))
		first := make([]byte, int(stop))
		n, err := z.Read(first)
		got := first[:n]
		if err == nil {
			if p := z.Point(); p != nil {
				z = Resume(bytes.NewReader(stream), int64(len(stream)), p)
			}
			var rest []byte
			rest, err = io.ReadAll(io.LimitReader(z, most-int64(n)))
			got = append(got, rest...)
		} else if err == io.EOF {
			err = nil
		}
		if err == nil && wantErr != nil && len(got) < most {
			t.Fatalf("%d bytes, but compress/gzip says: %v", len(got), wantErr)
		}
		if err != nil && wantErr == nil && !odd(stream) {
			t.Fatalf("%v, but compress/gzip has %d bytes", err, len(want))
		}
		if k := min(len(got), len(want)); !bytes.Equal(got[:k], want[:k]) || err == nil && len(got) != len(want) {
			t.Fatalf("%d bytes, want %d: %v, %v", len(got), len(want), err, wantErr)
		}
	})
}

func reference(stream []byte, most int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(stream))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, most))
}

// odd says that a header may be one that compress/gzip takes and an Inflater does not.
func odd(stream []byte) bool {
	for i := range len(stream) - 3 {
		if stream[i] == 0x1f && stream[i+1] == 0x8b && stream[i+3]&flagReserved != 0 {
			return true
		}
	}
	return false
}

func BenchmarkRead(b *testing.B) {
	content := sampletest.Mixed(1, 32<<20)
	stream := zip(b, 6, content)
	for name, open := range map[string]func() io.Reader{
		"gunzip":        func() io.Reader { return New(bytes.NewReader(stream), int64(len(stream))) },
		"compress/gzip": func() io.Reader { r, err := gzip.NewReader(bytes.NewReader(stream)); must(b, err); return r },
		"klauspost":     func() io.Reader { r, err := kgzip.NewReader(bytes.NewReader(stream)); must(b, err); return r },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if n, err := io.Copy(io.Discard, open()); n != int64(len(content)) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
