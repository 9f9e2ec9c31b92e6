package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// Load implements load.Destination. Nothing is tagged before every blob and
// document is there. Cosign's tags come before the images' names.
func (d *Destination) Load(ctx context.Context, r *load.Release, p *load.Plan, show progress.Sink) error {
	targets, err := d.surveyed(ctx, r)
	if err != nil {
		return err
	}
	if err := d.uploadAll(ctx, r, targets, show.Start("blobs to "+d.host, load.Size(p.Reads))); err != nil {
		return err
	}
	steps := []func(*target, context.Context) error{
		(*target).pushManifests,
		(*target).pushIndexes,
		(*target).pushLists,
		(*target).pushExtra,
	}
	for _, step := range steps {
		group, pushing := errgroup.WithContext(ctx)
		group.SetLimit(d.client.options.Parallel)
		for _, t := range targets {
			group.Go(func() error { return step(t, pushing) })
		}
		if err := group.Wait(); err != nil {
			return d.partlyNamed(p, targets, err)
		}
	}
	for _, t := range targets {
		if err := t.pushTags(ctx, t.names); err != nil {
			return d.partlyNamed(p, targets, err)
		}
	}
	return nil
}

// partlyNamed has an error tell which names were set before it.
func (d *Destination) partlyNamed(p *load.Plan, targets []*target, err error) error {
	at := map[string]manifest.Digest{}
	for _, t := range targets {
		for _, tag := range slices.Concat(t.extra, t.names) {
			at[d.nameOf(t, tag)] = t.standsFor(tag.name)
		}
	}
	return p.PartlyNamed(err, func(n load.Name) bool { return at[n.Name] == n.New })
}

// nameOf returns a tag's name in a plan.
func (d *Destination) nameOf(t *target, tag tag) string {
	return d.host + "/" + t.path + ":" + tag.name
}

// uploads is the uploading of a release's blobs.
type uploads struct {
	*Destination
	open func(oci.Descriptor) (io.ReadCloser, error)
	task progress.Task
}

// uploadAll brings every blob to where it lacks, the largest first.
func (d *Destination) uploadAll(ctx context.Context, r *load.Release, targets []*target, task progress.Task) error {
	defer task.Done()
	u := &uploads{Destination: d, open: r.Open, task: task}
	blobs := r.Blobs()
	slices.SortStableFunc(blobs, func(a, b oci.Descriptor) int { return cmp.Compare(b.Size, a.Size) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.client.options.Parallel)
	for _, blob := range blobs {
		group.Go(func() error {
			done, err := r.Turn(ctx, blob)
			if err != nil {
				return err
			}
			defer done()
			return u.place(ctx, blob, targets)
		})
	}
	return group.Wait()
}

// place brings a blob to every target that lacks it: from another target by a
// mount, else from the bundle.
func (u *uploads) place(ctx context.Context, blob oci.Descriptor, targets []*target) error {
	var from *target
	var lacking []*target
	for _, t := range targets {
		if _, needed := t.blobs[blob.Digest]; !needed {
			continue
		}
		if t.holds(blob.Digest) {
			from = t
		} else {
			lacking = append(lacking, t)
		}
	}
	for _, t := range lacking {
		session, done, err := t.mount(ctx, blob, from)
		if err == nil && !done {
			err = u.upload(ctx, t, blob, session)
		}
		if err != nil {
			return t.errorf("blob "+blob.Digest.String(), err)
		}
		t.took(blob.Digest)
		from = t
	}
	return nil
}

// mount asks the registry to take a blob from one of its other repositories
// (distribution-spec, "Mounting a blob from another repository"). If it will
// not, it may have opened an upload instead, whose address is the session.
// That it refuses is no error: then the blob is uploaded.
func (t *target) mount(ctx context.Context, blob oci.Descriptor, from *target) (session string, done bool, err error) {
	if from == nil {
		return "", false, nil
	}
	query := url.Values{"mount": {blob.Digest.String()}, "from": {from.path}}
	post := call{
		method: http.MethodPost,
		url:    t.repo.url("blobs", "uploads", "?"+query.Encode()),
		want:   []int{http.StatusCreated, http.StatusAccepted},
	}
	err = t.repo.client.retry(ctx, func() error {
		resp, err := t.repo.send(ctx, post)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if done = resp.StatusCode == http.StatusCreated; !done {
			session, err = location(resp)
		}
		return err
	})
	var status *statusError
	if errors.As(err, &status) && !codeMayPass(status.code) {
		return "", false, nil
	}
	return session, done, err
}

// location returns the address that an answer names for the next step of an
// upload (distribution-spec, "Pushing blobs").
func location(resp *http.Response) (string, error) {
	named := resp.Header.Get("Location")
	if named == "" {
		return "", finalError{errors.New("the registry opened an upload but did not say where")}
	}
	u, err := resp.Request.URL.Parse(named)
	if err != nil {
		return "", finalError{fmt.Errorf("the registry sends the upload to %q", clean(named))}
	}
	return u.String(), nil
}

// upload sends a blob from the bundle, in one request after the one that opens
// the upload, or in the older way of three requests where the registry takes
// no other. Each try reads the blob from its start.
func (u *uploads) upload(ctx context.Context, t *target, blob oci.Descriptor, session string) error {
	source := &bundled{open: func() (io.ReadCloser, error) { return u.open(blob) }, task: u.task}
	return u.client.retry(ctx, func() error {
		to := session
		session = "" // good for one try
		err := u.try(ctx, t, blob, upload{source: source, session: to})
		if failed := source.failure(); failed != nil {
			return finalError{failed}
		}
		return err
	})
}

// upload is one try to upload a blob.
type upload struct {
	source  *bundled
	session string // where to; empty: not opened
}

func (u *uploads) try(ctx context.Context, t *target, blob oci.Descriptor, up upload) error {
	if !u.takesPatches() {
		err := t.put(ctx, blob, up, up.source.body)
		if !isStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusLengthRequired,
			http.StatusUnsupportedMediaType, http.StatusNotImplemented) {
			return err
		}
		up.session = ""
	}
	return u.patch(ctx, t, blob, up)
}

