package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Resolve returns the media type, digest and size of what the reference stood
// for when the layout was opened.
func (s *Source) Resolve(ctx context.Context) (oci.Descriptor, error) {
	return s.root, ctx.Err()
}

// Document returns the bytes of an index or manifest, which have d's size and
// digest. Other bytes, or more than oci.MaxDocument, are an error that wraps
// ErrRejected; a document that is not in the layout wraps fs.ErrNotExist.
func (s *Source) Document(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.document(d)
}

func (s *Source) document(d oci.Descriptor) ([]byte, error) {
	raw, err := readFile(s.fsys, blobPath(d.Digest), oci.MaxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("document %s is missing (some tools leave out the platforms that they were not asked for): %w", d.Digest, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	if int64(len(raw)) != d.Size {
		return nil, fmt.Errorf("reading %s: %w: got %d bytes, want %d", d.Digest, ErrRejected, len(raw), d.Size)
	}
	if got := manifest.DigestOf(raw); got != d.Digest {
		return nil, fmt.Errorf("reading %s: %w: its bytes have the digest %s", d.Digest, ErrRejected, got)
	}
	return raw, nil
}

// Open returns the bytes [from,to) of a blob, unproven but for the blob's size.
// A blob that got shorter since is io.ErrUnexpectedEOF; ctx is asked before
// every read.
func (s *Source) Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
	if from < 0 || from > to || to > d.Size {
		return nil, fmt.Errorf("opening %s: no bytes %d to %d in a blob of %d", d.Digest, from, to, d.Size)
	}
	f, size, err := openFile(s.fsys, blobPath(d.Digest))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", d.Digest, err)
	}
	at, ok := f.(io.ReaderAt)
	switch {
	case size != d.Size:
		err = fmt.Errorf("opening %s: %w: got %d bytes, want %d", d.Digest, ErrRejected, size, d.Size)
	case !ok:
		err = fmt.Errorf("opening %s: %T cannot be read at random", d.Digest, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &part{ctx: ctx, file: f, body: io.NewSectionReader(at, from, to-from), left: to - from}, nil
}

// part is a run of bytes of an open file.
type part struct {
	ctx  context.Context
	file fs.File
	body io.Reader
	left int64
}

func (p *part) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	p.left -= int64(n)
	if errors.Is(err, io.EOF) && p.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *part) Close() error { return p.file.Close() }
