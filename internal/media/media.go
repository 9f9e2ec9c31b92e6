// Package media opens the files of a bundle wherever they are: in a folder, in
// a tar file, or on their way through a pipe. What it gives is unproven.
package media

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// FS is the files of a bundle; each is an io.ReaderAt as well.
type FS interface {
	fs.FS
	io.Closer
}

type closing struct {
	fs.FS
	closer io.Closer
}

func (c closing) Close() error { return c.closer.Close() }

// Open opens the bundle at path, a folder or a tar file.
func Open(path string) (FS, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		folder, err := transfer.OpenDir(path)
		return closing{folder, io.NopCloser(nil)}, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is neither a folder nor a tar file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return openTar(f)
}

func openTar(f *os.File) (FS, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	files, err := tarfs.New(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %q as a tar file: %w", f.Name(), err)
	}
	return closing{files, f}, nil
}

// Receive takes a bundle in tar form from a stream. A stream that is a file is
// read where it is; any other is spooled to an unnamed file in the folder
// spool, whose free space is checked before each file of the bundle.
func Receive(stream io.Reader, spool string) (FS, error) {
	if f, ok := stream.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return openTar(f)
		}
	}
	f, err := os.CreateTemp(spool, ".airlock-spool-*")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(f.Name()), copyTar(f, stream, spool)); err != nil {
		f.Close()
		return nil, err
	}
	return openTar(f)
}

// copyTar copies a tar stream to its end.
func copyTar(dst io.Writer, stream io.Reader, spool string) error {
	in := tar.NewReader(io.TeeReader(stream, dst))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(dst, stream)
			return err
		}
		if err != nil {
			return fmt.Errorf("reading the stream as a tar file: %w", err)
		}
		if err := checkSpace(spool, header.Size); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return fmt.Errorf("receiving %q: %w", header.Name, err)
		}
	}
}

func checkSpace(dir string, size int64) error {
	free, err := transfer.FreeSpace(dir)
	if err != nil {
		return err
	}
	if free < size {
		return fmt.Errorf("%q has %d bytes free, and the next file of the stream needs %d", dir, free, size)
	}
	return nil
}
