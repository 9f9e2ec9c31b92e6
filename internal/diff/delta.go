package diff

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// Delta is what a bundle of To's images carries that is based on From.
type Delta struct {
	Exact    bool  `json:"exact"` // To is such a bundle; otherwise it is an estimate
	Bytes    int64 `json:"bytes"` // of the volumes
	NewBlobs int   `json:"newBlobs"`
	NewBytes int64 `json:"newBytes"` // of To's blobs and documents that From has not, whole
}

// An estimate tries up to so many pages. Of more, it tries one in so many that
// this is enough.
const maxTried = 512

// Memory in bytes for the table of From's contents.
const (
	minMemory = 8 << 20
	maxMemory = 256 << 20
)

// perBlob is about what an index takes for a blob, in bytes.
const perBlob = 64

// delta tells what a delta carries, and of it each of To's blobs.
func (c *comparing) delta(ctx context.Context, d *Delta) (map[manifest.Digest]int64, error) {
	fresh := c.fresh()
	d.NewBlobs = len(fresh)
	for _, b := range fresh {
		d.NewBytes += b.Size
	}
	if Based(c.to.blobs, c.from.blobs) {
		d.Exact, d.Bytes = true, c.to.blobs.Manifest().SpaceSize()
		packed := map[manifest.Digest]int64{}
		for _, p := range c.to.blobs.Packings() {
			packed[p.Digest] = p.Packed
		}
		return packed, nil
	}
	return c.estimate(ctx, d, fresh)
}

// Based reports whether a bundle is based on another one. If not, comparing
// them estimates a delta, which takes the memory of packing small.
func Based(to, from *archive.Reader) bool {
	root := from.Verified().Root()
	return slices.ContainsFunc(to.Manifest().Bases, func(b manifest.Base) bool { return b.Root == root })
}

// fresh returns To's blobs and documents that From has not, each once.
func (c *comparing) fresh() []oci.Descriptor {
	var all []oci.Descriptor
	seen := map[manifest.Digest]bool{}
	add := func(d oci.Descriptor) {
		if _, has := c.from.blobs.Size(d.Digest); !has && !seen[d.Digest] {
			seen[d.Digest] = true
			all = append(all, d)
		}
	}
	for _, image := range c.to.release.Images {
		for _, n := range image.Nodes {
			add(n.Descriptor)
		}
		for _, b := range image.Blobs {
			add(b)
		}
	}
	return all
}

// estimate finds copies for To's blobs in From, as packing a delta would.
func (c *comparing) estimate(ctx context.Context, d *Delta, fresh []oci.Descriptor) (map[manifest.Digest]int64, error) {
	bases := archive.NewBases(c.from.blobs)
	w, err := archive.NewEstimator(bases, int(min(max(2*bases.Size(), minMemory), maxMemory)))
	if err != nil {
		return nil, err
	}
	task := c.options.Progress.Start("estimating a delta", d.NewBytes)
	defer task.Done()
	e := estimating{comparing: c, try: w.Estimate, every: 1 + pages(fresh)/maxTried, task: task}
	carried := map[manifest.Digest]int64{}
	for _, blob := range fresh {
		n, err := e.blob(ctx, blob)
		if err != nil {
			return nil, err
		}
		carried[blob.Digest] = n
		d.Bytes += n
	}
	d.Bytes += perBlob * int64(len(c.to.blobs.Packings()))
	return carried, nil
}

// pages returns about how many pages the contents of blobs have.
func pages(blobs []oci.Descriptor) int64 {
	var bytes int64
	for _, d := range blobs {
		bytes += 3 * d.Size // about what gzip does
	}
	return bytes / archive.FrameSize
}

// estimating is the making of one estimate.
type estimating struct {
	*comparing
	try   func(page []byte) (int, error)
	every int64 // one in so many pages is tried
	task  progress.Task
}

// blob returns about how many bytes a blob takes in a delta: never more than
// it has.
func (e *estimating) blob(ctx context.Context, d oci.Descriptor) (int64, error) {
	defer e.task.Add(d.Size)
	if strings.HasSuffix(d.MediaType, "zstd") {
		return d.Size, nil // packed as it is
	}
	in, err := openContent(ctx, e.to.release, d)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	n, unreadable, err := e.content(in)
	if err == nil {
		err = in.failed(unreadable)
	}
	if err != nil {
		return 0, err
	}
	if unreadable != nil {
		n = d.Size
	}
	return min(n, d.Size), in.finish()
}

// content tries one in so many pages of a content, the first one always. The
// second error is about the older bundle.
func (e *estimating) content(in io.Reader) (estimated int64, unreadable, err error) {
	var size, tried, packed int64
	page := make([]byte, archive.FrameSize)
	for i := int64(0); ; i++ {
		n, err := io.ReadFull(in, page)
		size += int64(n)
		if n > 0 && i%e.every == 0 {
			bytes, err := e.try(page[:n])
			if err != nil {
				return 0, nil, err
			}
			tried, packed = tried+int64(n), packed+int64(bytes)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return 0, err, nil
		}
	}
	if tried == 0 {
		return 0, nil, nil
	}
	return int64(float64(size) * float64(packed) / float64(tried)), nil, nil
}
