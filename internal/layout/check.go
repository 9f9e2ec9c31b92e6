package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/oci"
)

// Check implements load.Destination. It reads index.json back and sees that it
// has every entry; hashes every document, and every blob that p says was read
// from the bundle; and asks for the size of all other blobs. Whatever is not
// as it should be wraps ErrRejected.
func (d *Destination) Check(ctx context.Context, r *load.Release, p *load.Plan) error {
	if err := d.check(ctx, r, p); err != nil {
		return fmt.Errorf("layout %q: %w", d.dir, err)
	}
	return nil
}

func (d *Destination) check(ctx context.Context, r *load.Release, p *load.Plan) error {
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkEntries(root, r); err != nil {
		return err
	}
	var hashed []oci.Descriptor
	hashed = append(hashed, p.Reads...)
	for _, image := range r.Images {
		for _, n := range image.Nodes {
			hashed = append(hashed, n.Descriptor)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, blob := range hashed {
		group.Go(func() error {
			same, err := hasDigest(ctx, root.FS(), blob)
			if err == nil && !same {
				err = errors.New("has other bytes than were written")
			}
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%w: %s: %w", ErrRejected, blob.Digest, err)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, blob := range p.Present {
		if !hasSize(root, blob) {
			return fmt.Errorf("%w: %s is not there with %d bytes", ErrRejected, blob.Digest, blob.Size)
		}
	}
	return nil
}

func checkEntries(root *os.Root, r *load.Release) error {
	want, err := wanted(r)
	if err != nil {
		return err
	}
	if err := checkMark(root.FS()); err != nil {
		return err
	}
	raw, err := readFile(root.FS(), indexName, oci.MaxDocument)
	if err != nil {
		return err
	}
	x, err := parseIndex(raw)
	if err != nil {
		return err
	}
	for _, w := range want {
		if !x.has(w) {
			return fmt.Errorf("%w: %s does not have %s as %q", ErrRejected, indexName, w.Digest, w.name)
		}
	}
	return nil
}
