package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"airlock/internal/progress"

	"golang.org/x/sys/unix"
)

// noise returns bytes that no two calls with other seeds share.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	r.Read(b)
	return b
}

func TestReadBack(t *testing.T) {
	d, _ := newDir(t)
	var names []string
	var want [][32]byte
	for i, size := range []int{0, 1, 4095, 4096, readChunk - 1, readChunk, 3*readChunk + 777, 33 << 20} {
		data := noise(uint64(i), size)
		names = append(names, string(rune('a'+i)))
		want = append(want, sha256.Sum256(data))
		if err := d.Put(names[i], data); err != nil {
			t.Fatal(err)
		}
	}
	var sink counting
	got, err := d.ReadBack(t.Context(), &sink, names...)
	if err != nil || len(got) != len(names) {
		t.Fatalf("%d files, %v", len(got), err)
	}
	total := int64(0)
	for i, g := range got {
		if g.Name != names[i] || g.SHA256 != want[i] {
			t.Errorf("%s: %d bytes, other hash", g.Name, g.Size)
		}
		total += g.Size
		t.Logf("%s: %d bytes from %v", g.Name, g.Size, g.Source)
	}
	if sink.n != total || sink.done != len(names) {
		t.Errorf("progress says %d bytes of %d and %d files", sink.n, total, sink.done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.ReadBack(ctx, progress.Discard, names[7]); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := d.ReadBack(t.Context(), progress.Discard, "missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

type counting struct {
	n    int64
	done int
}

func (c *counting) Start(string, int64) progress.Task { return c }
func (c *counting) Add(n int64)                       { c.n += n }
func (c *counting) Done()                             { c.done++ }

// What ReadBack returns is on the device, not in memory: the device is changed
// behind the file system's back, whose cache still holds the old bytes.
func TestReadBackIsFromTheMedium(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs", "btrfs", "ntfs", "exfat"} {
		t.Run(kind, func(t *testing.T) {
			v := newVolume(t, kind, 400)
			d, err := NewDir(v.point)
			if err != nil {
				t.Fatal(err)
			}
			data := noise(7, 9<<20+5)
			if err := d.Put("x.vol", data); err != nil {
				t.Fatal(err)
			}
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.ReadFile(filepath.Join(v.point, "x.vol")); err != nil { // now it is cached
				t.Fatal(err)
			}
			m, err := MediumOf(v.point)
			if err != nil || m.FileSystem != kind || m.MountPoint != v.point || m.Device != v.loop {
				t.Errorf("%+v, %v", m, err)
			}
			v.flip(t, data[5<<20:][:64])
			got, err := d.ReadBack(t.Context(), progress.Discard, "x.vol")
			if kind == "btrfs" { // it has checksums of its own
				if !errors.Is(err, ErrIO) {
					t.Errorf("a flipped byte gave %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Source != FromMedium || got[0].SHA256 == sha256.Sum256(data) {
				t.Errorf("a flipped byte on the device was not seen (%v)", got[0].Source)
			}
		})
	}
}

// tmpfs is memory: O_DIRECT "works" there and proves nothing.
func TestReadBackFromMemory(t *testing.T) {
	d, err := NewDir(tmpfs(t, "1m"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put("x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadBack(t.Context(), progress.Discard, "x")
	if err != nil || got[0].Source != FromCache {
		t.Errorf("%v, %v", got, err)
	}
}

// volume is an image file with a file system, mounted.
type volume struct{ image, loop, point string }

func newVolume(t *testing.T, kind string, mib int) volume {
	t.Helper()
	needRoot(t)
	v := volume{image: filepath.Join(t.TempDir(), "image"), point: t.TempDir()}
	f, err := os.Create(v.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(int64(mib)<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	mkfs := map[string][]string{"ntfs": {"mkntfs", "-F", "-Q"}}[kind]
	if mkfs == nil {
		mkfs = []string{"mkfs." + kind}
	}
	run(t, mkfs[0], append(mkfs[1:], v.image)...)
	v.loop = string(bytes.TrimSpace(run(t, "losetup", "--find", "--show", v.image)))
	t.Cleanup(func() { run(t, "losetup", "--detach", v.loop) })
	switch kind {
	case "ntfs":
		run(t, "ntfs-3g", v.loop, v.point)
	case "exfat":
		run(t, "mount.exfat-fuse", v.loop, v.point)
	default:
		run(t, "mount", "-t", kind, v.loop, v.point)
	}
	t.Cleanup(func() { run(t, "umount", v.point) })
	return v
}

// flip changes one byte of what stands where these bytes are on the device.
func (v volume) flip(t *testing.T, bytesThere []byte) {
	t.Helper()
	run(t, "sync", "-f", v.point)
	dropDevice(v.loop)
	data, err := os.ReadFile(v.image)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, bytesThere)
	if at < 0 {
		t.Fatal("the bytes are not on the device")
	}
	f, err := os.OpenFile(v.loop, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{data[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	dropDevice(v.loop)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "mounting needs root")
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, err.Error())
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s %q: %v: %s", name, args, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return out
}

func tmpfs(t *testing.T, size string) string {
	t.Helper()
	needRoot(t)
	point := t.TempDir()
	if err := unix.Mount("none", point, "tmpfs", 0, "size="+size); err != nil {
		missing(t, "mounting a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return point
}

func TestDirFull(t *testing.T) {
	path := tmpfs(t, "1m")
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put("big", make([]byte, 2<<20)); !errors.Is(err, ErrFull) {
		t.Errorf("Put: %v", err)
	}
	if names := list(t, path); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
	w, err := d.Create("big")
	if err != nil {
		t.Fatal(err)
	}
	_, first := io.Copy(w, bytes.NewReader(make([]byte, 2<<20)))
	if !errors.Is(first, ErrFull) {
		t.Errorf("Write: %v", first)
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, ErrFull) {
		t.Errorf("a write after the error: %v", err)
	}
	if err := w.Close(); !errors.Is(err, ErrFull) {
		t.Errorf("Close: %v", err)
	}
	if err := unix.Mount("none", path, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if err := d.Put("x", nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
	if m, err := MediumOf(path); err != nil || !m.ReadOnly || m.FileSystem != "tmpfs" {
		t.Errorf("%+v, %v", m, err)
	}
}

// A file system that is unmounted under the folder leaves its empty mount
// point: nothing more is written.
func TestDirUnmounted(t *testing.T) {
	needRoot(t)
	point := t.TempDir()
	if err := unix.Mount("none", point, "tmpfs", 0, "size=1m"); err != nil {
		missing(t, err.Error())
	}
	d, err := NewDir(point)
	if err == nil {
		err = d.Put("a", []byte("a"))
	}
	if err := errors.Join(err, unix.Unmount(point, 0)); err != nil {
		t.Fatal(err) // a busy mount here: Dir keeps something open
	}
	if err := d.Put("SHA256SUMS", []byte("sums")); !errors.Is(err, ErrGone) {
		t.Errorf("Put: %v", err)
	}
	if names := list(t, point); len(names) != 0 {
		t.Errorf("written to the mount point: %q", names)
	}
}

// TestFolderReadsPastTheCache reads a file that is not in memory in large pieces:
// the bytes are the file's, up to its odd end, and the page cache has not taken them.
func TestFolderReadsPastTheCache(t *testing.T) {
	dir := t.TempDir()
	d, err := NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 9<<20+4097)
	rand.NewChaCha8([32]byte{1}).Read(data)
	if err := d.Put("x.vol", data); err != nil {
		t.Fatal(err)
	}
	back, err := d.ReadBack(t.Context(), progress.Discard, "x.vol") // drops it from memory
	if err != nil {
		t.Fatal(err)
	}
	folder, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := folder.Open("x.vol")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 10<<20)
	for off := 0; off < len(data); off += 1 << 20 {
		n, err := f.(io.ReaderAt).ReadAt(got[off:off+1<<20], int64(off))
		if want := min(1<<20, len(data)-off); n != want || (n < 1<<20) != (err == io.EOF) {
			t.Errorf("at %d: %d bytes, %v, want %d", off, n, err, want)
		}
	}
	if !bytes.Equal(got[:len(data)], data) {
		t.Error("other bytes than the file's")
	}
	if back[0].Source != FromMedium {
		t.Skip("nothing here is read past the page cache")
	}
	if cached, known := cachedBytes(int(f.(*opened).Fd()), int64(len(data))); !known || cached > 2<<20 {
		t.Errorf("%d bytes are in memory (known: %v)", cached, known)
	}
}
