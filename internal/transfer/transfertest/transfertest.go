// Package transfertest holds what every place that files can be sent to must
// do: one suite, run on a folder and on real SFTP servers.
package transfertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"airlock/internal/progress"
	"airlock/internal/transfer"

	"golang.org/x/sys/unix"
)

// Dest is a place with all that *transfer.Dir and *transfer.Server offer alike.
type Dest interface {
	transfer.Dest
	Create(name string) (io.WriteCloser, error)
	Sync() error
	ReadBack(ctx context.Context, sink progress.Sink, names ...string) ([]transfer.ReadFile, error)
}

// Place is a Dest to be tested.
type Place struct {
	Dest  Dest
	Files func() fs.FS // to read what was sent
	Path  string       // the folder behind it, on this machine
}

// Noise returns n bytes that depend on the seed and do not compress.
func Noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 7}).Read(b)
	return b
}

// File returns a transfer.File of those bytes.
func File(name string, data []byte) transfer.File {
	return transfer.File{Name: name, Size: int64(len(data)), SHA256: sha256.Sum256(data), Bytes: bytes.NewReader(data)}
}

// Run runs the suite; newPlace returns an empty place.
func Run(t *testing.T, newPlace func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Place)
	}{
		{"Put", testPut}, {"Create", testCreate}, {"Names", testNames}, {"Send", testSend},
		{"Resume", testResume}, {"OtherBytes", testOtherBytes}, {"Changed", testChanged},
		{"NotRegular", testNotRegular}, {"Read", testRead}, {"ShortSource", testShortSource},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newPlace(t)) })
	}
}

// mustHold fails unless the folder holds just these files.
func mustHold(t *testing.T, p Place, files map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(p.Path, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
}

func testPut(t *testing.T, p Place) {
	files := map[string][]byte{}
	for i, data := range [][]byte{[]byte("old"), []byte("new and longer"), {}, Noise(1, 600<<10)} {
		for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", strings.Repeat("n", 200)} {
			if err := p.Dest.Put(name, data); err != nil {
				t.Fatalf("%d %s: %v", i, name, err)
			}
			files[name] = data
		}
		mustHold(t, p, files)
	}
	if err := p.Dest.Sync(); err != nil {
		t.Error(err)
	}
}

func testCreate(t *testing.T, p Place) {
	files := map[string][]byte{}
	for _, size := range []int{0, 1, 32<<10 + 1, 70 << 20, 255 << 10, 5} {
		data := Noise(uint64(size), size)
		for _, name := range []string{"x.vol", fmt.Sprintf("y-%d.vol", size)} {
			w, err := p.Dest.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			// In pieces that fit no packet.
			if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, 100_003)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("second Close: %v", err)
			}
			if n, err := w.Write([]byte{1}); err == nil || n != 0 {
				t.Errorf("a write after Close: %d, %v", n, err)
			}
			files[name] = data
		}
		mustHold(t, p, files)
	}
}

func testNames(t *testing.T, p Place) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/x", `a\b`, "a\x00b", ".partial-x", strings.Repeat("a", 256)} {
		if err := p.Dest.Put(name, nil); !errors.Is(err, transfer.ErrName) {
			t.Errorf("Put(%q): %v", name, err)
		}
		if _, err := p.Dest.Create(name); !errors.Is(err, transfer.ErrName) {
			t.Errorf("Create(%q): %v", name, err)
		}
		if err := (transfer.Sender{}).Send(t.Context(), p.Dest, File(name, nil)); !errors.Is(err, transfer.ErrName) {
			t.Errorf("Send(%q): %v", name, err)
		}
	}
	mustHold(t, p, nil)
}

// source counts what is read of it and fails at an offset.
type source struct {
	data   []byte
	read   atomic.Int64
	failAt int64 // 0: never
}

var errSource = errors.New("pulled")

