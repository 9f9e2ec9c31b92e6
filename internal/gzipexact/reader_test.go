package gzipexact

import (
	"bytes"
	"errors"
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
