package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Image is an image in a registry. It is safe for use by several goroutines.
type Image struct {
	ref  reference
	text string // as it was given
	repo *repository

	mu   sync.Mutex
	docs map[manifest.Digest][]byte // fetched by a tag and not asked for yet
}

// Image returns the image that ref names: host/path:tag, host/path@sha256:…
// or host/path:tag@sha256:…, where the digest alone counts. A missing host is
// docker.io, a missing tag latest, as with Docker. It asks nobody anything.
func (c *Client) Image(ref string) (*Image, error) {
	parsed, err := parseReference(ref)
	if err != nil {
		return nil, err
	}
	if parsed.tag == "" && parsed.digest.IsZero() {
		parsed.tag = defaultTag
	}
	repo, err := c.repository(parsed)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", ref, err)
	}
	return &Image{ref: parsed, text: ref, repo: repo, docs: map[manifest.Digest][]byte{}}, nil
}

// repository returns the pull side's repository, one for all its images.
func (c *Client) repository(ref reference) (*repository, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := ref.host + "/" + ref.path
	if repo, ok := c.repos[key]; ok {
		return repo, nil
	}
	repo, err := c.pull.newRepository(ref, transport.PullScope)
	if err == nil {
		c.repos[key] = repo
	}
	return repo, err
}

// Name returns the image's full name, host/path:tag, or host/path where it was
// named by digest alone. Docker Hub is docker.io, its short names are in
// library/.
func (i *Image) Name() string { return i.ref.name() }

// String returns the reference as it was given.
func (i *Image) String() string { return i.text }

// Resolve asks the registry what the reference stands for now. The digest is
// that of the bytes that came, never one that the registry claims. For a
// reference with a digest it is that digest, or the error wraps ErrRejected.
func (i *Image) Resolve(ctx context.Context) (oci.Descriptor, error) {
	node, err := i.resolve(ctx, i.ref)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("%s: %w", i.text, err)
	}
	return node.Descriptor, nil
}

// resolve fetches what the tag or the digest of ref stands for and keeps it
// for Document.
func (i *Image) resolve(ctx context.Context, ref reference) (oci.Node, error) {
	target := ref.tag
	if !ref.digest.IsZero() {
		target = ref.digest.String()
	}
	raw, mediaType, err := i.repo.document(ctx, target, acceptDocuments)
	if err != nil {
		return oci.Node{}, err
	}
	d := oci.Descriptor{MediaType: mediaType, Digest: manifest.DigestOf(raw), Size: int64(len(raw))}
	if !ref.digest.IsZero() && d.Digest != ref.digest {
		return oci.Node{}, otherBytes(d.Digest)
	}
	if !d.IsDocument() {
		return oci.Node{}, fmt.Errorf("%w: the registry answered %q, which is not an OCI or Docker schema 2 document", ErrRejected, clean(mediaType))
	}
	doc, err := oci.Parse(raw, mediaType)
	if err != nil {
		return oci.Node{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	d.ArtifactType = artifactType(doc)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.docs[d.Digest] = raw
	return oci.Node{Descriptor: d, Raw: raw, Doc: doc}, nil
}

func otherBytes(got manifest.Digest) error {
	return fmt.Errorf("%w: the registry answered other bytes (%s)", ErrRejected, got)
}

// artifactType returns what a referrers list says of a document
// (distribution-spec, "Listing Referrers").
func artifactType(doc *oci.Document) string {
	if doc.ArtifactType == "" && doc.Subject != nil && doc.Config != nil {
		return doc.Config.MediaType
	}
	return doc.ArtifactType
}

// Document returns the bytes of the index or manifest that d points to, at
// most oci.MaxDocument. They have d's size and digest, or the error wraps
// ErrRejected.
func (i *Image) Document(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	raw, known := i.take(d.Digest)
	if !known {
		var err error
		if raw, _, err = i.repo.document(ctx, d.Digest.String(), acceptDocuments); err != nil {
			return nil, fmt.Errorf("%s/%s@%s: %w", i.ref.host, i.ref.path, d.Digest, err)
		}
	}
	err := error(nil)
	if got := manifest.DigestOf(raw); got != d.Digest {
		err = otherBytes(got)
	} else if int64(len(raw)) != d.Size {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrRejected, len(raw), d.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s/%s@%s: %w", i.ref.host, i.ref.path, d.Digest, err)
	}
	return raw, nil
}

// take returns a document that was fetched by a tag, once.
func (i *Image) take(digest manifest.Digest) ([]byte, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	raw, ok := i.docs[digest]
	delete(i.docs, digest)
	return raw, ok
}

// document fetches what target, a tag or a digest, stands for: at most
// oci.MaxDocument bytes, and the media type that the registry gives them. The
// caller checks both.
func (r *repository) document(ctx context.Context, target, accept string) (raw []byte, mediaType string, err error) {
	get := call{
		method: http.MethodGet,
		url:    r.url("manifests", target),
		header: http.Header{"Accept": {accept}},
		want:   []int{http.StatusOK},
	}
	err = r.client.retry(ctx, func() error {
		resp, err := r.send(ctx, get)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		mediaType = bareType(resp.Header.Get("Content-Type"))
		raw, err = readDocument(resp)
		return err
	})
	return raw, mediaType, err
}

func readDocument(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > oci.MaxDocument {
		return nil, fmt.Errorf("%w: a document of %d bytes, at most %d are allowed", ErrRejected, resp.ContentLength, oci.MaxDocument)
	}
	// One byte more than is allowed tells a long document from one that fits.
	raw, err := io.ReadAll(io.LimitReader(resp.Body, oci.MaxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > oci.MaxDocument {
		return nil, fmt.Errorf("%w: a document of more than %d bytes", ErrRejected, oci.MaxDocument)
	}
	return raw, nil
}

// bareType returns a media type without parameters such as charset.
func bareType(contentType string) string {
	bare, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return contentType
	}
	return bare
}

// exists asks by HEAD whether the repository has what the path leads to. That
// a destination sends us on to another host for it is a yes; see redirect.
func (r *repository) exists(ctx context.Context, header http.Header, path ...string) (*http.Response, bool, error) {
	head := call{
		method: http.MethodHead,
		url:    r.url(path...),
		header: header,
		want:   []int{http.StatusOK, http.StatusFound, http.StatusTemporaryRedirect, http.StatusNotFound},
	}
	var resp *http.Response
	err := r.client.retry(ctx, func() error {
		var err error
		if resp, err = r.send(ctx, head); err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		return nil, false, err
	}
	return resp, resp.StatusCode != http.StatusNotFound, nil
}
