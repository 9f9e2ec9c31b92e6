package load

import (
	"fmt"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// What manifest.json says of an image beyond digests and sizes is the signer's
// word, but a word that the documents can be asked about: a manifest that says
// other things than they do is refused (FORMAT.md R38).

// checkRoot compares what is listed of an image's root with its documents.
func (r *Release) checkRoot(listed *manifest.Image, closure *oci.Closure) error {
	root := closure.Nodes[len(closure.Nodes)-1]
	if err := checkKind(listed.Root, root.Doc); err != nil {
		return err
	}
	platforms, err := closure.Platforms(r.Read)
	if err != nil {
		return err
	}
	if !slices.Equal(platforms, listed.Platforms) {
		return fmt.Errorf("%w: platforms %q are listed, and its documents are for %q", ErrRejected, listed.Platforms, platforms)
	}
	return nil
}

func checkKind(listed manifest.Descriptor, doc *oci.Document) error {
	if kind := doc.Kind(); listed.ArtifactType != kind {
		return fmt.Errorf("%w: document %s is listed with the artifact type %q, and has %q", ErrRejected, listed.Digest, listed.ArtifactType, kind)
	}
	return nil
}

// checkOrder refuses documents that stand before one that they point to.
func (image *Image) checkOrder() error {
	seen := map[manifest.Digest]bool{}
	for _, n := range image.Nodes {
		for _, child := range n.Children() {
			if child.IsDocument() && !seen[child.Digest] {
				return fmt.Errorf("%w: document %s is listed before %s, which it points to", ErrRejected, n.Digest, child.Digest)
			}
		}
		seen[n.Digest] = true
	}
	return nil
}

// checkReferrers compares what is listed of referrers with their documents: a
// tag is one of those under which something that refers to the subject is
// looked for; without a tag, the document says itself what it refers to, or an
// index under the referrers tag lists it.
func (image *Image) checkReferrers() error {
	docs := map[manifest.Digest]*oci.Document{}
	for _, n := range image.Nodes {
		docs[n.Digest] = n.Doc
	}
	for _, r := range image.Referrers {
		doc := docs[r.Digest]
		if err := checkKind(r.Descriptor, doc); err != nil {
			return err
		}
		switch {
		case r.Tag == "" && !doc.RefersTo(r.Subject) && !image.lists(docs, r):
			return fmt.Errorf("%w: document %s is listed as referring to %s, and does not", ErrRejected, r.Digest, r.Subject)
		case r.Tag != "" && !oci.IsReferrersTag(r.Tag, r.Subject):
			return fmt.Errorf("%w: document %s is listed under the tag %q, which does not stand for what refers to %s", ErrRejected, r.Digest, r.Tag, r.Subject)
		case r.Tag == oci.ReferrersTag(r.Subject) && !doc.IsIndex():
			return fmt.Errorf("%w: document %s is listed under the tag %q, and is no index", ErrRejected, r.Digest, r.Tag)
		}
	}
	return nil
}

// lists reports whether an index under the referrers tag lists r.
func (image *Image) lists(docs map[manifest.Digest]*oci.Document, r manifest.Referrer) bool {
	return slices.ContainsFunc(image.Referrers, func(list manifest.Referrer) bool {
		return list.Subject == r.Subject && list.Tag == oci.ReferrersTag(r.Subject) &&
			slices.ContainsFunc(docs[list.Digest].Manifests, func(d oci.Descriptor) bool { return d.Digest == r.Digest })
	})
}
