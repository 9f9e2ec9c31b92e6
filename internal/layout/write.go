package layout

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// Load implements load.Destination. When it fails, index.json is as it was and
// no unfinished file is left; if the layout was begun by this Load and holds
// no blob yet, nothing of it is left.
func (d *Destination) Load(ctx context.Context, r *load.Release, p *load.Plan, show progress.Sink) error {
	if err := d.load(ctx, r, p, show); err != nil {
		return fmt.Errorf("layout %q: %w", d.dir, err)
	}
	return nil
}

func (d *Destination) load(ctx context.Context, r *load.Release, p *load.Plan, show progress.Sink) (err error) {
	made, err := makeDir(d.dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	lock, err := acquire(ctx, root, show)
	if err != nil {
		return errors.Join(err, removeDir(d.dir, made))
	}
	w := &writer{root: root, release: r, plan: p, show: show}
	if err = w.run(ctx); err != nil {
		w.undo()
	}
	err = errors.Join(err, lock.release())
	if err != nil {
		return errors.Join(err, removeDir(d.dir, made))
	}
	return nil
}

// writer writes one release, with the layout's lock held.
type writer struct {
	root    *os.Root
	release *load.Release
	plan    *load.Plan
	show    progress.Sink
	begun   bool // there was no layout before
}

const partial = ".partial"

func (w *writer) run(ctx context.Context) error {
	want, err := wanted(w.release)
	if err != nil {
		return err
	}
	old, err := survey(w.root.FS())
	if err != nil {
		return err
	}
	if err := w.checkUnmoved(old, want); err != nil {
		return err
	}
	next, err := old.with(want)
	if err != nil {
		return err
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.blobs(ctx, w.unproven(old, want)); err != nil {
		return err
	}
	if err := w.documents(ctx); err != nil {
		return err
	}
	for _, dir := range []string{blobsDir, "blobs", "."} {
		if err := w.syncDir(dir); err != nil {
			return err
		}
	}
	if _, err := w.root.Lstat(indexName); next == old && err == nil {
		return nil
	}
	text := next.marshal()
	if err := w.put(ctx, indexName, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	return w.syncDir(".")
}

// checkUnmoved refuses to go on where names stand for something else than they
// did when the plan was made and judged.
func (w *writer) checkUnmoved(old *index, want []wish) error {
	planned := map[string]load.Name{}
	for _, n := range w.plan.Names {
		planned[n.Name] = n
	}
	for _, wish := range want {
		n, ok := planned[wish.name]
		if now := old.standsFor(wish); ok && now != n.Old && now != n.New {
			return fmt.Errorf("%q was moved to %s by somebody else meanwhile", n.Name, now)
		}
	}
	return nil
}

// unproven returns the blobs that were there before and that entries reach
// which are new.
func (w *writer) unproven(old *index, want []wish) map[manifest.Digest]bool {
	fresh := map[manifest.Digest]bool{}
	for _, wish := range want {
		if !old.has(wish) {
			fresh[wish.Digest] = true
		}
	}
	all := map[manifest.Digest]bool{}
	for _, image := range w.release.Images {
		if !slices.ContainsFunc(image.Nodes, func(n oci.Node) bool { return fresh[n.Digest] }) {
			continue
		}
		for _, blob := range image.Blobs {
			all[blob.Digest] = true
		}
	}
	return all
}

// blobs writes those that lack, and hashes those that are there and unproven;
// side by side, the largest first.
func (w *writer) blobs(ctx context.Context, unproven map[manifest.Digest]bool) error {
	lacking := map[manifest.Digest]bool{}
	for _, blob := range w.plan.Reads {
		lacking[blob.Digest] = true
	}
	blobs := w.release.Blobs()
	slices.SortStableFunc(blobs, func(a, b oci.Descriptor) int { return cmp.Compare(b.Size, a.Size) })
	task := w.show.Start("blobs to the layout", load.Size(w.plan.Reads))
	defer task.Done()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(4, runtime.GOMAXPROCS(0))) // some wait for the disk
	for _, blob := range blobs {
		// What lacked may have come meanwhile, from another load.
		doubted := lacking[blob.Digest] || unproven[blob.Digest]
		group.Go(func() error {
			there, err := w.holds(ctx, blob, doubted)
			if err != nil || there {
				return err
			}
			return w.blob(ctx, blob, task)
		})
	}
	return group.Wait()
}

// holds reports whether a blob is there; one that is doubted, with its digest.
func (w *writer) holds(ctx context.Context, blob oci.Descriptor, doubted bool) (bool, error) {
	if !hasSize(w.root, blob) {
		return false, nil
	}
	if !doubted {
		return true, nil
	}
	return hasDigest(ctx, w.root.FS(), blob)
}

func (w *writer) blob(ctx context.Context, blob oci.Descriptor, task progress.Task) error {
	done, err := w.release.Turn(ctx, blob)
	if err != nil {
		return err
	}
	defer done()
	r, err := w.release.Open(blob)
	if err != nil {
		return err
	}
	err = w.put(ctx, blobPath(blob.Digest), blob.Size, &reporting{r, task})
	return errors.Join(err, r.Close())
}

type reporting struct {
	r    io.Reader
	task progress.Task
}

func (r *reporting) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.task.Add(int64(n))
	return n, err
}

// documents writes every index and manifest that is not there with its bytes.
func (w *writer) documents(ctx context.Context) error {
	nodes := map[manifest.Digest]oci.Node{}
	for _, image := range w.release.Images {
		for _, n := range image.Nodes {
			nodes[n.Digest] = n
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	for _, n := range nodes {
		group.Go(func() error {
			if same, err := hasDigest(ctx, w.root.FS(), n.Descriptor); err == nil && same {
				return nil
			}
			return w.put(ctx, blobPath(n.Digest), int64(len(n.Raw)), bytes.NewReader(n.Raw))
		})
	}
	return group.Wait()
}
