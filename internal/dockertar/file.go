package dockertar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airlock/internal/human"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// maxWindow bounds the memory in bytes that a zstd file may ask for; zstd's
// own command line refuses more than 128 MiB too, without --long.
const maxWindow = 128 << 20

// OpenFile opens an archive of docker save for Open. One that is compressed by
// gzip or zstd is decompressed to a file without a name in spoolDir, which is
// gone when the Closer is closed or the program ends; it is refused
// before that if less than twice its size is free there, and a full disk is
// an error that wraps syscall.ENOSPC. Errors about the archive wrap
// tarfs.ErrMalformed, io.ErrUnexpectedEOF or the decoder's.
func OpenFile(ctx context.Context, path, spoolDir string) (fs.FS, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	kind, err := sniff(f)
	if err == nil && kind != plain {
		var spool *os.File
		spool, err = decompress(ctx, f, kind, spoolDir)
		f.Close()
		f = spool
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, nil, fmt.Errorf("opening %q: %w", path, err)
	}
	fsys, err := index(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("opening %q: %w", path, err)
	}
	return fsys, f, nil
}

func index(f *os.File) (*tarfs.FS, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return tarfs.NewWithLinks(f, info.Size())
}

// decompress returns what f holds as a file in dir that has no name any more,
// or nil and an error.
func decompress(ctx context.Context, f *os.File, kind compression, dir string) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkSpace(dir, info.Size()); err != nil {
		return nil, err
	}
	r, err := kind.reader(&stoppable{ctx, io.NewSectionReader(f, 0, info.Size())})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	defer r.Close()
	spool, err := os.CreateTemp(dir, ".airlock-*.partial")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(spool.Name()); err != nil {
		spool.Close()
		return nil, err
	}
	if _, err := io.Copy(spool, r); err != nil {
		spool.Close()
		if errors.Is(err, syscall.ENOSPC) {
			return nil, fmt.Errorf("decompressing: %q is full: %w", dir, err)
		}
		return nil, fmt.Errorf("decompressing %s: %w", kind, err)
	}
	return spool, nil
}

// checkSpace refuses a folder with less than twice size bytes free.
func checkSpace(dir string, size int64) error {
	free, err := transfer.FreeSpace(dir)
	if err != nil {
		return err
	}
	if free/2 < size {
		return fmt.Errorf("decompressing: %q has %s free, and what is compressed to %s needs twice as much or more: %w",
			filepath.Clean(dir), human.Bytes(free), human.Bytes(size), syscall.ENOSPC)
	}
	return nil
}

// compression is how a file is compressed.
type compression int

const (
	plain compression = iota
	gzipped
	zstdCompressed
)

func (c compression) String() string { return [...]string{"plain", "gzip", "zstd"}[c] }

// suffix returns what image-spec's layer.md adds to a layer's media type.
func (c compression) suffix() string { return [...]string{"", "+gzip", "+zstd"}[c] }

func (c compression) reader(r io.Reader) (io.ReadCloser, error) {
	if c == gzipped {
		return gzip.NewReader(r)
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// sniff tells by the first bytes: RFC 1952 section 2.3.1, RFC 8878 section 3.1.1.
func sniff(r io.ReaderAt) (compression, error) {
	var magic [4]byte
	n, err := r.ReadAt(magic[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return plain, err
	case bytes.HasPrefix(magic[:n], []byte{0x1f, 0x8b}):
		return gzipped, nil
	case bytes.Equal(magic[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstdCompressed, nil
	}
	return plain, nil
}

// stoppable asks ctx before every read.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// file is an open file of an archive.
type file interface {
	io.ReaderAt
	io.Closer
}

type nopCloser struct{ io.ReaderAt }

func (nopCloser) Close() error { return nil }

// openFile opens a regular file of the archive for random access.
func openFile(fsys fs.FS, name string) (file, int64, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrInvalid) {
		return nil, 0, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	random, ok := f.(file)
	if !info.Mode().IsRegular() || !ok {
		f.Close()
		return nil, 0, fmt.Errorf("%w: %q is not a regular file", ErrRejected, name)
	}
	return random, info.Size(), nil
}
