package layout

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/transfer"
)

// put writes a file of size bytes: under another name, to the disk, and only
// then under its own. The folder is not synced. On failure nothing is left.
func (w *writer) put(ctx context.Context, name string, size int64, r io.Reader) error {
	temporary := path.Join(path.Dir(name), ours+"-"+path.Base(name)+partial)
	f, err := w.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = fill(ctx, &early{f: f}, r, size)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = w.root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), w.root.Remove(temporary))
	}
	return nil
}

// early hands on what it writes to write-back on the way. It hides the file's
// ReadFrom, which would take a buffer of its own.
type early struct {
	f               *os.File
	written, kicked int64
}

func (e *early) Write(p []byte) (int, error) {
	n, err := e.f.Write(p)
	e.written += int64(n)
	e.kicked = transfer.WriteBack(e.f, e.kicked, e.written)
	return n, err
}

// bufferSize is how much is copied at once, in bytes.
const bufferSize = 256 << 10

// fill copies just size bytes.
func fill(ctx context.Context, f io.Writer, r io.Reader, size int64) error {
	n, err := io.CopyBuffer(f, &part{ctx: ctx, body: io.LimitReader(r, size+1), left: size}, make([]byte, min(bufferSize, size+1)))
	if err == nil && n != size {
		err = fmt.Errorf("got more than %d bytes", size)
	}
	return err
}

// hasDigest reports whether a blob is there with its size and SHA-256.
func hasDigest(ctx context.Context, fsys fs.FS, blob oci.Descriptor) (bool, error) {
	f, size, err := openFile(fsys, blobPath(blob.Digest))
	if err != nil {
		return false, err
	}
	defer f.Close()
	if size != blob.Size {
		return false, nil
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(h, &part{ctx: ctx, body: f, left: size}, make([]byte, min(bufferSize, size+1))); err != nil {
		return false, fmt.Errorf("reading %s: %w", blob.Digest, err)
	}
	return manifest.Digest(h.Sum(nil)) == blob.Digest, nil
}

func (w *writer) syncDir(name string) error {
	d, err := w.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
