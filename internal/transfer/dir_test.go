package transfer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"airlock/internal/progress"

	"golang.org/x/sys/unix"
)

func newDir(t *testing.T) (*Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestCheckName(t *testing.T) {
	long := strings.Repeat("a", 255)
	for name, good := range map[string]bool{
		"SHA256SUMS": true, "SHA256SUMS.ana.sig": true, "README.txt": true, "shop-1.4.0.000.vol": true, long: true,
		"": false, ".": false, "..": false, "a/b": false, `a\b`: false, "a:b": false, "a\x00": false, "ä": false,
		"a.": false, "a ": false, "-rf": false, ".partial-x": false, long + "a": false, "/etc/passwd": false,
	} {
		err := CheckName(name)
		if (err == nil) != good {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
		if err != nil && !errors.Is(err, ErrName) {
			t.Errorf("CheckName(%q): %v does not wrap ErrName", name, err)
		}
	}
}

func TestNewDirRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(path); err == nil {
		t.Error("a file passed as a folder")
	}
	if _, err := OpenDir(path); err == nil {
		t.Error("OpenDir: a file passed as a folder")
	}
}

func TestDirCreate(t *testing.T) {
	d, path := newDir(t)
	for _, size := range []int{200 << 20, 3} { // the second replaces the first
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		w, err := d.Create("x.vol")
		if err != nil {
			t.Fatal(err)
		}
		for b := data; len(b) > 0; {
			n := min(len(b), 1<<20)
			if _, err := w.Write(b[:n]); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(path, "x.vol"))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes read back, %d written: %v", len(got), size, err)
		}
		if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		if _, err := w.Write(data[:1]); err == nil {
			t.Error("a write after Close passed")
		}
	}
}

func TestDirPut(t *testing.T) {
	d, path := newDir(t)
	long := strings.Repeat("n", 200) // ntfs-3g renames over longer ones badly
	for _, name := range []string{"SHA256SUMS", long} {
		for _, text := range []string{"old", "new and longer", ""} {
			if err := d.Put(name, []byte(text)); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(path, name))
			if err != nil || string(got) != text {
				t.Errorf("got %q, %v; want %q", got, err, text)
			}
		}
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
	if names := list(t, path); len(names) != 2 {
		t.Errorf("left behind: %q", names)
	}
}

func list(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What is not a regular file is neither written through nor removed.
func TestDirRefusesWhatIsNotAFile(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	plant := map[string]func(path string) error{
		"link":     func(p string) error { return os.Symlink(outside, p) },
		"dangling": func(p string) error { return os.Symlink(outside+"-2", p) },
		"fifo":     func(p string) error { return unix.Mkfifo(p, 0o666) },
		"folder":   func(p string) error { return os.Mkdir(p, 0o755) },
		"socket":   func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) },
	}
	for kind, make := range plant {
		t.Run(kind, func(t *testing.T) {
			d, path := newDir(t)
			if err := make(filepath.Join(path, "x")); err != nil {
				t.Fatal(err)
			}
			mustEnd(t, 5*time.Second, func() {
				if _, err := d.Create("x"); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "x") {
					t.Errorf("Create: %v", err)
				}
				if err := d.Put("x", []byte("p")); !errors.Is(err, ErrNotRegular) {
					t.Errorf("Put: %v", err)
				}
				folder, err := OpenDir(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := folder.Open("x"); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "x") {
					t.Errorf("Open: %v", err)
				}
				if _, err := folder.Stat("x"); !errors.Is(err, ErrNotRegular) || !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("Stat: %v", err)
				}
				if entries, err := folder.ReadDir("."); err != nil || len(entries) != 1 {
					t.Errorf("ReadDir: %v, %v", entries, err)
				}
			})
			if names := list(t, path); len(names) != 1 {
				t.Errorf("left behind: %q", names)
			}
		})
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "precious" {
		t.Errorf("the file outside is now %q, %v", data, err)
	}
	if _, err := os.Lstat(outside + "-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was made through a dangling link")
	}
}

func mustEnd(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("hangs for more than %v", limit)
	}
}

// A file with a second name elsewhere keeps its bytes under that name.
func TestDirCreateLeavesHardLinks(t *testing.T) {
	d, path := newDir(t)
	other := filepath.Join(filepath.Dir(path), "other")
	if err := os.WriteFile(other, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(other, filepath.Join(path, "x")); err != nil {
		t.Fatal(err)
	}
	w, err := d.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(other); string(data) != "precious" {
		t.Errorf("the other name now has %q", data)
	}
}

// A file system that is unmounted under the folder leaves its empty mount
// point: nothing more is read or written, by what was open before either.
func TestDirGone(t *testing.T) {
	needRoot(t)
	path := t.TempDir()
	if err := unix.Mount("none", path, "tmpfs", 0, "size=1m"); err != nil {
		missing(t, "mounting a tmpfs: "+err.Error())
	}
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	_, createErr := d.Create("y")
	_, openErr := folder.Open("x")
	_, readErr := d.ReadBack(t.Context(), progress.Discard, "x")
	for step, err := range map[string]error{
		"Create": createErr, "Put": d.Put("y", nil), "Sync": d.Sync(), "Close": w.Close(), "Open": openErr,
		"ReadBack": readErr, "Remove": d.Remove("x"),
	} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", step, err)
		}
	}
	if names := list(t, path); len(names) != 0 {
		t.Errorf("written to the other folder: %q", names)
	}
}

func TestDirRemove(t *testing.T) {
	d, path := newDir(t)
	if err := errors.Join(d.Put("a", nil), os.Symlink("a", filepath.Join(path, "b")), d.Remove("a")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"a": fs.ErrNotExist, "b": ErrNotRegular, "../a": ErrName} {
		if err := d.Remove(name); !errors.Is(err, want) {
			t.Errorf("Remove(%q): %v", name, err)
		}
	}
	if names := list(t, path); len(names) != 1 {
		t.Errorf("left: %q", names)
	}
}

func TestOpenDir(t *testing.T) {
	d, path := newDir(t)
	for _, name := range []string{"b.vol", "a.vol", "SHA256SUMS"} {
		if err := d.Put(name, []byte("bytes of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(folder, "a.vol", "b.vol", "SHA256SUMS"); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(path, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "sub", "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Open("sub/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sub-folder was entered: %v", err)
	}
	f, err := folder.Open("a.vol")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 5)
	if _, err := f.(io.ReaderAt).ReadAt(got, 9); err != nil || string(got) != "a.vol" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFreeSpace(t *testing.T) {
	here := t.TempDir()
	a, err := FreeSpace(here)
	if err != nil || a <= 0 {
		t.Fatal(a, err)
	}
	if _, err := FreeSpace(filepath.Join(here, "not", "yet")); err != nil {
		t.Error(err)
	}
}
