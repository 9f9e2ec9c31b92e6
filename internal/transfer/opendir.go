package transfer

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Folder is the files of a folder, to be read. It is an fs.FS, fs.ReadDirFS
// and fs.StatFS without sub-folders. Every file that it opens is an
// io.ReaderAt, and a regular one: a link, FIFO or device is listed, but
// opening it is an error wrapping ErrNotRegular, and never waits.
type Folder struct{ place place }

// OpenDir returns the files of the folder at path.
func OpenDir(path string) (*Folder, error) {
	p, err := openPlace(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	return &Folder{p}, nil
}

// Open opens a file of the folder, or with "." the folder itself.
func (f *Folder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return f.place.open()
	}
	if name != filepath.Base(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	var file fs.File
	err := f.place.with(func(dirfd int) error {
		r, err := openRegular(dirfd, name, unix.O_RDONLY)
		if err != nil {
			return &fs.PathError{Op: "open", Path: name, Err: explain(err)}
		}
		file = &opened{File: r}
		return nil
	})
	return file, err
}

// ReadDir lists the folder, sorted by name. Only "." is a folder here.
func (f *Folder) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	d, err := f.place.open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	list, err := d.ReadDir(-1)
	sortEntries(list)
	return list, err
}

// Stat tells of a file without following a link.
func (f *Folder) Stat(name string) (fs.FileInfo, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return file.Stat()
}

func sortEntries(list []fs.DirEntry) {
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
