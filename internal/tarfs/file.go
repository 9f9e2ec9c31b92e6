package tarfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
)

var (
	_ fs.ReadDirFS = (*FS)(nil)
	_ fs.StatFS    = (*FS)(nil)
)

// Open opens a file or directory. A regular file is an io.ReaderAt and an
// io.Seeker besides; a directory is an fs.ReadDirFile.
func (fsys *FS) Open(name string) (fs.File, error) {
	n, err := fsys.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.IsDir() {
		return &openDir{node: n}, nil
	}
	return &File{node: n, body: io.NewSectionReader(fsys.r, n.offset, n.size)}, nil
}

// ReadDir returns the entries of a directory, sorted by name.
func (fsys *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := fsys.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return n.entries(), nil
}

// Stat returns what Open(name).Stat() would.
func (fsys *FS) Stat(name string) (fs.FileInfo, error) { return fsys.find("stat", name) }

func (fsys *FS) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n, ok := fsys.nodes[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (n *node) entries() []fs.DirEntry {
	all := make([]fs.DirEntry, len(n.children))
	for i, child := range n.children {
		all[i] = child
	}
	return all
}

// File is an open regular file. ReadAt may be used by several goroutines.
type File struct {
	node *node
	body *io.SectionReader
}

var _ interface {
	fs.File
	io.ReaderAt
	io.Seeker
} = (*File)(nil)

// Stat returns the file's size and time; the mode is that of a regular file.
func (f *File) Stat() (fs.FileInfo, error) { return f.node, nil }

// Close does nothing: the archive stays open.
func (f *File) Close() error { return nil }

// Seek is io.Seeker's.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.body.Seek(offset, whence) }

// Read returns io.EOF at the end of the file and io.ErrUnexpectedEOF where the
// archive has become shorter than it was when it was indexed.
func (f *File) Read(p []byte) (int, error) {
	n, err := f.body.Read(p)
	if at, _ := f.body.Seek(0, io.SeekCurrent); errors.Is(err, io.EOF) && at < f.node.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadAt is io.ReaderAt's, with Read's errors.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.body.ReadAt(p, off)
	if errors.Is(err, io.EOF) && off < f.node.size && off+int64(n) < f.node.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type openDir struct {
	node *node
	next int
}

var _ fs.ReadDirFile = (*openDir)(nil)

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.name, Err: errors.New("is a directory")}
}

func (d *openDir) ReadDir(count int) ([]fs.DirEntry, error) {
	rest := d.node.entries()[d.next:]
	if count > 0 && len(rest) == 0 {
		return nil, io.EOF
	}
	if count > 0 {
		rest = rest[:min(count, len(rest))]
	}
	d.next += len(rest)
	return slices.Clone(rest), nil
}
