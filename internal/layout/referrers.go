package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Referrers returns what refers to subject, sorted by digest and tag: every
// document of the layout whose subject it is; what is tagged sha256-<hex>
// (distribution-spec, "Referrers Tag Schema"), and what that index lists; and
// what cosign tags sha256-<hex>.sig, .att and .sbom. A tag may stand behind a
// repository, host/path:tag: then the image's own goes before all others, and
// two documents under one tag that are equally near are an error.
func (s *Source) Referrers(ctx context.Context, subject oci.Descriptor) ([]manifest.Referrer, error) {
	all, err := s.scan(ctx.Err)
	if err != nil {
		return nil, err
	}
	found := slices.Clone(all.subjects[subject.Digest])
	base := tagOf(subject.Digest)
	for _, suffix := range tagSuffixes {
		tagged, err := s.tagged(base + suffix)
		if err != nil {
			return nil, err
		}
		if tagged == nil {
			continue
		}
		bare := oci.Descriptor{MediaType: tagged.MediaType, Digest: tagged.Digest, Size: tagged.Size}
		found = append(found, referrer(bare, subject.Digest, base+suffix))
		if suffix == "" {
			listed, err := s.listed(*tagged, subject.Digest)
			if err != nil {
				return nil, err
			}
			found = append(found, listed...)
		}
	}
	slices.SortStableFunc(found, func(a, b manifest.Referrer) int {
		return cmp.Or(a.Digest.Compare(b.Digest), strings.Compare(a.Tag, b.Tag))
	})
	return slices.CompactFunc(found, func(a, b manifest.Referrer) bool { return a.Tag == b.Tag && a.Digest == b.Digest }), nil
}

// tagSuffixes stand behind sha256-<hex> in the tags that refer to an image.
var tagSuffixes = [...]string{"", ".sig", ".att", ".sbom"}

func tagOf(d manifest.Digest) string { return "sha256-" + d.Hex() }

// referrerTag reports whether an entry of index.json is tagged as a referrer.
func referrerTag(d oci.Descriptor) bool {
	_, tag := splitTag(d.Annotations[RefName])
	for _, suffix := range tagSuffixes {
		stem, hasSuffix := strings.CutSuffix(tag, suffix)
		hex, hasPrefix := strings.CutPrefix(stem, "sha256-")
		if _, err := manifest.ParseHex(hex); hasSuffix && hasPrefix && err == nil {
			return true
		}
	}
	return false
}

// splitTag splits host/path:tag; a text without a colon behind the last slash
// is a tag alone.
func splitTag(name string) (repository, tag string) {
	i := strings.LastIndex(name, ":")
	if i < 0 || strings.Contains(name[i:], "/") {
		return "", name
	}
	return name[:i], name[i+1:]
}

// tagged returns the document under a tag that is nearest to the image: of one
// of its own repositories, of none, of any other.
func (s *Source) tagged(tag string) (*oci.Descriptor, error) {
	var near [3][]oci.Descriptor
	for _, d := range s.entries {
		repository, its := splitTag(d.Annotations[RefName])
		if its != tag || !d.IsDocument() {
			continue
		}
		class := 2
		switch {
		case slices.Contains(s.repositories(), repository):
			class = 0
		case repository == "":
			class = 1
		}
		if !slices.ContainsFunc(near[class], func(o oci.Descriptor) bool { return o.Digest == d.Digest }) {
			near[class] = append(near[class], d)
		}
	}
	for _, found := range near {
		switch len(found) {
		case 0:
			continue
		case 1:
			return &found[0], nil
		}
		return nil, fmt.Errorf("tag %q stands for several documents: %s", tag, digests(found))
	}
	return nil, nil
}

func (s *Source) repositories() []string {
	var all []string
	for _, name := range s.Names() {
		repository, _ := splitTag(name)
		all = append(all, repository)
	}
	return all
}

