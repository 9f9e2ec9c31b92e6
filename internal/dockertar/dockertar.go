// Package dockertar shows a file as "docker save" writes it as an OCI image.
//
// From version 25 on Docker writes an OCI image layout with a manifest.json
// beside it; then the layout counts, so that the digest is the one that Docker
// shows. The older form, which podman, skopeo and crane write too, has no OCI
// manifest: one is made here, from the config and the layers, always the same
// bytes for the same image. Its layers keep their bytes: those that are not
// compressed have the digests that the config gives as diff_ids, others are
// hashed.
package dockertar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"airlock/internal/layout"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// ErrRejected is wrapped where an archive is malformed or has other bytes than
// its digests say. It is package layout's.
var ErrRejected = layout.ErrRejected

// Source is one image of an archive. It is safe for use by several goroutines.
type Source struct {
	form
}

// form is what both forms of the archive answer.
type form interface {
	Resolve(ctx context.Context) (oci.Descriptor, error)
	Document(ctx context.Context, d oci.Descriptor) ([]byte, error)
	Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error)
	Referrers(ctx context.Context, subject oci.Descriptor) ([]manifest.Referrer, error)
	Names() []string
}

var (
	_ form = (*layout.Source)(nil)
	_ form = (*classic)(nil)
)

// Open finds an image in an archive; fsys is what OpenFile returns. The
// reference is one of the image's tags as the archive has it, or the full name
// that it means (docker.io/library/alpine:3 for alpine:3); "@sha256:…" of the
// image's manifest or, in the older form, of its config, which is the image ID
// that Docker shows; both as name@sha256:…; or empty if there is just one image.
// Errors wrap ErrRejected where the archive is not sound or another digest was
// pinned; a reference that is not there is an error that lists what is.
func Open(fsys fs.FS, reference string) (*Source, error) {
	_, err := fs.Stat(fsys, "oci-layout")
	switch {
	case err == nil:
		s, err := layout.Open(fsys, reference)
		if err != nil {
			return nil, err
		}
		return &Source{s}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	s, err := openClassic(fsys, reference)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	return &Source{s}, nil
}
