package transfer

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// MaxTarFile is the most bytes that one file of a tar stream may have: a tar
// header tells the size, so a file is held in memory until it is complete.
const MaxTarFile = 64 << 20

// tarChunk is the step in which memory for a file is taken.
const tarChunk = 1 << 20

// tarHeader is how many bytes stand in front of a file's own.
const tarHeader = 512

// Tar writes the files of a bundle to a stream in tar form (POSIX.1-1988
// USTAR): the same names and bytes as in a folder. Headers say mode 0644,
// mtime 0, owner 0, so that equal files in equal order give equal streams.
//
// Its methods may be called by several goroutines; files stand in the stream
// in the order in which they were closed.
type Tar struct {
	mu   sync.Mutex
	w    *tar.Writer
	back *os.File // nil, or the file that w writes to
	err  error    // the first of the stream's: nothing can follow it
}

// NewTar returns a Tar that writes to w.
func NewTar(w io.Writer) *Tar { return &Tar{w: tar.NewWriter(w)} }

// Create returns a writer of a file of at most MaxTarFile bytes: more is an
// error of Write, and the file is then left out of the stream.
func (t *Tar) Create(name string) (io.WriteCloser, error) { return t.create(name) }

func (t *Tar) create(name string) (*tarFile, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return &tarFile{t: t, name: name}, nil
}

// Put adds a file.
func (t *Tar) Put(name string, data []byte) error {
	f, err := t.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Close()
}

// PutFrom adds a file of size bytes that r gives, however large. A reader that
// gives fewer is an error, after which nothing can follow.
func (t *Tar) PutFrom(name string, size int64, r io.Reader) error {
	if err := CheckName(name); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.write(name, size, nil)
	}
	if t.err == nil {
		_, t.err = io.CopyN(t.w, r, size)
	}
	if t.err == nil {
		t.err = t.w.Flush()
	}
	if t.err != nil {
		return fmt.Errorf("writing %q to the tar stream: %w", name, explain(t.err))
	}
	return nil
}

// Close writes the end of the archive. A stream without it is incomplete.
func (t *Tar) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	t.err = fs.ErrClosed
	if err := t.w.Close(); err != nil {
		return fmt.Errorf("ending the tar stream: %w", explain(err))
	}
	return nil
}

// add writes a file, and returns where its bytes begin if that can be read.
func (t *Tar) add(f *tarFile) (at int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && t.back != nil {
		at, t.err = t.back.Seek(0, io.SeekCurrent)
	}
	if t.err == nil {
		t.err = t.write(f.name, f.size, f.chunks)
	}
	if t.err != nil {
		return 0, fmt.Errorf("writing %q to the tar stream: %w", f.name, explain(t.err))
	}
	return at + tarHeader, nil
}

func (t *Tar) write(name string, size int64, chunks [][]byte) error {
	err := t.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatUSTAR,
	})
	for i := 0; i < len(chunks) && err == nil; i++ {
		_, err = t.w.Write(chunks[i])
	}
	if err == nil && len(chunks) > 0 {
		err = t.w.Flush()
	}
	return err
}

// tarFile is one file, in memory until it is closed.
type tarFile struct {
	t    *Tar
	name string
	err  error

	mu     sync.Mutex // guards what is read back
	size   int64
	chunks [][]byte
	stands bool // in t.back
	at     int64
}

func (f *tarFile) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if int64(len(b)) > MaxTarFile-f.size {
		f.chunks = nil
		f.err = fmt.Errorf("writing %q to the tar stream: %w: at most %d bytes a file (choose smaller volumes)",
			f.name, ErrTooLarge, MaxTarFile)
		return 0, f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(b)
	f.size += int64(n)
	for len(b) > 0 {
		if len(f.chunks) == 0 || len(f.chunks[len(f.chunks)-1]) == tarChunk {
			f.chunks = append(f.chunks, make([]byte, 0, tarChunk))
		}
		last := &f.chunks[len(f.chunks)-1]
		k := min(len(b), tarChunk-len(*last))
		*last = append(*last, b[:k]...)
		b = b[k:]
	}
	return n, nil
}

func (f *tarFile) Close() error {
	if f.err != nil {
		return f.err
	}
	f.err = fs.ErrClosed
	at, err := f.t.add(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chunks, f.at, f.stands = nil, at, true
	return err
}
