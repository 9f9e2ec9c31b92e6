package load

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// ErrMoves is wrapped where names stand for other images at the destination
// and nobody has asked to move them.
var ErrMoves = errors.New("names stand for other images there")

// wholeFirst is the size in bytes up to which a bundle's volumes, and its
// contents, are proven whole before its destination is touched. Larger ones are
// proven as they flow, so that no stick is read twice, and the contents of a
// delta, which may be far larger than itself, are decoded only once.
const wholeFirst = 64 << 20

// Options say how to load.
type Options struct {
	Retag    bool // names may move from other images
	DryRun   bool // stop after the plan
	Progress progress.Sink
}

// Result tells what was loaded, or would be.
type Result struct {
	Release *Release
	Plan    *Plan
}

// Run loads the images of a bundle into a destination and has it answer for
// them. After an error no name at the destination has moved, unless it is a
// *PartlyNamedError or the final check that failed.
func Run(ctx context.Context, blobs *archive.Reader, to Destination, o Options) (*Result, error) {
	if err := blobs.Complete(); err != nil {
		return nil, err
	}
	if err := proveFirst(ctx, blobs); err != nil {
		return nil, err
	}
	release, err := NewRelease(ctx, blobs)
	if err != nil {
		return nil, err
	}
	plan, err := to.Plan(ctx, release)
	if err != nil {
		return nil, err
	}
	result := &Result{Release: release, Plan: plan}
	if o.DryRun {
		return result, nil
	}
	if err := plan.checkMoves(o.Retag); err != nil {
		return result, err
	}
	if err := to.Load(ctx, release, plan, o.Progress); err != nil {
		return result, err
	}
	return result, to.Check(ctx, release, plan)
}

// proveFirst proves what is proven before the destination is touched. What can be
// mended is, blob by blob, as in a larger bundle.
func proveFirst(ctx context.Context, blobs *archive.Reader) error {
	var err error
	switch {
	case blobs.Space().Size() > wholeFirst:
	case blobs.ContentSize() > wholeFirst:
		err = blobs.Space().Verify(ctx, progress.Discard, func([]byte) error { return nil })
	default:
		err = blobs.Verify(ctx, progress.Discard)
	}
	if damage := (*volume.Damage)(nil); errors.As(err, &damage) && damage.Mendable() {
		return nil
	}
	return err
}

// Moves returns the names that stand for other images now.
func (p *Plan) Moves() []Name {
	var all []Name
	for _, n := range p.Names {
		if n.Moves() {
			all = append(all, n)
		}
	}
	return all
}

func (p *Plan) checkMoves(retag bool) error {
	moves := p.Moves()
	if retag || len(moves) == 0 {
		return nil
	}
	var lines []string
	for _, n := range moves {
		lines = append(lines, fmt.Sprintf("%s: from %s to %s", n.Name, n.Old, n.New))
	}
	return fmt.Errorf("%w:\n%s", ErrMoves, strings.Join(lines, "\n"))
}

// Size returns the bytes of the blobs together.
func Size(blobs []oci.Descriptor) int64 {
	var sum int64
	for _, d := range blobs {
		sum += d.Size
	}
	return sum
}

// checkAll refuses an archive with blobs that no image has.
func (r *Release) checkAll() error {
	known := map[manifest.Digest]bool{}
	for _, image := range r.Images {
		for _, n := range image.Nodes {
			known[n.Digest] = true
		}
		for _, b := range image.Blobs {
			known[b.Digest] = true
		}
	}
	for _, p := range r.blobs.Packings() {
		if !known[p.Digest] {
			return fmt.Errorf("%w: blob %s belongs to no image", ErrRejected, p.Digest)
		}
	}
	return nil
}
