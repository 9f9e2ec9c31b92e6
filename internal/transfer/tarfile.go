package transfer

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// TarFile is a Tar in a file, whose files can be read while they are written.
type TarFile struct {
	*Tar
	mu    sync.Mutex
	files map[string]*tarFile
}

// NewTarFile returns a TarFile that writes to f, which is open for reading too.
func NewTarFile(f *os.File) *TarFile {
	t := &TarFile{Tar: NewTar(f), files: map[string]*tarFile{}}
	t.back = f
	return t
}

// Create is Tar's.
func (t *TarFile) Create(name string) (io.WriteCloser, error) {
	f, err := t.create(name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files[name] = f
	return f, nil
}

// ReadBack returns a file that Create was called for, to be read while it is
// still being written.
func (t *TarFile) ReadBack(name string) (io.ReaderAt, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[name]
	if f == nil {
		return nil, fmt.Errorf("reading %q back: %w", name, fs.ErrNotExist)
	}
	return tarBack{f}, nil
}

// tarBack reads what was written of a file so far.
type tarBack struct{ f *tarFile }

func (r tarBack) ReadAt(p []byte, off int64) (int, error) {
	f := r.f
	f.mu.Lock()
	if f.stands {
		f.mu.Unlock()
		return io.NewSectionReader(f.t.back, f.at, f.size).ReadAt(p, off)
	}
	defer f.mu.Unlock()
	read := 0
	for read < len(p) && off < f.size {
		n := copy(p[read:], f.chunks[off/tarChunk][off%tarChunk:])
		read, off = read+n, off+int64(n)
	}
	if read < len(p) {
		return read, io.EOF
	}
	return read, nil
}
