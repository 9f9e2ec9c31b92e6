package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMkdirAside(t *testing.T) {
	here := t.TempDir()
	fd, err := unix.Open(here, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	spoilt := filepath.Join(here, ".airlock-new-0")
	if err := os.WriteFile(spoilt, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := mkdirAside(fd, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := mkdirAside(fd, "shop"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once more: %v", err)
	}
	list, err := os.ReadDir(here)
	if err != nil || len(list) != 2 || list[0].Name() != ".airlock-new-0" || list[1].Name() != "shop" || !list[1].IsDir() {
		t.Errorf("there is %v, %v", list, err)
	}
}

func TestMakeFolder(t *testing.T) {
	here := t.TempDir()
	path := filepath.Join(here, "a", "b", "c")
	for range 2 {
		if err := makeFolder(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Error(info, err)
	}
	if err := os.WriteFile(filepath.Join(here, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeFolder(filepath.Join(here, "file", "below")); err == nil {
		t.Error("a folder below a file was made")
	}
}
