//go:build linux

package transfer_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/transfertest"
)

// TestSnapshot holds that a snapshot has the files that the server has, keeps the
// small ones, and opens nothing but regular files.
func TestSnapshot(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		dir, err := os.MkdirTemp(server.Root, "d")
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{"empty": nil, "left": []byte("l"), "small": transfertest.Noise(1, 70<<10), "large.vol": transfertest.Noise(2, 5<<20)}
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Symlink("small", filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "folder"), 0o755)); err != nil {
			t.Fatal(err)
		}
		s := dial(t, server, filepath.Base(dir), nil)
		shot, err := s.Snapshot(t.Context(), func(name string) bool { return name == "left" })
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range files {
			got, err := fs.ReadFile(shot, name)
			info, serr := fs.Stat(shot, name)
			if err = errors.Join(err, serr); err != nil || !bytes.Equal(got, data) || info.Size() != int64(len(data)) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		list, err := fs.ReadDir(shot, ".")
		if err != nil || len(list) != len(files)+2 || list[0].Name() != "empty" {
			t.Errorf("it lists %v, %v", list, err)
		}
		for name, want := range map[string]error{"link": transfer.ErrNotRegular, "folder": transfer.ErrNotRegular, "missing": fs.ErrNotExist, "../small": fs.ErrNotExist} {
			if _, err := shot.Open(name); !errors.Is(err, want) {
				t.Errorf("opening %s: %v, want %v", name, err, want)
			}
		}
		for name := range files {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			_, err := fs.ReadFile(shot, name)
			if held := name == "empty" || name == "small"; held != (err == nil) {
				t.Errorf("%s, when it is gone from the server: %v", name, err)
			}
		}
		if _, err := dial(t, server, "nowhere", nil).Snapshot(t.Context(), func(string) bool { return false }); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a folder that is not there: %v", err)
		}
	})
}