func (s *source) ReadAt(b []byte, off int64) (int, error) {
	if s.failAt > 0 && off+int64(len(b)) > s.failAt {
		return 0, errSource
	}
	n := copy(b, s.data[min(off, int64(len(s.data))):])
	s.read.Add(int64(n))
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (s *source) file(name string) transfer.File {
	return transfer.File{Name: name, Size: int64(len(s.data)), SHA256: sha256.Sum256(s.data), Bytes: s}
}

func journal(t *testing.T) *transfer.Journal {
	t.Helper()
	j, err := transfer.OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func testSend(t *testing.T, p Place) {
	s := transfer.Sender{Journal: journal(t)}
	files := map[string][]byte{}
	var list []transfer.File
	sources := map[string]*source{}
	for i, size := range []int{0, 1, 4095, 32 << 10, 255<<10 + 1, 20 << 20, 75<<20 + 13} {
		name := fmt.Sprintf("shop-1.4.0.%03d.vol", i)
		files[name] = Noise(uint64(i), size)
		sources[name] = &source{data: files[name]}
		list = append(list, sources[name].file(name))
	}
	if err := s.Send(t.Context(), p.Dest, list...); err != nil {
		t.Fatal(err)
	}
	mustHold(t, p, files)
	// Once more: what has arrived is looked at and not sent.
	for _, src := range sources {
		src.read.Store(0)
	}
	if err := s.Send(t.Context(), p.Dest, list...); err != nil {
		t.Fatal(err)
	}
	for name, src := range sources {
		if n := src.read.Load(); n > 64<<20 || (len(src.data) == 20<<20 && n > 19<<20 && n != int64(len(src.data))) {
			t.Errorf("%s: %d bytes read again", name, n)
		}
	}
	mustHold(t, p, files)
	// Without a journal nothing is believed, and all is well too.
	if err := (transfer.Sender{}).Send(t.Context(), p.Dest, list[3:5]...); err != nil {
		t.Fatal(err)
	}
	mustHold(t, p, files)
}

const mib = 1 << 20

// testResume stops at an offset and goes on: only the rest is sent.
func testResume(t *testing.T, p Place) {
	s := transfer.Sender{Journal: journal(t)}
	src := &source{data: Noise(3, 130*mib), failAt: 110 * mib}
	f := src.file("x.vol")
	if err := s.Send(t.Context(), p.Dest, f); !errors.Is(err, errSource) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.Path, "x.vol")); err == nil {
		t.Error("half a file has the name of a whole one")
	}
	src.failAt = 0
	src.read.Store(0)
	if err := s.Send(t.Context(), p.Dest, f); err != nil {
		t.Fatal(err)
	}
	// The rest, at most 64 MiB again, and at most 64 MiB to compare with.
	if n := src.read.Load(); n > (20+64+64)*mib {
		t.Errorf("%d MiB read after the stop", n/mib)
	}
	mustHold(t, p, map[string][]byte{"x.vol": src.data})
}

// testOtherBytes sends other bytes under a name of which a part is there.
func testOtherBytes(t *testing.T, p Place) {
	s := transfer.Sender{Journal: journal(t)}
	first := &source{data: Noise(4, 80*mib), failAt: 70 * mib}
	if err := s.Send(t.Context(), p.Dest, first.file("x.vol")); !errors.Is(err, errSource) {
		t.Fatal(err)
	}
	second := File("x.vol", Noise(5, 80*mib))
	if err := s.Send(t.Context(), p.Dest, second); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(p.Path, "x.vol"))
	if err != nil || sha256.Sum256(got) != second.SHA256 {
		t.Errorf("%d bytes, mixed: %v", len(got), err)
	}
}

