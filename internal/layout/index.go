package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// index is an index.json whose entries can be changed one by one. What is not
// changed keeps its bytes.
type index struct {
	top     map[string]json.RawMessage // but for manifests
	entries []entry
}

type entry struct {
	oci.Descriptor
	raw json.RawMessage
}

func newIndex() *index {
	return &index{top: map[string]json.RawMessage{
		"schemaVersion": json.RawMessage("2"),
		"mediaType":     json.RawMessage(`"` + oci.TypeIndex + `"`),
	}}
}

func parseIndex(raw []byte) (*index, error) {
	doc, err := oci.Parse(raw, oci.TypeIndex)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, indexName, err)
	}
	x := &index{}
	if err := json.Unmarshal(raw, &x.top); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, indexName, err)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(x.top["manifests"], &entries); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, indexName, err)
	}
	if len(entries) != len(doc.Manifests) {
		return nil, fmt.Errorf("%w: %s: %d entries, of which %d were read", ErrRejected, indexName, len(entries), len(doc.Manifests))
	}
	delete(x.top, "manifests")
	for i, raw := range entries {
		x.entries = append(x.entries, entry{doc.Manifests[i], raw})
	}
	return x, nil
}

// marshal returns the text of index.json.
func (x *index) marshal() []byte {
	var b bytes.Buffer
	b.WriteString("{")
	for _, key := range slices.Sorted(maps.Keys(x.top)) {
		quoted, _ := json.Marshal(key) // a string always can
		fmt.Fprintf(&b, "%s:%s,", quoted, x.top[key])
	}
	b.WriteString(`"manifests":[`)
	for i, e := range x.entries {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		b.Write(e.raw)
	}
	b.WriteString("\n]}\n")
	return b.Bytes()
}

// named reports whether an entry has the name.
func (e entry) named(name string) bool {
	return name != "" && (e.Annotations[RefName] == name || e.Annotations[ContainerdName] == name)
}

// fulfils reports whether an entry is all that w asks for.
func (e entry) fulfils(w wish) bool {
	return e.Digest == w.Digest && e.MediaType == w.MediaType && e.Size == w.Size && (w.name == "" || e.named(w.name))
}

// standsFor returns what w's name stands for: another document than w's if
// there is one, zero if there is none at all.
func (x *index) standsFor(w wish) manifest.Digest {
	var found manifest.Digest
	for _, e := range x.entries {
		if e.named(w.name) && (found.IsZero() || found == w.Digest) {
			found = e.Digest
		}
	}
	return found
}

// has reports whether w is fulfilled and its name stands for nothing else.
func (x *index) has(w wish) bool {
	there := slices.ContainsFunc(x.entries, func(e entry) bool { return e.fulfils(w) })
	other := slices.ContainsFunc(x.entries, func(e entry) bool { return e.named(w.name) && !e.fulfils(w) })
	return there && !other
}

// with returns the index with all that is wanted, or x itself if it has that.
// A name is taken from the entries that have it. What an index under a
// referrers tag lists is not lost when the tag moves: it stays, without name.
func (x *index) with(want []wish) (*index, error) {
	n := &index{top: x.top, entries: slices.Clone(x.entries)}
	changed := false
	for _, w := range want {
		if n.has(w) {
			continue
		}
		changed = true
		if err := n.put(w); err != nil {
			return nil, err
		}
	}
	if !changed {
		return x, nil
	}
	if size := len(n.marshal()); size > oci.MaxDocument || len(n.entries) > oci.MaxChildren {
		return nil, fmt.Errorf("%s would have %d entries and %d bytes, at most %d and %d are allowed",
			indexName, len(n.entries), size, oci.MaxChildren, oci.MaxDocument)
	}
	return n, nil
}

func (x *index) put(w wish) error {
	fresh, err := w.entry()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(x.entries, func(e entry) bool { return e.named(w.name) })
	var unnamed []entry
	if w.list {
		if unnamed, err = x.unnamed(w); err != nil {
			return err
		}
	}
	if at < 0 {
		x.entries = append(x.entries, fresh)
		return nil
	}
	x.entries[at] = fresh
	tail := slices.DeleteFunc(x.entries[at+1:], func(e entry) bool { return e.named(w.name) })
	x.entries = append(x.entries[:at+1+len(tail)], unnamed...)
	return nil
}

// unnamed returns the entries that lose w's name to another document.
func (x *index) unnamed(w wish) ([]entry, error) {
	var all []entry
	for _, e := range x.entries {
		if e.named(w.name) && e.Digest != w.Digest {
			bare, err := wish{Descriptor: e.Descriptor}.entry()
			if err != nil {
				return nil, err
			}
			all = append(all, bare)
		}
	}
	return all, nil
}

// entry returns w as it stands in index.json.
func (w wish) entry() (entry, error) {
	notes := map[string]string{}
	if w.name != "" {
		notes[RefName] = w.name
	}
	if w.name != "" && w.image {
		notes[ContainerdName] = w.name
	}
	raw, err := json.Marshal(struct {
		MediaType    string            `json:"mediaType"`
		Digest       manifest.Digest   `json:"digest"`
		Size         int64             `json:"size"`
		ArtifactType string            `json:"artifactType,omitempty"`
		Annotations  map[string]string `json:"annotations,omitempty"`
	}{w.MediaType, w.Digest, w.Size, w.ArtifactType, notes})
	if err != nil {
		return entry{}, err
	}
	d := w.Descriptor
	d.Annotations = notes
	return entry{d, raw}, nil
}
