package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// makeFolder makes a folder, and those above it, durable one by one.
func makeFolder(path string) error {
	err := makeOne(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		err = makeOne(path)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // whatever it is, opening it as a folder tells
	}
	return err
}

// makeOne makes a folder in one that is there. It returns fs.ErrExist where
// there is something of that name.
func makeOne(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above, err := openPlace(filepath.Dir(path))
	if err != nil {
		return err
	}
	return above.with(func(dirfd int) error {
		name := filepath.Base(path)
		var err error
		if above.fat {
			err = mkdirAside(dirfd, name)
		} else {
			err = unix.Mkdirat(dirfd, name, 0o755)
		}
		if err == nil {
			err = syncFolder(dirfd)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return &fs.PathError{Op: "making the folder", Path: path, Err: explain(err)}
		}
		return err
	})
}

// mkdirAside makes a folder under another name and gives it its own when it is
// on the medium.
//
// Linux writes the entry of a new folder on FAT before the cluster that it
// names. What a power cut in between leaves can neither be read nor removed,
// not even after fsck, and the kernel makes the file system read-only when its
// name is as much as looked up. So that is a name that nobody asks for, and
// another one each time.
func mkdirAside(dirfd int, name string) error {
	aside, err := newName(dirfd)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(dirfd, aside, 0o755); err != nil {
		return err
	}
	err = syncFolder(dirfd)
	if err == nil {
		err = unix.Renameat2(dirfd, aside, dirfd, name, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		_ = unix.Unlinkat(dirfd, aside, unix.AT_REMOVEDIR)
	}
	return err
}

// newName returns a name for a folder that nothing in this one has, which it
// lists for that but does not ask about.
func newName(dirfd int) (string, error) {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	folder := os.NewFile(uintptr(fd), ".")
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		if name := fmt.Sprintf(".airlock-new-%d", n); !slices.Contains(names, name) {
			return name, nil
		}
	}
}
