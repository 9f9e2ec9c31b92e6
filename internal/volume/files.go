package volume

import (
	"io"
	"io/fs"
	"path"
	"time"
)

// Files returns the files of the bundle in fsys with the volumes among them
// read through r: every byte of a volume is proven before it is handed out.
func (r *Reader) Files(fsys fs.FS) fs.FS { return provenFiles{fsys, r} }

type provenFiles struct {
	fs.FS
	r *Reader
}

// Open opens a file; a volume's is an io.ReaderAt.
func (p provenFiles) Open(name string) (fs.File, error) {
	for i := range p.r.volumes {
		if s := &p.r.volumes[i]; s.name == name {
			return &provenFile{SectionReader: io.NewSectionReader(p.r, s.start, s.size), name: name}, nil
		}
	}
	return p.FS.Open(name)
}

type provenFile struct {
	*io.SectionReader
	name string
}

func (f *provenFile) Close() error               { return nil }
func (f *provenFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *provenFile) Name() string               { return path.Base(f.name) }
func (f *provenFile) Mode() fs.FileMode          { return 0o444 }
func (f *provenFile) ModTime() time.Time         { return time.Time{} }
func (f *provenFile) IsDir() bool                { return false }
func (f *provenFile) Sys() any                   { return nil }
