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

	"airlock/internal/human"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// FS is the files of a bundle; each is an io.ReaderAt as well.
type FS interface {
	fs.FS
	io.Closer
}

// ErrNoBundle is wrapped where there is something, but nothing that a bundle
// could be: neither a folder nor a tar file.
var ErrNoBundle = errors.New("no bundle: neither a folder nor a tar file")

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
		return nil, fmt.Errorf("%q is %w", path, ErrNoBundle)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return openTar(f, fmt.Sprintf("%q", path))
}

// stdin is what a stream is called, wherever it is spooled.
const stdin = "standard input"

func openTar(f *os.File, name string) (FS, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	files, err := tarfs.New(f, info.Size())
	if err != nil {
		isTar := beginsAsTar(f)
		f.Close()
		if !isTar {
			return nil, fmt.Errorf("%s is %w", name, ErrNoBundle)
		}
		return nil, fmt.Errorf("reading %s as a tar file: %w", name, err)
	}
	return closing{files, f}, nil
}

// beginsAsTar reports whether a file has the magic of a tar header (POSIX pax,
// "ustar Interchange Format"; GNU tar's begins alike).
func beginsAsTar(r io.ReaderAt) bool {
	var magic [5]byte
	_, err := r.ReadAt(magic[:], 257)
	return err == nil && string(magic[:]) == "ustar"
}

// Receive takes a bundle in tar form from a stream. A stream that is a file is
// read where it is; any other is spooled to an unnamed file in the folder
// spool, whose free space is checked before each file of the bundle.
func Receive(stream io.Reader, spool string) (FS, error) {
	if f, ok := stream.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return openTar(f, stdin)
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
	return openTar(f, stdin)
}

// maxTail is how many bytes may follow the two blocks that end a tar stream: as
// many as tarfs takes.
const maxTail = tarfs.MaxPadding

// copyTar copies a tar stream to its end.
func copyTar(dst io.Writer, stream io.Reader, spool string) error {
	in := tar.NewReader(io.TeeReader(stream, dst))
	for first := true; ; first = false {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return copyTail(dst, stream)
		}
		if first && (errors.Is(err, tar.ErrHeader) || err == io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s is %w", stdin, ErrNoBundle)
		}
		if err != nil {
			return fmt.Errorf("reading %s as a tar file: %w", stdin, err)
		}
		if err := checkSpace(spool, header.Size); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return fmt.Errorf("receiving %q: %w", header.Name, err)
		}
	}
}

// copyTail copies what follows a tar archive, which is for tarfs to judge, and
// refuses more than that would take.
func copyTail(dst io.Writer, stream io.Reader) error {
	n, err := io.CopyN(dst, stream, maxTail+1)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("reading %s as a tar file: %w: %d bytes and more behind its end", stdin, tarfs.ErrMalformed, n)
	}
	return err
}

func checkSpace(dir string, size int64) error {
	free, err := transfer.FreeSpace(dir)
	if err != nil {
		return err
	}
	if free < size {
		return fmt.Errorf("%w: %q has %s free, and the next file of the stream takes %s", transfer.ErrFull, dir, human.Bytes(free), human.Bytes(size))
	}
	return nil
}
