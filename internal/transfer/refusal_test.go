//go:build linux

package transfer_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/transfertest"

	"golang.org/x/sys/unix"
)

func file3(name string, data []byte) transfer.File { return transfertest.File(name, data) }

// TestServerFull has the server's disk run full, and then be read-only.
func TestServerFull(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		point := filepath.Join(server.Root, "small")
		if err := os.Mkdir(point, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", point, "tmpfs", 0, "size=6m"); err != nil {
			realtest.Missing(t, "mounting a tmpfs: "+err.Error())
		}
		t.Cleanup(func() {
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		s := dial(t, server, "small", nil)
		if free, err := s.FreeSpace(); err != nil || free != 6<<20 {
			t.Errorf("%d bytes free, %v", free, err)
		}
		big := transfertest.Noise(1, 12<<20)
		if err := (transfer.Sender{}).Send(t.Context(), s, file3("big.vol", big)); !errors.Is(err, transfer.ErrFull) {
			t.Errorf("Send: %v", err)
		}
		clean(t, point)
		w, err := s.Create("big.vol")
		if err != nil {
			t.Fatal(err)
		}
		_, werr := w.Write(big)
		if err := errors.Join(werr, w.Close()); !errors.Is(err, transfer.ErrFull) {
			t.Errorf("Create: %v", err)
		}
		clean(t, point)
		if err := s.Put("big.vol", big[:8<<20]); !errors.Is(err, transfer.ErrFull) {
			t.Errorf("Put: %v", err)
		}
		if list, err := os.ReadDir(point); err != nil || len(list) != 0 {
			t.Errorf("Put left %v, %v", list, err)
		}
		if err := s.Put("small", big[:100]); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if err := unix.Mount("none", point, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=6m"); err != nil {
			t.Fatal(err)
		}
		if err := s.Put("x", []byte("x")); !errors.Is(err, transfer.ErrReadOnly) {
			t.Errorf("read-only: %v", err)
		}
		if err := dial(t, server, "small/a/b", nil).Put("x", []byte("x")); !errors.Is(err, transfer.ErrReadOnly) {
			t.Errorf("read-only, in a folder that is not there yet: %v", err)
		}
	})
}

func clean(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWholeOrNothing looks at the folder while a file is on its way.
func TestWholeOrNothing(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		s := dial(t, server, "", nil)
		if err := s.Put("x.vol", []byte("old")); err != nil {
			t.Fatal(err)
		}
		w, err := s.Create("x.vol")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 10<<20)); err != nil {
			t.Fatal(err)
		}
		if b, err := fs.ReadFile(s.Files(), "x.vol"); err != nil || string(b) != "old" {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err := fs.ReadFile(s.Files(), "x.vol"); err != nil || len(b) != 10<<20 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// TestCreateCut has the connection of a stream cut: that is an error, and no
// file gets its name.
func TestCreateCut(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		s := dial(t, server, "", nil)
		w, err := s.Create("x.vol")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 3<<20)); err != nil {
			t.Fatal(err)
		}
		s.Forget()
		_, werr := io.CopyN(w, endless{}, 30<<20)
		if err := errors.Join(werr, w.Close()); !errors.Is(err, transfer.ErrCut) {
			t.Errorf("cut: %v", err)
		}
		if _, err := os.Stat(filepath.Join(server.Root, "x.vol")); err == nil {
			t.Error("it has its name")
		}
		if err := s.Put("y", []byte("y")); err != nil {
			t.Errorf("the next step: %v", err)
		}
	})
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestDenied has a folder that may not be written.
func TestDenied(t *testing.T) {
	server := realtest.SSHD(t)
	s := dial(t, server, "", func(u *transfer.URL, _ *transfer.Options) { u.Dir = "/proc/1/none" })
	if err := s.Put("x", nil); err == nil {
		t.Error("a file was made in /proc")
	} else {
		t.Log(err)
	}
}
