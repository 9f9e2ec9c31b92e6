package oci

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
)

// Node is a document with the very bytes its digest names.
type Node struct {
	Descriptor
	Raw []byte
	Doc *Document
}

// Closure is all that a root document reaches.
type Closure struct {
	Root  manifest.Digest
	Nodes []Node       // every document once, children before what points to them
	Blobs []Descriptor // every config and layer once, in order of digest
}

// Fetch returns the bytes of the document that d points to. It answers for
// them: they have d's size and digest.
type Fetch func(ctx context.Context, d Descriptor) ([]byte, error)

// Walk follows root to every document and blob below it, fetching the
// documents of one level side by side. It refuses more than MaxDepth levels of
// indexes, more than MaxDocuments documents, documents of more than
// MaxDocumentBytes together, and a blob named with two sizes.
func Walk(ctx context.Context, root Descriptor, fetch Fetch) (*Closure, error) {
	w := walker{fetch: fetch, nodes: map[manifest.Digest]Node{}, blobs: map[manifest.Digest]Descriptor{}}
	level, left := []Descriptor{root}, int64(MaxDocumentBytes)
	for depth := 0; len(level) > 0; depth++ {
		if depth > MaxDepth {
			return nil, fmt.Errorf("%w: %s: more than %d indexes within each other", ErrMalformed, root.Digest, MaxDepth)
		}
		for _, d := range level {
			if left -= d.Size; left < 0 {
				return nil, fmt.Errorf("%w: %s: documents of more than %d bytes in one image", ErrMalformed, root.Digest, MaxDocumentBytes)
			}
		}
		next, err := w.level(ctx, level)
		if err != nil {
			return nil, err
		}
		level = next
	}
	c := &Closure{Root: root.Digest}
	c.order(w.nodes, root.Digest, map[manifest.Digest]bool{})
	for _, d := range w.blobs {
		c.Blobs = append(c.Blobs, d)
	}
	slices.SortFunc(c.Blobs, func(a, b Descriptor) int { return a.Digest.Compare(b.Digest) })
	return c, nil
}

type walker struct {
	fetch Fetch
	nodes map[manifest.Digest]Node
	blobs map[manifest.Digest]Descriptor
	named map[manifest.Digest]Descriptor // documents, as they were first named
}

// level reads the documents of one level and returns those of the next.
func (w *walker) level(ctx context.Context, level []Descriptor) ([]Descriptor, error) {
	nodes := make([]Node, len(level))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, d := range level {
		group.Go(func() error {
			node, err := load(ctx, d, w.fetch)
			nodes[i] = node
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return w.add(nodes)
}

func load(ctx context.Context, d Descriptor, fetch Fetch) (Node, error) {
	raw, err := fetch(ctx, d)
	if err != nil {
		return Node{}, err
	}
	doc, err := Parse(raw, d.MediaType)
	if err != nil {
		return Node{}, fmt.Errorf("%s: %w", d.Digest, err)
	}
	return Node{Descriptor: d, Raw: raw, Doc: doc}, nil
}

// add takes nodes in and returns the documents they point to that are new.
func (w *walker) add(nodes []Node) ([]Descriptor, error) {
	var next []Descriptor
	queued := map[manifest.Digest]bool{}
	if w.named == nil {
		w.named = map[manifest.Digest]Descriptor{}
	}
	for _, n := range nodes {
		w.nodes[n.Digest] = n
	}
	for _, n := range nodes {
		for _, d := range n.Children() {
			if err := w.agrees(d); err != nil {
				return nil, err
			}
			if _, done := w.nodes[d.Digest]; d.IsDocument() && !done && !queued[d.Digest] {
				queued[d.Digest] = true
				next = append(next, d)
			}
			if err := w.addBlob(d); err != nil {
				return nil, err
			}
		}
	}
	if len(w.nodes)+len(next) > MaxDocuments {
		return nil, fmt.Errorf("%w: more than %d documents in one image", ErrMalformed, MaxDocuments)
	}
	return next, nil
}

// agrees refuses a document that is named with two media types or sizes.
func (w *walker) agrees(d Descriptor) error {
	if !d.IsDocument() {
		return nil
	}
	first, ok := w.named[d.Digest]
	if !ok {
		w.named[d.Digest] = d
		return nil
	}
	if first.MediaType != d.MediaType || first.Size != d.Size {
		return fmt.Errorf("%w: document %s is named as %s with %d bytes and as %s with %d", ErrMalformed, d.Digest, first.MediaType, first.Size, d.MediaType, d.Size)
	}
	return nil
}

func (w *walker) addBlob(d Descriptor) error {
	if d.IsDocument() {
		return nil
	}
	if known, ok := w.blobs[d.Digest]; ok && known.Size != d.Size {
		return fmt.Errorf("%w: %s is listed with %d and with %d bytes", ErrMalformed, d.Digest, known.Size, d.Size)
	}
	if _, ok := w.blobs[d.Digest]; !ok {
		w.blobs[d.Digest] = d
	}
	return nil
}

// Children returns what the document points to: the documents of an index, or
// a manifest's config and layers. A subject is not a child.
func (n Node) Children() []Descriptor {
	if n.Doc.IsIndex() {
		return n.Doc.Manifests
	}
	return append([]Descriptor{*n.Doc.Config}, n.Doc.Layers...)
}

// order appends the nodes below digest, then digest's own.
func (c *Closure) order(nodes map[manifest.Digest]Node, digest manifest.Digest, seen map[manifest.Digest]bool) {
	if seen[digest] {
		return
	}
	seen[digest] = true
	n := nodes[digest]
	for _, d := range n.Children() {
		if d.IsDocument() {
			c.order(nodes, d.Digest, seen)
		}
	}
	c.Nodes = append(c.Nodes, n)
}

// Platforms returns the platforms of the images below the root, each once, in
// order; attestations ("unknown/unknown") and what ParsePlatform does not take,
// such as an image that names no platform, are left out. A root manifest's
// platform stands only in its config, which config fetches.
func (c *Closure) Platforms(config func(Descriptor) ([]byte, error)) ([]string, error) {
	var all []string
	for _, n := range c.Nodes {
		for _, d := range n.Doc.Manifests {
			if d.Platform != nil && d.Platform.OS != "unknown" && IsManifestType(d.MediaType) {
				all = append(all, d.Platform.String())
			}
		}
	}
	root := c.Nodes[len(c.Nodes)-1]
	if !root.Doc.IsIndex() && isImageConfig(root.Doc.Config.MediaType) {
		raw, err := config(*root.Doc.Config)
		if err != nil {
			return nil, err
		}
		parsed, err := ParseConfig(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, parsed.Platform.String())
	}
	all = slices.DeleteFunc(all, func(s string) bool {
		_, err := ParsePlatform(s)
		return err != nil
	})
	slices.SortFunc(all, cmp.Compare[string])
	return slices.Compact(all), nil
}

func isImageConfig(mediaType string) bool {
	return mediaType == TypeConfig || mediaType == TypeDockerConfig
}
