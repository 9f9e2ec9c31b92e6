package deflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"airlock/internal/gzipexact/sampletest"
)

// deflated is what the toolchain makes of p at a level.
func deflated(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inflated reads a stream and what is behind it.
func inflated(r *Reader, src *bufio.Reader) (content, behind []byte, err error) {
	r.Reset()
	if content, err = io.ReadAll(r); err != nil {
		return content, nil, err
	}
	behind, err = io.ReadAll(src)
	return content, behind, err
}

func TestReader(t *testing.T) {
	samples := append(sampletest.All(), sampletest.Mixed(7, 1_000_000), make([]byte, 300_000),
		bytes.Repeat([]byte("ab"), 100_000), bytes.Repeat([]byte("abcdefg"), 30_000))
	for i, p := range samples {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			stream := deflated(t, p, level)
			whole := append(bytes.Clone(stream), "behind"...)
			for name, from := range map[string]io.Reader{
				"whole": bytes.NewReader(whole), "halves": iotest.HalfReader(bytes.NewReader(whole)),
				"bytes": iotest.OneByteReader(bytes.NewReader(whole)),
			} {
				src := bufio.NewReaderSize(from, 64+i)
				got, behind, err := inflated(NewReader(src), src)
				if err != nil || !bytes.Equal(got, p) || string(behind) != "behind" {
					t.Fatalf("content %d, level %d, %s: got %d bytes, %q behind them, %v", i, level, name, len(got), behind, err)
				}
			}
		}
	}
}

// A stream that is cut is never taken for a whole one, nor do bytes come that
// are not the content's.
func TestReaderCut(t *testing.T) {
	p := sampletest.Mixed(3, 3000)
	for _, level := range []int{flate.HuffmanOnly, 0, 6} {
		stream := deflated(t, p, level)
		for n := range stream {
			src := bufio.NewReader(bytes.NewReader(stream[:n]))
			got, _, err := inflated(NewReader(src), src)
			if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(p, got) {
				t.Fatalf("level %d, cut at %d: got %d bytes, %v", level, n, len(got), err)
			}
		}
	}
}

func TestReaderCorrupt(t *testing.T) {
	for name, stream := range map[string]string{
		"kind of block":          "\x07",
		"size of stored block":   "\x01\x01\x00\x00\x00x",
		"match before the start": "\x03\x02\x00\x00\x00",
		"distance symbol 30":     "\x4b\x02\x3e\x00\x00",
		"too many symbols":       "\xfd\xff\xff\xff\xff\xff\xff\xff",
		"codes of no lengths":    "\x05\x00\x00\x00\x00\x00\x00\x00",
	} {
		src := bufio.NewReader(bytes.NewReader([]byte(stream + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")))
		if got, _, err := inflated(NewReader(src), src); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// FuzzReader compares with the toolchain's, which takes the same streams.
func FuzzReader(f *testing.F) {
	for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
		f.Add(deflated(f, sampletest.Mixed(1, 500), level))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		from := bufio.NewReader(bytes.NewReader(stream))
		want, wantErr := io.ReadAll(flate.NewReader(from))
		rest, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		src := bufio.NewReaderSize(bytes.NewReader(stream), 64)
		got, behind, err := inflated(NewReader(src), src)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if err == nil && (!bytes.Equal(got, want) || !bytes.Equal(behind, rest)) {
			t.Fatalf("got %d bytes and %d behind, want %d and %d", len(got), len(behind), len(want), len(rest))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	p := sampletest.Mixed(1, 8<<20)
	stream := deflated(b, p, 6)
	b.SetBytes(int64(len(p)))
	src := bufio.NewReaderSize(nil, 32<<10)
	r := NewReader(src)
	for b.Loop() {
		src.Reset(bytes.NewReader(stream))
		r.Reset()
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
			b.Fatal(err)
		}
	}
}
