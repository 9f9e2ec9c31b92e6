package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Check implements load.Destination. It fetches every document by its digest
// and by its tags and hashes what comes, asks for every blob, and sees that
// every referrer is listed.
func (d *Destination) Check(ctx context.Context, r *load.Release, _ *load.Plan) error {
	targets, err := d.surveyed(ctx, r)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(questions)
	for _, t := range targets {
		for _, n := range t.nodes {
			group.Go(func() error { return t.check(ctx, n.Digest.String(), n) })
		}
		for _, tag := range slices.Concat(t.extra, t.names) {
			group.Go(func() error { return t.check(ctx, tag.name, tag.node) })
		}
		for _, blob := range t.blobs {
			group.Go(func() error { return t.checkBlob(ctx, blob) })
		}
		for subject, entries := range t.referring() {
			group.Go(func() error { return t.checkListed(ctx, subject, entries) })
		}
		for subject, list := range t.lists {
			group.Go(func() error { return t.checkListed(ctx, subject, carriedEntries(list)) })
		}
	}
	return group.Wait()
}

// check fetches a document by a tag or digest.
func (t *target) check(ctx context.Context, name string, n oci.Node) error {
	raw, mediaType, err := t.repo.document(ctx, name, acceptDocuments)
	if err == nil {
		if got := manifest.DigestOf(raw); got != n.Digest {
			err = otherBytes(got)
		} else if mediaType != n.MediaType {
			err = fmt.Errorf("the registry calls it %q, want %q", clean(mediaType), n.MediaType)
		}
	}
	if err != nil {
		return t.errorf(name, err)
	}
	return nil
}

func (t *target) checkBlob(ctx context.Context, blob oci.Descriptor) error {
	t.mu.Lock()
	delete(t.has, blob.Digest)
	t.mu.Unlock()
	if err := t.ask(ctx, blob, "blobs"); err != nil {
		return err
	}
	if !t.holds(blob.Digest) {
		return t.errorf("blob "+blob.Digest.String(), errors.New("the registry does not have it"))
	}
	return nil
}

func (t *target) checkListed(ctx context.Context, subject manifest.Digest, entries []entry) error {
	listed, err := t.listed(ctx, subject, entries)
	if err == nil && !listed {
		err = errors.New("the registry does not list all that refers to it")
	}
	if err != nil {
		return t.errorf(subject.String(), err)
	}
	return nil
}
