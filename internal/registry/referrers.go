package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// maxPages bounds the pages read of one referrers list.
const maxPages = 64

// cosignSuffixes end the tags under which cosign keeps what belongs to a
// document (cosign's SIGNATURE_SPEC.md, "Tag-based discovery").
func cosignSuffixes() []string { return []string{".sig", ".att", ".sbom"} }

// fallbackTag returns the tag of the index that lists a document's referrers
// where the registry does not (distribution-spec, "Referrers Tag Schema").
func fallbackTag(subject manifest.Digest) string { return "sha256-" + subject.Hex() }

// Referrers returns what refers to a document, each once, in order of digest
// and tag: what the referrers API lists; what the index under the fallback tag
// lists, and that index itself under its tag; and cosign's tags. Entries that
// are neither an index nor an image manifest are left out.
func (i *Image) Referrers(ctx context.Context, subject oci.Descriptor) ([]manifest.Referrer, error) {
	all, err := i.referrers(ctx, subject.Digest)
	if err != nil {
		return nil, fmt.Errorf("%s/%s, what refers to %s: %w", i.ref.host, i.ref.path, subject.Digest, err)
	}
	slices.SortFunc(all, func(a, b manifest.Referrer) int {
		return cmp.Or(a.Digest.Compare(b.Digest), cmp.Compare(a.Tag, b.Tag))
	})
	return slices.CompactFunc(all, func(a, b manifest.Referrer) bool { return a.Digest == b.Digest && a.Tag == b.Tag }), nil
}

func (i *Image) referrers(ctx context.Context, subject manifest.Digest) ([]manifest.Referrer, error) {
	suffixes := cosignSuffixes()
	found := make([][]manifest.Referrer, len(suffixes)+2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		list, _, err := i.repo.listReferrers(ctx, subject)
		found[0] = referrersOf(subject, list)
		return err
	})
	group.Go(func() (err error) {
		found[1], err = i.fallbackReferrers(ctx, subject)
		return err
	})
	for n, suffix := range suffixes {
		group.Go(func() error {
			node, ok, err := i.tagged(ctx, fallbackTag(subject)+suffix)
			if ok {
				found[n+2] = []manifest.Referrer{referrer(node.Descriptor, subject, fallbackTag(subject)+suffix)}
			}
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

func referrer(d oci.Descriptor, subject manifest.Digest, tag string) manifest.Referrer {
	return manifest.Referrer{
		Descriptor: manifest.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType},
		Subject:    subject,
		Tag:        tag,
	}
}

func referrersOf(subject manifest.Digest, list []oci.Descriptor) []manifest.Referrer {
	var all []manifest.Referrer
	for _, d := range list {
		if d.IsDocument() && d.Digest != subject {
			all = append(all, referrer(d, subject, ""))
		}
	}
	return all
}

// tagged returns what a tag stands for, if there is one. It asks by HEAD
// first: most tags that it is asked for do not exist, and registries that
// count pulls count only GETs.
func (i *Image) tagged(ctx context.Context, tag string) (oci.Node, bool, error) {
	_, ok, err := i.repo.exists(ctx, http.Header{"Accept": {acceptDocuments}}, "manifests", tag)
	if err != nil && !isStatus(err, http.StatusMethodNotAllowed) {
		return oci.Node{}, false, err
	}
	if err == nil && !ok {
		return oci.Node{}, false, nil
	}
	node, err := i.resolve(ctx, reference{tag: tag})
	if isStatus(err, http.StatusNotFound) {
		return oci.Node{}, false, nil
	}
	if err != nil {
		return oci.Node{}, false, fmt.Errorf("tag %s: %w", tag, err)
	}
	return node, true, nil
}

func (i *Image) fallbackReferrers(ctx context.Context, subject manifest.Digest) ([]manifest.Referrer, error) {
	tag := fallbackTag(subject)
	node, ok, err := i.tagged(ctx, tag)
	if err != nil || !ok {
		return nil, err
	}
	all := []manifest.Referrer{referrer(node.Descriptor, subject, tag)}
	return append(all, referrersOf(subject, node.Doc.Manifests)...), nil
}

// listReferrers asks the referrers API (distribution-spec, "Listing
// Referrers"). It reports whether the registry has it.
func (r *repository) listReferrers(ctx context.Context, subject manifest.Digest) ([]oci.Descriptor, bool, error) {
	var all []oci.Descriptor
	address := r.url("referrers", subject.String())
	for range maxPages {
		page, next, err := r.referrersPage(ctx, address)
		if isStatus(err, http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed,
			http.StatusNotAcceptable, http.StatusNotImplemented) || errors.Is(err, errNoReferrers) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		all = append(all, page...)
		if next == "" {
			return all, true, nil
		}
		address = next
	}
	return nil, false, fmt.Errorf("%w: more than %d pages of referrers", ErrRejected, maxPages)
}

// errNoReferrers says that an answer is no referrers list, as from a registry
// that has a page for every address.
var errNoReferrers = errors.New("not a referrers list")

func (r *repository) referrersPage(ctx context.Context, address string) (page []oci.Descriptor, next string, err error) {
	get := call{
		method: http.MethodGet,
		url:    address,
		header: http.Header{"Accept": {oci.TypeIndex}},
		want:   []int{http.StatusOK},
	}
	err = r.client.retry(ctx, func() error {
		resp, err := r.send(ctx, get)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if bareType(resp.Header.Get("Content-Type")) != oci.TypeIndex {
			return finalError{errNoReferrers}
		}
		raw, err := readDocument(resp)
		if err != nil {
			return err
		}
		doc, err := oci.Parse(raw, oci.TypeIndex)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRejected, err)
		}
		page = doc.Manifests
		next, err = nextPage(resp)
		return err
	})
	return page, next, err
}

var nextForm = regexp.MustCompile(`<([^<>]+)>\s*;[^,]*\brel="?next"?`)

// nextPage returns the address of the page behind this one (RFC 8288). It must
// be on the same host.
func nextPage(resp *http.Response) (string, error) {
	match := nextForm.FindStringSubmatch(resp.Header.Get("Link"))
	if match == nil {
		return "", nil
	}
	next, err := resp.Request.URL.Parse(match[1])
	if err != nil || next.Host != resp.Request.URL.Host {
		return "", finalError{fmt.Errorf("the registry sends us on to %q for the next page", clean(match[1]))}
	}
	return (&url.URL{Scheme: "https", Host: next.Host, Path: next.Path, RawPath: next.RawPath, RawQuery: next.RawQuery}).String(), nil
}
