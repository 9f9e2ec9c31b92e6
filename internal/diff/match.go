package diff

import (
	"encoding/json"
	"slices"
	"strings"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// unit is an image for one platform, as one of the bundles has it.
type unit struct {
	names    []string
	digest   manifest.Digest
	platform string
	config   manifest.Digest
	layers   []layer
	diffIDs  bool // all layers have theirs
}

// layer is a layer of a unit, the lowest first.
type layer struct {
	oci.Descriptor
	diffID    manifest.Digest // zero: not known
	createdBy string          // as the image's history says; empty: not known
}

func (u *unit) repo() string { return withoutTag(u.names[0]) }

func (u *unit) version() *Version { return &Version{u.names, u.digest} }

func (l *layer) blob() *Blob {
	b := &Blob{Digest: l.Digest, Size: l.Size}
	if !l.diffID.IsZero() {
		b.DiffID = &l.diffID
	}
	return b
}

func withoutTag(name string) string {
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		return name[:at]
	}
	return name
}

// units returns the images of a release for each of their platforms.
// Attestations and what else refers to an image are not among them.
func units(r *load.Release) ([]unit, error) {
	var all []unit
	for i := range r.Images {
		image := &r.Images[i]
		nodes := map[manifest.Digest]oci.Node{}
		for _, n := range image.Nodes {
			nodes[n.Digest] = n
		}
		found, err := below(r, nodes, image.Root)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			u.names = image.Names
			all = append(all, u)
		}
	}
	return all, nil
}

// below returns the images that a document is or leads to. The documents were
// walked before, within the limits of package oci.
func below(r *load.Release, nodes map[manifest.Digest]oci.Node, d oci.Descriptor) ([]unit, error) {
	n := nodes[d.Digest]
	if !n.Doc.IsIndex() {
		u, err := newUnit(r, n.Doc, d)
		return []unit{u}, err
	}
	var all []unit
	seen := map[manifest.Digest]bool{}
	for _, child := range n.Doc.Manifests {
		if !child.IsDocument() || child.Platform != nil && child.Platform.OS == "unknown" || seen[child.Digest] {
			continue
		}
		seen[child.Digest] = true
		found, err := below(r, nodes, child)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func newUnit(r *load.Release, doc *oci.Document, d oci.Descriptor) (unit, error) {
	u := unit{digest: d.Digest, config: doc.Config.Digest}
	if d.Platform != nil {
		u.platform = d.Platform.String()
	}
	for _, l := range doc.Layers {
		u.layers = append(u.layers, layer{Descriptor: l})
	}
	if t := doc.Config.MediaType; t != oci.TypeConfig && t != oci.TypeDockerConfig {
		return u, nil
	}
	raw, err := r.Read(*doc.Config)
	if err != nil {
		return u, err
	}
	config, err := oci.ParseConfig(raw)
	if err != nil {
		return u, err
	}
	if u.platform == "" {
		u.platform = config.Platform.String()
	}
	u.name(config.DiffIDs, history(raw))
	return u, nil
}

// name gives the layers what the config says of them, if it says as much as
// there are layers.
func (u *unit) name(diffIDs []manifest.Digest, createdBy []string) {
	u.diffIDs = len(diffIDs) == len(u.layers)
	for i := range u.layers {
		if u.diffIDs {
			u.layers[i].diffID = diffIDs[i]
		}
		if len(createdBy) == len(u.layers) {
			u.layers[i].createdBy = createdBy[i]
		}
	}
}

// history returns what made each layer, as a config says (image-spec,
// config.md). It only helps to find which layers belong together.
func history(config []byte) []string {
	var c struct {
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if json.Unmarshal(config, &c) != nil {
		return nil
	}
	var all []string
	for _, h := range c.History {
		if !h.EmptyLayer {
			all = append(all, h.CreatedBy)
		}
	}
	return all
}

// matched is an image in both bundles, or in one of them.
type matched struct{ from, to *unit }

// match finds for each image of to the one of from that it takes the place of:
// for the same platform and of the same name without tag; where there are
// several, one that is the same, then one with the same tag, then the next.
func match(from, to []unit) []matched {
	partners := make([]*unit, len(to))
	taken := make([]bool, len(from))
	for _, keys := range []func(*unit) []string{sameImage, sameName, sameRepo} {
		offered := map[string][]int{}
		for i := range from {
			for _, key := range keys(&from[i]) {
				offered[key] = append(offered[key], i)
			}
		}
		for i := range to {
			for _, key := range keys(&to[i]) {
				offered[key] = slices.DeleteFunc(offered[key], func(k int) bool { return taken[k] })
				if partners[i] == nil && len(offered[key]) > 0 {
					k := offered[key][0]
					partners[i], taken[k] = &from[k], true
				}
			}
		}
	}
	var all []matched
	for i := range to {
		all = append(all, matched{partners[i], &to[i]})
	}
	for i := range from {
		if !taken[i] {
			all = append(all, matched{&from[i], nil})
		}
	}
	return all
}

func sameImage(u *unit) []string { return u.keys(withoutTag, u.digest.String()) }

func sameName(u *unit) []string {
	return u.keys(func(name string) string { return name }, "")
}

func sameRepo(u *unit) []string { return u.keys(withoutTag, "") }

func (u *unit) keys(part func(string) string, more string) []string {
	platform := u.platform
	if platform == "linux/arm64" { // means linux/arm64/v8
		platform += "/v8"
	}
	var all []string
	for _, name := range u.names {
		all = append(all, strings.Join([]string{part(name), platform, more}, "\n"))
	}
	return all
}