// listed returns what the index under the tag sha256-<hex> lists.
func (s *Source) listed(index oci.Descriptor, subject manifest.Digest) ([]manifest.Referrer, error) {
	raw, err := s.document(index)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(raw, index.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, index.Digest, err)
	}
	var all []manifest.Referrer
	for _, d := range doc.Manifests {
		if d.IsDocument() && d.Digest != subject {
			all = append(all, referrer(d, subject, ""))
		}
	}
	return all, nil
}

func referrer(d oci.Descriptor, subject manifest.Digest, tag string) manifest.Referrer {
	return manifest.Referrer{
		Descriptor: manifest.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType},
		Subject:    subject,
		Tag:        tag,
	}
}

// scan is what all documents that index.json leads to say of each other.
type scan struct {
	documents map[manifest.Digest]oci.Descriptor
	below     map[manifest.Digest]bool                // listed by an index other than index.json
	refers    map[manifest.Digest]bool                // has a subject
	subjects  map[manifest.Digest][]manifest.Referrer // by subject
}

func never() error { return nil }

// scan reads the documents once. stop ends it with an error. A document below
// an index may be missing, since layouts of one platform of many are common;
// any other that cannot be read is an error, for it could be a signature.
func (s *Source) scan(stop func() error) (*scan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil {
		return s.seen, nil
	}
	all := &scan{
		documents: map[manifest.Digest]oci.Descriptor{},
		below:     map[manifest.Digest]bool{},
		refers:    map[manifest.Digest]bool{},
		subjects:  map[manifest.Digest][]manifest.Referrer{},
	}
	level := s.entries
	for depth := 0; len(level) > 0; depth++ {
		if depth > oci.MaxDepth {
			return nil, fmt.Errorf("%w: more than %d indexes within each other", ErrRejected, oci.MaxDepth)
		}
		var err error
		if level, err = s.scanLevel(all, level, stop); err != nil {
			return nil, err
		}
	}
	s.seen = all
	return all, nil
}

// scanLevel takes the documents of one level in and returns those of the next.
func (s *Source) scanLevel(all *scan, level []oci.Descriptor, stop func() error) ([]oci.Descriptor, error) {
	var next []oci.Descriptor
	queued := map[manifest.Digest]bool{}
	for _, d := range level {
		if err := stop(); err != nil {
			return nil, err
		}
		below, err := s.scanOne(all, d)
		if errors.Is(err, fs.ErrNotExist) && all.below[d.Digest] {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, child := range below {
			if child.IsDocument() && !queued[child.Digest] {
				queued[child.Digest], all.below[child.Digest] = true, true
				next = append(next, child)
			}
		}
		if len(queued) > oci.MaxDocuments {
			return nil, fmt.Errorf("%w: more than %d documents in the layout", ErrRejected, oci.MaxDocuments)
		}
	}
	return next, nil
}

// scanOne takes a document in and returns what it lists if it is an index.
func (s *Source) scanOne(all *scan, d oci.Descriptor) ([]oci.Descriptor, error) {
	if _, done := all.documents[d.Digest]; done || !d.IsDocument() {
		return nil, nil
	}
	if len(all.documents) == oci.MaxDocuments {
		return nil, fmt.Errorf("%w: more than %d documents in the layout", ErrRejected, oci.MaxDocuments)
	}
	raw, err := s.document(d)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(raw, d.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, d.Digest, err)
	}
	all.documents[d.Digest] = d
	if doc.Subject != nil {
		d.ArtifactType = artifactType(doc)
		subject := doc.Subject.Digest
		all.refers[d.Digest] = true
		all.subjects[subject] = append(all.subjects[subject], referrer(d, subject, ""))
	}
	return doc.Manifests, nil
}

// artifactType follows the distribution-spec ("Listing Referrers"): a manifest
// without one has its config's media type.
func artifactType(doc *oci.Document) string {
	if doc.ArtifactType == "" && doc.Config != nil {
		return doc.Config.MediaType
	}
	return doc.ArtifactType
}
