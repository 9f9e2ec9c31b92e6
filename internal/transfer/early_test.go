package transfer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"airlock/internal/progress"
)

// onDisk returns a folder on ext4 that is read back early.
func onDisk(t *testing.T) (*Dir, volume) {
	t.Helper()
	v := newVolume(t, "ext4", 200)
	d, err := NewDir(v.point)
	if err == nil {
		err = d.ReadBackEarly()
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.early.medium == nil {
		t.Fatal("a fixed disk is not read back early")
	}
	return d, v
}

func fileOf(name string, data []byte) File {
	return File{Name: name, Size: int64(len(data)), SHA256: sha256.Sum256(data), Bytes: bytes.NewReader(data)}
}

// cutAt is bytes that cannot be read from an offset on.
type cutAt struct {
	io.ReaderAt
	at int64
}

var errCutAt = errors.New("cut")

func (c cutAt) ReadAt(b []byte, off int64) (int, error) {
	if off >= c.at {
		return 0, errCutAt
	}
	return c.ReaderAt.ReadAt(b, off)
}

// TestReadBackEarly sends files of which large ones are read back meanwhile, one
// of them in two attempts; a file that was changed since is read again.
func TestReadBackEarly(t *testing.T) {
	d, v := onDisk(t)
	journal, err := OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := Sender{Journal: journal}
	large, small, cut := noise(1, 9<<20+5), noise(2, 1<<20), noise(3, 70<<20+777)
	if err := s.Send(t.Context(), d, fileOf("large", large), fileOf("small", small)); err != nil {
		t.Fatal(err)
	}
	f := fileOf("cut", cut)
	f.Bytes = cutAt{f.Bytes, 66 << 20}
	if err := s.Send(t.Context(), d, f); !errors.Is(err, errCutAt) {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), d, fileOf("cut", cut)); err != nil {
		t.Fatal(err)
	}
	read := func(name string, from Source, data []byte) {
		t.Helper()
		sink := &counting{}
		got, err := d.ReadBack(t.Context(), sink, name)
		if err != nil {
			t.Fatal(err)
		}
		if want := (ReadFile{name, int64(len(data)), sha256.Sum256(data), from}); got[0] != want {
			t.Errorf("%+v, want %+v", got[0], want)
		}
		if sink.n != int64(len(data)) || sink.done != 1 {
			t.Errorf("%s: progress shows %d bytes, %d times done", name, sink.n, sink.done)
		}
	}
	read("large", FromDisk, large)
	read("small", FromMedium, small)
	read("cut", FromDisk, cut)

	large[5<<20] ^= 1
	file, err := os.OpenFile(filepath.Join(v.point, "large"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(large[5<<20:][:1], 5<<20)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	read("large", FromMedium, large)
}

// TestEarlyIsFromTheMedium: what is read early is on the device, not in memory.
func TestEarlyIsFromTheMedium(t *testing.T) {
	d, v := onDisk(t)
	data := noise(4, 9<<20+5)
	if err := d.Put("x.vol", data); err != nil {
		t.Fatal(err)
	}
	if cached, err := os.ReadFile(filepath.Join(v.point, "x.vol")); err != nil || !bytes.Equal(cached, data) {
		t.Fatal(err)
	}
	v.flip(t, data[5<<20:][:64])
	e := d.readEarly("x.vol", int64(len(data)))
	defer e.close()
	e.durable(6<<20 + 1)
	if _, ok := e.finish(); ok {
		t.Error("a file that is not durable has a hash")
	}
	e.durable(int64(len(data)))
	if sum, ok := e.finish(); !ok || sum == sha256.Sum256(data) {
		t.Errorf("a flipped byte on the device was not seen (%v)", ok)
	}
}

// TestNotReadBackEarly: a removable medium may lose what it gave back to what is
// written later.
func TestNotReadBackEarly(t *testing.T) {
	for what, point := range map[string]string{"exFAT": newVolume(t, "exfat", 64).point, "memory": tmpfs(t, "64m")} {
		d, err := NewDir(point)
		if err == nil {
			err = d.ReadBackEarly()
		}
		if err != nil {
			t.Fatal(err)
		}
		data := noise(5, 9<<20)
		if err := (Sender{Progress: progress.Discard}).Send(t.Context(), d, fileOf("x.vol", data)); err != nil {
			t.Fatal(err)
		}
		got, err := d.ReadBack(t.Context(), progress.Discard, "x.vol")
		if err != nil || got[0].Source == FromDisk || got[0].SHA256 != sha256.Sum256(data) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}
