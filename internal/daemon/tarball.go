package daemon

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// file is a file of the tar that is sent.
type file struct {
	name string
	size int64
	// open returns the bytes: just size of them, or an error before the last.
	open func(context.Context) (io.ReadCloser, error)
}

// fileOf returns a file that is in memory.
func fileOf(name string, data []byte) file {
	return file{name, int64(len(data)), func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// tarball is a tar that is made while it is read; no copy of it is kept. Its
// last file is opened only when hold has returned, so that nothing can take
// what was read before for a whole tar's meaning.
type tarball struct {
	ctx    context.Context
	files  []file
	hold   func(context.Context) error
	memory bytes.Reader  // headers and padding, to be read first
	data   io.ReadCloser // of the file under way
	left   int64         // bytes of data
	next   int           // file
	err    error         // sticky: why it did not come to its end
}

func newTarball(ctx context.Context, files []file, hold func(context.Context) error) *tarball {
	return &tarball{ctx: ctx, files: files, hold: hold}
}

// Read returns the tar's bytes. A file that is not what it should be, or a
// cancelled context, is an error, and the tar has no end then.
func (t *tarball) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.read(p)
	if err != nil {
		t.err = err
		t.closeFile()
	}
	return n, err
}

func (t *tarball) read(p []byte) (int, error) {
	for {
		if t.memory.Len() > 0 {
			return t.memory.Read(p)
		}
		if t.data == nil {
			if err := t.advance(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := t.data.Read(p[:min(int64(len(p)), t.left)])
		t.left -= int64(n)
		if t.left == 0 && (err == nil || errors.Is(err, io.EOF)) {
			size := t.files[t.next-1].size
			t.memory.Reset(make([]byte, -size&(blockSize-1)))
			t.closeFile()
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

const blockSize = 512 // of a tar (POSIX.1-1988, ustar)

// advance begins the next file or, behind the last, the end of the tar.
func (t *tarball) advance() error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	switch last := len(t.files) - 1; {
	case t.next == last+1:
		t.next++
		t.memory.Reset(make([]byte, 2*blockSize))
		return nil
	case t.next > last:
		return io.EOF
	case t.next == last:
		if err := t.hold(t.ctx); err != nil {
			return err
		}
	}
	f := t.files[t.next]
	header, err := headerOf(f)
	if err != nil {
		return fmt.Errorf("file %q: %w", f.name, err)
	}
	data, err := f.open(t.ctx)
	if err != nil {
		return err
	}
	t.next++
	t.memory.Reset(header)
	t.left = f.size
	if t.data = data; f.size > 0 {
		return nil
	}
	// An empty file is judged too.
	var one [1]byte
	if n, err := data.Read(one[:]); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("file %q: not empty: %w", f.name, err)
	}
	t.closeFile()
	return nil
}

func (t *tarball) closeFile() {
	if t.data != nil {
		t.data.Close()
		t.data = nil
	}
}

func headerOf(f file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size, Mode: 0o644})
	return b.Bytes(), err
}