func (u *uploads) takesPatches() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.patches
}

// patch sends a blob by POST, PATCH and PUT.
func (u *uploads) patch(ctx context.Context, t *target, blob oci.Descriptor, up upload) error {
	if up.session == "" {
		var err error
		if up.session, err = t.start(ctx); err != nil {
			return err
		}
	}
	resp, err := t.repo.send(ctx, call{
		method: http.MethodPatch,
		url:    up.session,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   up.source.body,
		size:   blob.Size,
		want:   []int{http.StatusAccepted, http.StatusNoContent, http.StatusCreated},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if up.session, err = location(resp); err != nil {
		return err
	}
	if err := t.put(ctx, oci.Descriptor{Digest: blob.Digest}, up, nil); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.patches = true
	return nil
}

// start opens an upload and returns its address.
func (t *target) start(ctx context.Context) (string, error) {
	resp, err := t.repo.send(ctx, call{method: http.MethodPost, url: t.repo.url("blobs", "uploads", ""), want: []int{http.StatusAccepted}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return location(resp)
}

// put ends an upload with the last bytes, if any, and the digest.
func (t *target) put(ctx context.Context, blob oci.Descriptor, up upload, body func() io.ReadCloser) error {
	if up.session == "" {
		var err error
		if up.session, err = t.start(ctx); err != nil {
			return err
		}
	}
	u, err := url.Parse(up.session)
	if err != nil {
		return finalError{err}
	}
	query := u.Query()
	query.Set("digest", blob.Digest.String())
	u.RawQuery = query.Encode()
	resp, err := t.repo.send(ctx, call{
		method: http.MethodPut,
		url:    u.String(),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   body,
		size:   blob.Size,
		want:   []int{http.StatusCreated},
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// bundled is a blob of the bundle that may be read several times over. What is
// read again is not reported again.
type bundled struct {
	open func() (io.ReadCloser, error)
	task progress.Task

	mu       sync.Mutex
	reported int64
	err      error // of the bundle, which no other try mends
}

func (b *bundled) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// note keeps a failure of the bundle and reports progress up to n bytes.
func (b *bundled) note(n int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.reported {
		b.task.Add(n - b.reported)
		b.reported = n
	}
	if err != nil && err != io.EOF && b.err == nil {
		b.err = err
	}
}

// body returns the blob's bytes from the start. The bundle is opened by the
// first Read.
func (b *bundled) body() io.ReadCloser { return &bundledBody{blob: b} }

type bundledBody struct {
	blob *bundled
	r    io.ReadCloser
	n    int64
}

func (b *bundledBody) Read(p []byte) (int, error) {
	if b.r == nil {
		r, err := b.blob.open()
		if err != nil {
			b.blob.note(0, err)
			return 0, err
		}
		b.r = r
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	b.blob.note(b.n, err)
	return n, err
}

func (b *bundledBody) Close() error {
	if b.r == nil {
		return nil
	}
	return b.r.Close()
}
