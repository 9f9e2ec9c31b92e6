package transfer

import (
	"io/fs"
	"slices"
	"strings"
)

// Listed is the files of a place of which it is known which it has: far away,
// asking for one that is not there takes as long as for one that is. It is an
// fs.FS, fs.ReadDirFS and fs.StatFS.
type Listed struct {
	fs.FS
	list []fs.DirEntry
	has  map[string]bool // in small letters: some file systems do not tell them from large ones
}

// List lists the files of a place.
func List(files fs.FS) (*Listed, error) {
	list, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	l := &Listed{files, list, map[string]bool{}}
	for _, e := range list {
		l.has[strings.ToLower(e.Name())] = true
	}
	return l, nil
}

// known returns fs.ErrNotExist for what the place does not have.
func (l *Listed) known(op, name string) error {
	if name == "." || l.has[strings.ToLower(name)] {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Open opens a file, or with "." the folder itself.
func (l *Listed) Open(name string) (fs.File, error) {
	if err := l.known("open", name); err != nil {
		return nil, err
	}
	return l.FS.Open(name)
}

// Stat tells of a file, or of ".".
func (l *Listed) Stat(name string) (fs.FileInfo, error) {
	if err := l.known("stat", name); err != nil {
		return nil, err
	}
	return fs.Stat(l.FS, name)
}

// ReadDir lists the folder as it was, sorted by name. Only "." is a folder here.
func (l *Listed) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return slices.Clone(l.list), nil
}
