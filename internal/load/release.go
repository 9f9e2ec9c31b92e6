// Package load brings the images of a verified bundle to a destination: blobs
// first, then documents by digest, then names, so that a release appears whole
// or not at all; and asks the destination afterwards what it has.
//
// It is fed by an *archive.Reader alone, which exists only over a
// *manifest.Verified: nothing unproven can be loaded.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// ErrRejected is wrapped where a bundle's images are not what its manifest says.
var ErrRejected = errors.New("rejected")

// Release is the images of a verified bundle, checked against their documents:
// every document and blob that an image reaches is in the bundle, and its
// manifest lists just these.
type Release struct {
	Manifest *manifest.Manifest
	Images   []Image
	blobs    *archive.Reader
	turns    chan struct{} // of those who read rebuilt blobs
}

// Image is one image of a release with all its documents.
type Image struct {
	Names     []string         // host/path:tag or, untagged, host/path
	Root      oci.Descriptor   // the index or manifest the names stand for
	Platforms []string         // os/architecture[/variant]
	Nodes     []oci.Node       // every document, the referrers' too, in an order in which they can be pushed
	Blobs     []oci.Descriptor // every config and layer, the referrers' too, by digest
	Referrers []manifest.Referrer
}

// NewRelease reads the documents of every image from the bundle and checks
// them against the manifest. Errors wrap ErrRejected or the archive's own.
func NewRelease(ctx context.Context, blobs *archive.Reader) (*Release, error) {
	r := &Release{Manifest: blobs.Manifest(), blobs: blobs, turns: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)/2))}
	for i := range r.Manifest.Images {
		listed := &r.Manifest.Images[i]
		image, err := r.image(ctx, listed)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", listed.Names[0], err)
		}
		r.Images = append(r.Images, *image)
	}
	return r, r.checkAll()
}

func (r *Release) image(ctx context.Context, listed *manifest.Image) (*Image, error) {
	image := &Image{
		Names:     listed.Names,
		Root:      descriptor(listed.Root),
		Platforms: listed.Platforms,
		Referrers: listed.Referrers,
	}
	roots := []oci.Descriptor{image.Root}
	for _, referrer := range listed.Referrers {
		roots = append(roots, descriptor(referrer.Descriptor))
	}
	nodes, blobs := map[manifest.Digest]oci.Node{}, map[manifest.Digest]oci.Descriptor{}
	for i, root := range roots {
		closure, err := oci.Walk(ctx, root, r.fetch)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if err := r.checkRoot(listed, closure); err != nil {
				return nil, err
			}
		}
		for _, node := range closure.Nodes {
			nodes[node.Digest] = node
		}
		for _, blob := range closure.Blobs {
			blobs[blob.Digest] = blob
		}
	}
	return image, image.fill(listed, nodes, blobs)
}

// fill takes the documents and blobs that were reached, in the order that is
// listed, and refuses a list that is not just these.
func (image *Image) fill(listed *manifest.Image, nodes map[manifest.Digest]oci.Node, blobs map[manifest.Digest]oci.Descriptor) error {
	for _, digest := range listed.Manifests {
		node, ok := nodes[digest]
		if !ok {
			return fmt.Errorf("%w: document %s is listed (perhaps twice) but nothing points to it", ErrRejected, digest)
		}
		delete(nodes, digest)
		image.Nodes = append(image.Nodes, node)
	}
	for _, digest := range listed.Blobs {
		blob, ok := blobs[digest]
		if !ok {
			return fmt.Errorf("%w: blob %s is listed (perhaps twice) but no document points to it", ErrRejected, digest)
		}
		delete(blobs, digest)
		image.Blobs = append(image.Blobs, blob)
	}
	for digest := range nodes {
		return fmt.Errorf("%w: document %s belongs to the image but is not listed", ErrRejected, digest)
	}
	for digest := range blobs {
		return fmt.Errorf("%w: blob %s belongs to the image but is not listed", ErrRejected, digest)
	}
	if err := image.checkOrder(); err != nil {
		return err
	}
	return image.checkReferrers()
}

// fetch is oci.Fetch over the bundle.
func (r *Release) fetch(_ context.Context, d oci.Descriptor) ([]byte, error) {
	return r.Read(d)
}

// Read returns a whole document or config of the release, proven.
func (r *Release) Read(d oci.Descriptor) ([]byte, error) {
	if d.Size > oci.MaxConfig {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read whole", ErrRejected, d.Digest, d.Size, oci.MaxConfig)
	}
	blob, err := r.Open(d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	data := make([]byte, d.Size)
	if _, err := io.ReadFull(blob, data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	return data, nil
}

// Open returns a blob's bytes. The reader fails before it hands out the last
// byte unless they have the blob's digest.
func (r *Release) Open(d oci.Descriptor) (io.ReadCloser, error) {
	if size, ok := r.blobs.Size(d.Digest); !ok || size != d.Size {
		return nil, fmt.Errorf("%w: blob %s with %d bytes is not in the bundle", ErrRejected, d.Digest, d.Size)
	}
	return r.blobs.Open(d.Digest)
}

// Turn waits, as long as ctx lasts, until a blob may be read by one of several
// goroutines that read side by side; done is to be called when it was. Few are
// rebuilt at a time: several cores work on each, and the more there are the more
// often the pages that they copy from are dropped and decoded again.
func (r *Release) Turn(ctx context.Context, d oci.Descriptor) (done func(), err error) {
	if !r.blobs.Rebuilt(d.Digest) {
		return func() {}, nil
	}
	select {
	case r.turns <- struct{}{}: // a free one is taken whatever ctx says
	default:
		select {
		case r.turns <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { <-r.turns }, nil
}

// ReadAt fills p with a blob's bytes from offset off, proven by the blocks
// they stand in but not by the blob's digest. Past the end it returns io.EOF.
func (r *Release) ReadAt(d oci.Descriptor, p []byte, off int64) (int, error) {
	return r.blobs.ReadAt(d.Digest, p, off)
}

// OpenContent returns what a gzip blob decompresses to, and its size in bytes,
// if the bundle has the blob as that. The reader fails before it hands out the
// last byte unless they have the content's digest.
func (r *Release) OpenContent(d oci.Descriptor) (content io.ReadCloser, size int64, ok bool) {
	return r.blobs.OpenContent(d.Digest)
}

// Blobs returns every config and layer of all images once, by digest.
func (r *Release) Blobs() []oci.Descriptor {
	var all []oci.Descriptor
	for _, image := range r.Images {
		all = append(all, image.Blobs...)
	}
	slices.SortStableFunc(all, func(a, b oci.Descriptor) int { return a.Digest.Compare(b.Digest) })
	return slices.CompactFunc(all, func(a, b oci.Descriptor) bool { return a.Digest == b.Digest })
}

func descriptor(d manifest.Descriptor) oci.Descriptor {
	return oci.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType}
}