// testChanged changes the unfinished file between two attempts.
func testChanged(t *testing.T, p Place) {
	for name, change := range map[string]func(path string) error{
		"damaged":   damage,
		"shortened": func(path string) error { return os.Truncate(path, 10*mib) },
		"longer":    func(path string) error { return os.Truncate(path, 300*mib) },
		"removed":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			s := transfer.Sender{Journal: journal(t)}
			src := &source{data: Noise(6, 70*mib), failAt: 69 * mib}
			f := src.file(name + ".vol")
			if err := s.Send(t.Context(), p.Dest, f); !errors.Is(err, errSource) {
				t.Fatal(err)
			}
			left, err := filepath.Glob(filepath.Join(p.Path, ".partial-*"))
			if err != nil || len(left) != 1 {
				t.Fatal(left, err)
			}
			whole := filepath.Join(p.Path, f.Name)
			src.failAt = 0
			// Also after it has arrived: then it is sent again.
			for _, harm := range []func() error{
				func() error { return change(left[0]) },
				func() error { return os.Truncate(whole, 65*mib) },
				func() error { return os.Remove(whole) },
			} {
				if err := harm(); err != nil {
					t.Fatal(err)
				}
				if err := s.Send(t.Context(), p.Dest, f); err != nil {
					t.Fatal(err)
				}
				mustHold(t, p, map[string][]byte{f.Name: src.data})
			}
			if err := os.Remove(whole); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// damage changes a byte of every MiB: only the end of what is there is looked
// at before a transfer goes on.
func damage(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := mib / 2; i < len(b); i += mib {
		b[i] ^= 1
	}
	return os.WriteFile(path, b, 0o644)
}

// testNotRegular plants what is not a file.
func testNotRegular(t *testing.T, p Place) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(path string) error{
		"link":   func(path string) error { return os.Symlink(outside, path) },
		"fifo":   func(path string) error { return unix.Mkfifo(path, 0o666) },
		"folder": func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		if err := plant(filepath.Join(p.Path, name)); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := p.Dest.Put(name, []byte("x")); !errors.Is(err, transfer.ErrNotRegular) {
				t.Errorf("Put(%s): %v", name, err)
			}
			if w, err := p.Dest.Create(name); err == nil {
				err = w.Close()
				if !errors.Is(err, transfer.ErrNotRegular) {
					t.Errorf("Create(%s): %v", name, err)
				}
			} else if !errors.Is(err, transfer.ErrNotRegular) {
				t.Errorf("Create(%s): %v", name, err)
			}
			if err := (transfer.Sender{}).Send(t.Context(), p.Dest, File(name, []byte("x"))); !errors.Is(err, transfer.ErrNotRegular) {
				t.Errorf("Send(%s): %v", name, err)
			}
			if _, err := p.Files().Open(name); !errors.Is(err, transfer.ErrNotRegular) {
				t.Errorf("Open(%s): %v", name, err)
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: hangs", name)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "precious" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
}

func testRead(t *testing.T, p Place) {
	data := Noise(9, 9*mib+77)
	if err := p.Dest.Put("x.vol", data); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(p.Path, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := p.Files()
	list, err := fs.ReadDir(files, ".")
	if err != nil || len(list) != 2 || list[1].Name() != "x.vol" || !list[1].Type().IsRegular() {
		t.Errorf("%v, %v", list, err)
	}
	got, err := fs.ReadFile(files, "x.vol")
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	back, err := p.Dest.ReadBack(t.Context(), progress.Discard, "x.vol")
	if err != nil || len(back) != 1 || back[0].SHA256 != sha256.Sum256(data) || back[0].Size != int64(len(data)) {
		t.Errorf("read back: %v, %v", back, err)
	}
	f, err := files.Open("x.vol")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := f.(io.ReaderAt)
	for _, c := range []struct{ off, n int }{
		{0, 1}, {77, 5 * mib}, {len(data) - 3, 3}, {len(data) - 3, 10}, {len(data), 1}, {len(data) + 5, 1}, {3, 0},
	} {
		b := make([]byte, c.n)
		n, err := r.ReadAt(b, int64(c.off))
		want := min(c.n, max(0, len(data)-c.off))
		if n != want || (n < c.n) != (err == io.EOF) || !bytes.Equal(b[:n], data[min(c.off, len(data)):][:n]) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", c.n, c.off, n, err)
		}
	}
	for _, name := range []string{"missing", "sub/x", "x.vol/y"} {
		if _, err := files.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s): %v", name, err)
		}
	}
	if _, err := files.Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open(../x): %v", err)
	}
}

// testShortSource has a source with fewer bytes than it was said to have.
func testShortSource(t *testing.T, p Place) {
	f := File("x.vol", []byte("short"))
	f.Size = 6
	if err := (transfer.Sender{}).Send(t.Context(), p.Dest, f); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(p.Path, "x.vol")); err == nil {
		t.Error("it has its name all the same")
	}
}
