// Package create makes a bundle of a release: it finds all that belongs to
// each image, fetches every blob once, side by side and in bounded memory,
// and writes them in one pass as volumes with the signed texts behind them.
//
// Nothing is taken on trust from where an image comes: documents and blobs
// have to have the digests that the pinned root leads to. A bundle is whole
// once SHA256SUMS stands, which is written last; the same inputs give the same
// bytes.
package create

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// ErrRejected is wrapped where a place gives other images than were pinned.
var ErrRejected = errors.New("rejected")

// ErrNoRanges is wrapped by a Source's Open when it can only give whole blobs.
var ErrNoRanges = errors.New("parts of a blob cannot be had")

// Source is an image in the place where it is found.
type Source interface {
	// Resolve returns the descriptor of the image's index or manifest.
	Resolve(ctx context.Context) (oci.Descriptor, error)
	// Document returns an index or a manifest that has d's size and digest.
	Document(ctx context.Context, d oci.Descriptor) ([]byte, error)
	// Open returns the bytes [from, to) of a blob. Their digest is for the
	// caller to check.
	Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error)
	// Referrers returns what refers to a document.
	Referrers(ctx context.Context, subject oci.Descriptor) ([]manifest.Referrer, error)
}

// Sink takes the files of a bundle.
type Sink interface {
	// Create takes a file of unknown size; Close makes it durable.
	Create(name string) (io.WriteCloser, error)
	// Put takes a small file, which appears whole or not at all.
	Put(name string, data []byte) error
}

// Signer signs SHA256SUMS for a principal.
type Signer interface {
	Sign(namespace string, message []byte) (armored []byte, err error)
}

// Signature is somebody's signature to be made.
type Signature struct {
	Principal string
	Signer    Signer
}

// Image is a pinned image and what it shall be called at the far side.
type Image struct {
	Source    Source
	Names     []string       // host/path:tag or host/path
	Platforms []oci.Platform // none: the image as it is, with all its platforms
}

// Release is what goes into a bundle, and what the bundle says of itself.
type Release struct {
	Name, Version, Stream string
	Epoch, Sequence       uint64
	Created               time.Time
	Expires               time.Time // zero: never
	Annotations           map[string]string
	Images                []Image
}

// Options say how to write a bundle.
type Options struct {
	VolumeSize int64 // bytes; zero: volume.DefaultSize
	Signatures []Signature
	Progress   progress.Sink
}

// Result tells of a bundle that was written.
type Result struct {
	Manifest *manifest.Manifest
	Root     manifest.Digest // of SHA256SUMS
	Packings []archive.Packing
}

// Contents is what a release was found to consist of. It is made by Collect
// and gone through by Write.
type Contents struct {
	release Release
	images  []manifest.Image
	items   []item // every document and blob once, in the order of the space
}

// Size returns how many bytes of documents and blobs there are.
func (c *Contents) Size() int64 {
	var sum int64
	for _, it := range c.items {
		sum += it.Size
	}
	return sum
}

// Images returns what the manifest will say of each image.
func (c *Contents) Images() []manifest.Image { return c.images }

// MaxBundleSize returns an upper bound of the bundle's bytes, for a check of
// the space it will take.
func (c *Contents) MaxBundleSize() int64 {
	size := c.Size()
	const perItem, perFrame = 1024, 16
	return size + size/(2<<20)*perFrame + size/manifest.BlockSize*32 + int64(len(c.items))*perItem + 1<<20
}

// Write fetches and packs the contents and writes the bundle's files to sink,
// SHA256SUMS last.
func (c *Contents) Write(ctx context.Context, sink Sink, o Options) (*Result, error) {
	if len(o.Signatures) == 0 {
		return nil, errors.New("a bundle needs a signature")
	}
	m := c.manifest()
	layout := volume.Layout{Stem: Stem(m.Release, m.Version), Size: o.VolumeSize}
	if layout.Size == 0 {
		layout.Size = volume.DefaultSize
	}
	set, index, err := c.writeVolumes(ctx, sink, layout, o.Progress)
	if err != nil {
		return nil, err
	}
	m.Volumes, m.Index = set.Volumes, index
	root, err := seal(sink, m, set, o.Signatures)
	if err != nil {
		return nil, err
	}
	return &Result{Manifest: m, Root: root}, nil
}

func (c *Contents) manifest() *manifest.Manifest {
	r := c.release
	m := &manifest.Manifest{
		Format:      manifest.Format,
		Release:     r.Name,
		Version:     r.Version,
		Stream:      r.Stream,
		Epoch:       r.Epoch,
		Sequence:    r.Sequence,
		Created:     manifest.FormatTime(r.Created),
		Images:      c.images,
		BlockSize:   manifest.BlockSize,
		Annotations: r.Annotations,
	}
	if !r.Expires.IsZero() {
		m.Expires = manifest.FormatTime(r.Expires)
	}
	return m
}

// writeVolumes writes the space: all documents and blobs, then the index.
func (c *Contents) writeVolumes(ctx context.Context, sink Sink, layout volume.Layout, show progress.Sink) (_ *volume.Set, _ manifest.Extent, err error) {
	volumes, err := volume.NewWriter(layout, sink.Create)
	if err != nil {
		return nil, manifest.Extent{}, err
	}
	index, err := c.writeSpace(ctx, volumes, show)
	set, closeErr := volumes.Close()
	if err := errors.Join(err, closeErr); err != nil {
		return nil, manifest.Extent{}, err
	}
	return set, index, nil
}

func (c *Contents) writeSpace(ctx context.Context, space io.Writer, show progress.Sink) (manifest.Extent, error) {
	w, err := archive.NewWriter(space)
	if err != nil {
		return manifest.Extent{}, err
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	fetched := fetch(ctx, c.items)
	defer fetched.stop(cancel)
	total := show.Start("packing", c.Size())
	defer total.Done()
	for _, it := range c.items {
		r := fetched.next(it, total)
		if err := w.Add(it.Digest, it.Size, r); err != nil {
			if errors.Is(err, archive.ErrMismatch) {
				err = fmt.Errorf("%w: %w", ErrRejected, err)
			}
			return manifest.Extent{}, fmt.Errorf("%s: %w", it.image, err)
		}
	}
	return w.Finish()
}
