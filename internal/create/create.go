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
	"os"
	"strings"
	"time"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// ErrRejected is wrapped where a place gives other images than were pinned.
var ErrRejected = errors.New("rejected")

// ErrNoPlatform is wrapped where a platform is wanted of an image that says of
// nothing for which platform it is.
var ErrNoPlatform = errors.New("the image names no platform")

// Source is an image in the place where it is found.
type Source interface {
	// Resolve returns the descriptor of the image's index or manifest.
	Resolve(ctx context.Context) (oci.Descriptor, error)
	// Document returns an index or a manifest that has d's size and digest.
	Document(ctx context.Context, d oci.Descriptor) ([]byte, error)
	// Open returns the bytes [from, to) of a blob. Their digest is for the
	// caller to check. A place that can only give whole blobs returns an error
	// that wraps oci.ErrNoRanges for anything else.
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

// readableSink is a Sink whose volumes can be read while they are written,
// though it is no volume.Place.
type readableSink interface {
	ReadBack(name string) (io.ReaderAt, error)
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

// Pack says how blobs are packed.
type Pack int

// The ways of packing.
const (
	Fast  Pack = iota // as they are
	Small             // as what they decompress to, copied from all that came before where it can be
	Auto              // whichever gets the release to the far side sooner
)

// Options say how to write a bundle.
type Options struct {
	VolumeSize int64 // bytes; zero: volume.DefaultSize
	Pack       Pack
	Bases      *archive.Bases // of Small and Auto; the far side must have them
	Link       int64          // of Auto: bytes a second of the slowest part of the journey
	Meets      bool           // of Auto: what is packed is on its way while more is packed
	Spool      string         // of Small and Auto: a folder for a few blobs at a time, and for one as it is packed
	Parity     volume.Protection
	Signatures []Signature
	Progress   progress.Sink
}

// Result tells of a bundle that was written.
type Result struct {
	Manifest *manifest.Manifest
	Root     manifest.Digest // of SHA256SUMS
	Sums     manifest.Sums   // what it lists
	Packings []archive.Packing
}

// Contents is what a release was found to consist of. It is made by Collect
// and gone through by Write.
type Contents struct {
	release Release
	images  []manifest.Image
	items   []item // every document and blob once, in the order of the space
	notes   []string
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

// Notes returns what was left out and why, for people.
func (c *Contents) Notes() []string { return c.notes }

// Write fetches and packs the contents and writes the bundle's files to sink,
// SHA256SUMS last.
func (c *Contents) Write(ctx context.Context, sink Sink, o Options) (*Result, error) {
	m := c.manifest()
	if o.Bases != nil {
		m.Bases = o.Bases.Manifest()
	}
	layout := volume.Layout{Stem: Stem(m.Release, m.Version), Size: o.volumeSize()}
	if err := c.check(m, layout, o.Signatures); err != nil {
		return nil, err
	}
	w := writing{contents: c, sink: sink, options: o}
	set, err := w.volumes(ctx, layout)
	if err == nil {
		err = w.protectBehind(ctx, set, layout)
	}
	if err != nil {
		return nil, err
	}
	m.Bases, m.Volumes, m.Index, m.Parity = w.bases, set.Volumes, w.index, set.Parity
	root, err := seal(sink, m, set, o.Signatures)
	if err != nil {
		return nil, err
	}
	return &Result{Manifest: m, Root: root, Sums: set.Sums, Packings: w.packings}, nil
}

func (c *Contents) manifest() *manifest.Manifest { return c.release.manifest(c.images) }

func (r *Release) manifest(images []manifest.Image) *manifest.Manifest {
	m := &manifest.Manifest{
		Format:      manifest.Format,
		Release:     r.Name,
		Version:     r.Version,
		Stream:      r.Stream,
		Epoch:       r.Epoch,
		Sequence:    r.Sequence,
		Created:     manifest.FormatTime(r.Created),
		Images:      images,
		BlockSize:   manifest.BlockSize,
		Annotations: r.Annotations,
	}
	if !r.Expires.IsZero() {
		m.Expires = manifest.FormatTime(r.Expires)
	}
	return m
}

// writing is the writing of one bundle's volumes.
type writing struct {
	contents *Contents
	sink     Sink
	options  Options
	index    manifest.Extent
	bases    []manifest.Base
	packings []archive.Packing
}

// volumes writes the space: all documents and blobs, then the index.
func (w *writing) volumes(ctx context.Context, layout volume.Layout) (*volume.Set, error) {
	space, err := volume.NewWriter(layout, w.sink.Create)
	if err != nil {
		return nil, err
	}
	if err = w.protect(ctx, space); err == nil {
		err = w.space(ctx, space)
	}
	set, closeErr := space.Close()
	if err != nil {
		return nil, err
	}
	return set, closeErr
}

func (w *writing) space(ctx context.Context, space *volume.Writer) error {
	var scratch *os.File
	if !w.options.Plain() {
		var err error
		if scratch, err = unnamed(w.options.Spool); err != nil {
			return err
		}
		defer scratch.Close()
	}
	out, err := w.archive(space, scratch)
	if err != nil {
		return err
	}
	defer out.Close()
	if w.options.Plain() {
		err = w.fast(ctx, out)
	} else {
		err = w.small(ctx, out)
	}
	if err != nil {
		return err
	}
	if w.index, err = out.Finish(); err != nil {
		return w.contents.explain(err)
	}
	w.bases, w.packings = out.Bases(), out.Packings()
	return nil
}

func (w *writing) archive(space *volume.Writer, scratch archive.Scratch) (*archive.Writer, error) {
	if w.options.Plain() {
		if w.options.Bases.Empty() {
			return archive.NewWriter(space)
		}
		return archive.NewBasedWriter(space, w.options.Bases)
	}
	switch to := w.sink.(type) {
	case volume.Place:
		space.ReadBack(to.Open)
	case readableSink:
		space.ReadBack(to.ReadBack)
	default:
		return nil, errors.New("packing small reads back what was written, which takes a folder or a file to write to")
	}
	return archive.NewSmallWriter(space, scratch, w.options.Bases, deltaMemory(w.contents.Size()+w.options.Bases.Size()))
}

// fast packs every item as it is, unless a base has it.
func (w *writing) fast(ctx context.Context, out *archive.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	fetched := fetch(ctx, w.wanted())
	defer fetched.stop(cancel)
	total := w.options.Progress.Start("packing", w.contents.Size())
	defer total.Done()
	for _, it := range w.contents.items {
		if based, err := out.AddBased(it.Digest); err != nil {
			return it.explain(err)
		} else if based {
			total.Add(it.Size)
			continue
		}
		if err := out.Add(it.Digest, it.Size, fetched.next(it, total)); err != nil {
			return w.contents.explain(it.explain(err))
		}
	}
	return nil
}

// wanted returns the items that no base has.
func (w *writing) wanted() []item {
	if w.options.Bases.Empty() {
		return w.contents.items
	}
	var all []item
	for _, it := range w.contents.items {
		if !w.options.Bases.Has(it.Digest) {
			all = append(all, it)
		}
	}
	return all
}

// explain says which image an error is about that names a blob: it may come
// while another is packed.
func (c *Contents) explain(err error) error {
	var wrong *archive.OtherBytesError
	if errors.As(err, &wrong) {
		for _, it := range c.items {
			if it.Digest == wrong.Digest {
				return it.explain(wrong)
			}
		}
	}
	return err
}

// explain says which image an item's error is about.
func (it item) explain(err error) error {
	if errors.Is(err, archive.ErrMismatch) {
		err = fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return about(it.image, err)
}

// about says which image an error is about. A place that was asked for the image
// by that name has said it already.
func about(image string, err error) error {
	if rest, ok := strings.CutPrefix(err.Error(), image); ok && (rest == "" || rest[0] == ':' || rest[0] == '@') {
		return err
	}
	return fmt.Errorf("%s: %w", image, err)
}
