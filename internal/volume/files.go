package volume

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"time"
)

// Files returns the files of the bundle in fsys: volumes and parity read
// through r, so that every byte is proven, and mended if need be, before it is
// handed out, and the small files as they were proven.
func (r *Reader) Files(fsys fs.FS) fs.FS { return provenFiles{fsys, r} }

type provenFiles struct {
	fs.FS
	r *Reader
}

// Open opens a file; a proven one is an io.ReaderAt.
func (p provenFiles) Open(name string) (fs.File, error) {
	if text, ok := p.r.verified.Text(name); ok {
		return &provenFile{SectionReader: io.NewSectionReader(bytes.NewReader(text), 0, int64(len(text))), name: name}, nil
	}
	for i := range p.r.files {
		if s := &p.r.files[i]; s.name == name {
			return &provenFile{SectionReader: io.NewSectionReader(s.reader(p.r), 0, s.size), name: name}, nil
		}
	}
	return p.FS.Open(name)
}

// reader reads the file's proven bytes.
func (s *section) reader(r *Reader) io.ReaderAt { return sectionReader{r, s} }

type sectionReader struct {
	r *Reader
	s *section
}

func (f sectionReader) ReadAt(p []byte, off int64) (int, error) {
	read := 0
	for read < len(p) {
		if off >= f.s.size {
			return read, io.EOF
		}
		n, err := f.r.copyBlock(p[read:], f.s, off, nil)
		if err != nil {
			return read, err
		}
		read, off = read+n, off+int64(n)
	}
	return read, nil
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
