package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// asidePrefix begins the names of folders that a bundle is packed in before it is
// sent on. Whoever packs in one holds a lock on it.
const asidePrefix = "airlock-packing-"

// makeAside makes such a folder and locks it until the file is closed. Where the
// file system knows no locks the file is nil: nobody removes the folder then.
func makeAside(in string) (path string, lock *os.File, err error) {
	for {
		if path, err = os.MkdirTemp(in, asidePrefix+"*"); err != nil {
			return "", nil, err
		}
		lock, err = lockAside(path)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return filepath.Clean(path), lock, nil
		}
		// Who removes abandoned folders has taken it for one.
	}
}

// lockAside opens and locks a folder that nobody else holds.
func lockAside(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = stillAt(f, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// stillAt returns an error unless the path names the open folder.
func stillAt(f *os.File, path string) error {
	open, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(path); err != nil {
		return err
	} else if !os.SameFile(open, now) {
		return fs.ErrNotExist
	}
	return nil
}

// removeAbandoned removes the folders that were made by makeAside, here and by
// this user, of processes that have ended without removing them. It returns
// those that are gone; one that cannot be removed is left.
func removeAbandoned(in string) []string {
	var gone []string
	entries, err := os.ReadDir(in)
	if err != nil {
		return nil // whoever makes a folder there finds out
	}
	for _, e := range entries {
		path := filepath.Join(in, e.Name())
		number, ok := strings.CutPrefix(e.Name(), asidePrefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.IsDir() {
			continue
		}
		lock, err := lockAside(path)
		if err != nil {
			continue // somebody packs in it
		}
		if isOurs(lock) && os.RemoveAll(path) == nil {
			gone = append(gone, path)
		}
		lock.Close()
	}
	return gone
}

// isOurs reports whether a folder is this user's and has nothing but files in it.
func isOurs(folder *os.File) bool {
	info, err := folder.Stat()
	if err != nil {
		return false
	}
	if system, ok := info.Sys().(*syscall.Stat_t); !ok || int(system.Uid) != os.Geteuid() {
		return false
	}
	entries, err := folder.ReadDir(-1)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return false
		}
	}
	return err == nil
}
