// Package archive keeps blobs in one random-access space of bytes: every blob
// is a content or a recipe over one, every content is a list of frames, and an
// index at the end of the space lists them all. FORMAT.md is the
// specification.
//
//	blob ──recipe──▶ content ──▶ frame, frame, …
//
// A Writer proves each blob's SHA-256 before it counts as written. A Reader
// exists only over a *volume.Reader, which proves every block, and proves each
// blob again before it hands out its last byte.
package archive

import (
	"errors"
	"fmt"

	"airlock/internal/manifest"
)

// ErrMalformed is wrapped where a space's index or a frame is not what the
// format allows. Only a signer can cause it.
var ErrMalformed = errors.New("malformed archive")

// ErrMismatch is wrapped where bytes do not have the digest that names them.
var ErrMismatch = errors.New("wrong bytes")

// OtherBytesError says that the bytes that were given for a blob have another
// digest. It wraps ErrMismatch.
type OtherBytesError struct{ Digest, Got manifest.Digest }

func (e *OtherBytesError) Error() string {
	return fmt.Sprintf("%s: %s: they have %s", e.Digest, ErrMismatch, e.Got)
}

func (e *OtherBytesError) Unwrap() error { return ErrMismatch }
