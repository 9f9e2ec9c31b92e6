package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestTar(t *testing.T) {
	files := []struct{ name, text string }{
		{"a.vol", strings.Repeat("x", tarChunk+7)}, {"empty", ""}, {"SHA256SUMS", "sums"},
	}
	write := func() []byte {
		var b bytes.Buffer
		w := NewTar(&b)
		for _, f := range files {
			if err := w.Put(f.name, []byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Put("late", nil); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Put after Close: %v", err)
		}
		return b.Bytes()
	}
	stream := write()
	if !bytes.Equal(stream, write()) {
		t.Error("equal files, other bytes")
	}
	r := tar.NewReader(bytes.NewReader(stream))
	for _, f := range files {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != f.name || h.Mode != 0o644 || !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid|h.Gid != 0 ||
			h.Uname+h.Gname != "" || h.Format&tar.FormatUSTAR == 0 || h.Typeflag != tar.TypeReg {
			t.Errorf("header %+v", h)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != f.text {
			t.Errorf("%s: %d bytes, %v", f.name, len(got), err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last file: %v", err)
	}
	if string(stream[257:265]) != "ustar\x0000" {
		t.Errorf("magic %q", stream[257:265])
	}
}

func TestTarLimit(t *testing.T) {
	var b bytes.Buffer
	w := NewTar(&b)
	full, err := w.Create("full")
	if err != nil {
		t.Fatal(err)
	}
	over, err := w.Create("over")
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 8<<20)
	for range MaxTarFile / len(chunk) {
		for _, f := range []io.Writer{full, over} {
			if _, err := f.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := over.Write(chunk[:1]); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	if err := over.Close(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("closing it: %v", err)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if want := 512 + MaxTarFile + 1024; b.Len() != want {
		t.Errorf("stream of %d bytes, want %d", b.Len(), want)
	}
}

type failing struct{ left int }

var errStream = errors.New("pipe closed")

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errStream
	}
	return len(b), nil
}

// After the stream failed, nothing succeeds: bytes behind a gap are worthless.
func TestTarStreamFails(t *testing.T) {
	w := NewTar(&failing{left: 700})
	if err := w.Put("a", make([]byte, 1024)); !errors.Is(err, errStream) {
		t.Errorf("first: %v", err)
	}
	if err := w.Put("b", nil); !errors.Is(err, errStream) {
		t.Errorf("second: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errStream) {
		t.Errorf("Close: %v", err)
	}
	if err := w.Put("a/b", nil); !errors.Is(err, ErrName) {
		t.Errorf("a name with a separator: %v", err)
	}
}
