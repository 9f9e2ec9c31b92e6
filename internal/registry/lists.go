package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// entry is a descriptor in a list of referrers (distribution-spec,
// "Referrers Tag Schema").
type entry struct {
	MediaType    string            `json:"mediaType"`
	Digest       manifest.Digest   `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// referring returns the target's documents by what they refer to, in order.
func (t *target) referring() map[manifest.Digest][]entry {
	all := map[manifest.Digest][]entry{}
	for _, n := range t.nodes {
		if n.Doc.Subject != nil {
			all[n.Doc.Subject.Digest] = append(all[n.Doc.Subject.Digest], entry{
				MediaType: n.MediaType, Digest: n.Digest, Size: n.Size,
				ArtifactType: artifactType(n.Doc), Annotations: n.Doc.Annotations,
			})
		}
	}
	return all
}

// pushLists has the fallback tags list the referrers that the registry does
// not list itself, and stand for the indexes that came with the release. An
// index that is there already is added to, never cut.
func (t *target) pushLists(ctx context.Context) error {
	referring := t.referring()
	for subject := range t.lists {
		if _, ok := referring[subject]; !ok {
			referring[subject] = nil
		}
	}
	for subject, entries := range referring {
		carried, ok := t.lists[subject]
		if !ok && !t.unlisted[subject] {
			continue
		}
		if err := t.pushList(ctx, subject, entries, carried); err != nil {
			return t.errorf(fallbackTag(subject), err)
		}
	}
	return nil
}

func (t *target) pushList(ctx context.Context, subject manifest.Digest, entries []entry, carried oci.Node) error {
	present, err := t.currentList(ctx, subject)
	if err != nil {
		return err
	}
	list := carried
	if present.Doc != nil {
		list = present
		entries = append(entries, carriedEntries(carried)...)
	}
	list, changed, err := extend(list, entries)
	if err != nil || (!changed && present.Doc != nil) {
		return err
	}
	_, err = t.putDocument(ctx, list, fallbackTag(subject))
	return err
}

// currentList returns the index under the fallback tag, or an empty node.
func (t *target) currentList(ctx context.Context, subject manifest.Digest) (oci.Node, error) {
	raw, mediaType, err := t.repo.document(ctx, fallbackTag(subject), acceptAny)
	if isStatus(err, http.StatusNotFound) {
		return oci.Node{}, nil
	}
	if err != nil {
		return oci.Node{}, err
	}
	doc, err := oci.Parse(raw, oci.TypeIndex)
	if err != nil {
		return oci.Node{}, fmt.Errorf("the registry has something else (%s) under the tag: %w", clean(mediaType), err)
	}
	d := oci.Descriptor{MediaType: oci.TypeIndex, Digest: manifest.DigestOf(raw), Size: int64(len(raw))}
	return oci.Node{Descriptor: d, Raw: raw, Doc: doc}, nil
}

func carriedEntries(carried oci.Node) []entry {
	var all []entry
	if carried.Doc == nil {
		return nil
	}
	for _, d := range carried.Doc.Manifests {
		all = append(all, entry{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType, Annotations: d.Annotations})
	}
	return all
}

// extend returns list with the entries that it lacks at its end, and whether
// there were any. A list that lacks none keeps its bytes, and so its digest.
func extend(list oci.Node, entries []entry) (oci.Node, bool, error) {
	fields := map[string]json.RawMessage{
		"schemaVersion": json.RawMessage("2"),
		"mediaType":     json.RawMessage(`"` + oci.TypeIndex + `"`),
		"manifests":     json.RawMessage("[]"),
	}
	known := map[manifest.Digest]bool{}
	if list.Doc != nil {
		if err := json.Unmarshal(list.Raw, &fields); err != nil {
			return oci.Node{}, false, err
		}
		for _, d := range list.Doc.Manifests {
			known[d.Digest] = true
		}
	}
	var all []json.RawMessage
	if err := json.Unmarshal(fields["manifests"], &all); err != nil {
		return oci.Node{}, false, err
	}
	before := len(all)
	for _, e := range entries {
		raw, err := json.Marshal(e)
		if err != nil {
			return oci.Node{}, false, err
		}
		if !known[e.Digest] {
			known[e.Digest] = true
			all = append(all, raw)
		}
	}
	if list.Doc != nil && len(all) == before {
		return list, false, nil
	}
	raw, err := marshalList(fields, all)
	if err != nil {
		return oci.Node{}, false, err
	}
	doc, err := oci.Parse(raw, oci.TypeIndex)
	d := oci.Descriptor{MediaType: oci.TypeIndex, Digest: manifest.DigestOf(raw), Size: int64(len(raw))}
	return oci.Node{Descriptor: d, Raw: raw, Doc: doc}, true, err
}

func marshalList(fields map[string]json.RawMessage, manifests []json.RawMessage) ([]byte, error) {
	raw, err := json.Marshal(manifests)
	if err != nil {
		return nil, err
	}
	fields["manifests"] = raw
	return json.Marshal(fields)
}

// listed reports whether the registry, or the index under the fallback tag,
// lists all of the entries as referring to subject.
func (t *target) listed(ctx context.Context, subject manifest.Digest, entries []entry) (bool, error) {
	list, _, err := t.repo.listReferrers(ctx, subject)
	if err != nil {
		return false, err
	}
	current, err := t.currentList(ctx, subject)
	if err != nil {
		return false, err
	}
	if current.Doc != nil {
		list = append(list, current.Doc.Manifests...)
	}
	for _, e := range entries {
		if !slices.ContainsFunc(list, func(d oci.Descriptor) bool { return d.Digest == e.Digest }) {
			return false, nil
		}
	}
	return true, nil
}
