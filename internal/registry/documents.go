package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// pushManifests pushes the documents that point to no other document. Their
// blobs are there.
func (t *target) pushManifests(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(questions)
	for _, n := range t.nodes {
		if !n.Doc.IsIndex() {
			group.Go(func() error { return t.push(ctx, n) })
		}
	}
	return group.Wait()
}

// pushIndexes pushes the indexes, children first: registries refuse one whose
// children they lack.
func (t *target) pushIndexes(ctx context.Context) error {
	for _, n := range t.nodes {
		if n.Doc.IsIndex() {
			if err := t.push(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// push pushes a document by its digest unless it is there. What refers to
// another document is pushed in any case, because only the answer tells
// whether the registry lists it as a referrer (distribution-spec, "Pushing
// Manifests with Subject").
func (t *target) push(ctx context.Context, n oci.Node) error {
	if n.Doc.Subject == nil && t.holds(n.Digest) {
		return nil
	}
	header, err := t.putDocument(ctx, n, n.Digest.String())
	if err != nil {
		return t.errorf(n.Digest.String(), err)
	}
	t.took(n.Digest)
	if n.Doc.Subject != nil && header.Get("OCI-Subject") == "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.unlisted[n.Doc.Subject.Digest] = true
	}
	return nil
}

// putDocument pushes a document under a tag or its digest and returns the head
// of the answer.
func (t *target) putDocument(ctx context.Context, n oci.Node, name string) (http.Header, error) {
	put := call{
		method: http.MethodPut,
		url:    t.repo.url("manifests", name),
		header: http.Header{"Content-Type": {n.MediaType}},
		body:   func() io.ReadCloser { return io.NopCloser(bytes.NewReader(n.Raw)) },
		size:   int64(len(n.Raw)),
		want:   []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	}
	var header http.Header
	err := t.repo.client.retry(ctx, func() error {
		resp, err := t.repo.send(ctx, put)
		if err != nil {
			return err
		}
		header = resp.Header
		return resp.Body.Close()
	})
	if err != nil {
		return nil, err
	}
	if said := header.Get("Docker-Content-Digest"); said != "" && said != n.Digest.String() {
		return nil, fmt.Errorf("the registry took it for %q", clean(said))
	}
	return header, nil
}

// pushExtra pushes cosign's tags.
func (t *target) pushExtra(ctx context.Context) error { return t.pushTags(ctx, t.extra) }

// pushTags has tags stand for their documents, which are there.
func (t *target) pushTags(ctx context.Context, tags []tag) error {
	for _, tag := range tags {
		if t.standsFor(tag.name) == tag.node.Digest {
			continue
		}
		if _, err := t.putDocument(ctx, tag.node, tag.name); err != nil {
			return t.errorf(tag.name, err)
		}
		t.mu.Lock()
		t.at[tag.name] = tag.node.Digest
		t.mu.Unlock()
	}
	return nil
}

func (t *target) standsFor(name string) manifest.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[name]
}
