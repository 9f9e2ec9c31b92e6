// Package aside keeps the folder in which a bundle is packed before it goes on to
// where it cannot be read back: a pipe, or a server, which it follows to while more
// of it is packed. A folder that its process left behind is removed by the next.
package aside

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// prefix begins the names of the folders, kept those of the ones that are kept.
const (
	prefix = "airlock-packing-"
	kept   = "airlock-packed-"
)

// Folder is a folder of this process. It holds a lock on it, where the file system
// knows locks: elsewhere nobody removes the folder if this process does not.
type Folder struct {
	Path string
	lock *os.File // nil: none
}

// Make makes a folder in the folder in. It has to be removed or kept.
func Make(in string) (*Folder, error) {
	for {
		path, err := os.MkdirTemp(in, prefix+"*")
		if err != nil {
			return nil, err
		}
		lock, err := lockFolder(path)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return &Folder{filepath.Clean(path), lock}, nil
		}
		// Who removes abandoned folders has taken it for one.
	}
}

// Remove removes the folder with all that is in it. It may be called again.
func (f *Folder) Remove() error {
	defer f.lock.Close()
	return os.RemoveAll(f.Path)
}

// Keep gives the folder another name, if it can, so that nobody takes it for one
// that was left behind, and returns its path.
func (f *Folder) Keep() string {
	defer f.lock.Close()
	path := filepath.Join(filepath.Dir(f.Path), kept+strings.TrimPrefix(filepath.Base(f.Path), prefix))
	if os.Rename(f.Path, path) != nil {
		return f.Path
	}
	return path
}

// lockFolder opens and locks a folder that nobody else holds.
func lockFolder(path string) (*os.File, error) {
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

// RemoveAbandoned removes the folders that Make made in a folder for this user, of
// processes that have ended without removing them. It returns those that are gone;
// one that cannot be removed is left.
func RemoveAbandoned(in string) []string {
	var gone []string
	entries, err := os.ReadDir(in)
	if err != nil {
		return nil // whoever makes a folder there finds out
	}
	for _, e := range entries {
		path := filepath.Join(in, e.Name())
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.IsDir() {
			continue
		}
		lock, err := lockFolder(path)
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
