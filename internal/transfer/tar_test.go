package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// TestTarReadBack reads a file at every stage of its writing.
func TestTarReadBack(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewTarFile(f)
	if _, err := w.ReadBack("a.vol"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is created: %v", err)
	}
	text := strings.Repeat("0123456789", (2*tarChunk+70)/10)
	var files []io.WriteCloser
	for _, name := range []string{"a.vol", "b.vol"} {
		to, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, to)
	}
	look := func(stage, name, want string) {
		t.Helper()
		r, err := w.ReadBack(name)
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off < len(want); off += tarChunk/2 + 3 {
			got := make([]byte, min(tarChunk+9, len(want)-off))
			if n, err := r.ReadAt(got, int64(off)); n < len(got) || string(got) != want[off:off+n] {
				t.Errorf("%s, %s at %d: %d bytes, %v", stage, name, off, n, err)
			}
		}
		if n, err := r.ReadAt(make([]byte, 2), int64(len(want)-1)); n != 1 || err != io.EOF {
			t.Errorf("%s, %s across its end: %d bytes, %v", stage, name, n, err)
		}
	}
	for i, name := range []string{"a.vol", "b.vol"} {
		if _, err := io.WriteString(files[i], text[i:]); err != nil {
			t.Fatal(err)
		}
		look("in memory", name, text[i:])
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	look("in the file", "a.vol", text)
	look("in the file", "b.vol", text[1:])
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
