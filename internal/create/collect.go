package create

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// maxReferrerDepth bounds signatures on SBOMs on signatures …
const maxReferrerDepth = 4

// item is a document or blob to be packed.
type item struct {
	oci.Descriptor
	raw    []byte // of a document; nil: to be fetched
	source Source
	image  string // the first name of the first image that has it
}

// Collect asks every image's source for its documents and for what refers to
// them. No blob but configs is fetched, and nothing is asked for a release whose
// labels or names no bundle takes. Errors about what a source gave wrap
// ErrRejected or the source's own.
func Collect(ctx context.Context, r Release) (*Contents, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	found, budget := make([][]*gathered, len(r.Images)), newDocumentBudget()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, image := range r.Images {
		image.Source = boundedSource{image.Source, budget}
		group.Go(func() error {
			var err error
			if found[i], err = gather(groupCtx, image); err != nil {
				return about(image.Names[0], err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	c := &Contents{release: r}
	for _, g := range slices.Concat(found...) {
		c.images = append(c.images, g.image)
		c.notes = append(c.notes, g.notes...)
	}
	c.order(slices.Concat(found...))
	return c, nil
}

// order lists every document once, image by image, and then every blob.
func (c *Contents) order(all []*gathered) {
	seen := map[manifest.Digest]bool{}
	add := func(it item) {
		if !seen[it.Digest] {
			seen[it.Digest] = true
			c.items = append(c.items, it)
		}
	}
	for _, g := range all {
		for _, n := range g.nodes {
			add(item{Descriptor: n.Descriptor, raw: n.Raw, source: g.source, image: g.image.Names[0]})
		}
	}
	for _, g := range all {
		for _, b := range g.blobs {
			add(item{Descriptor: b, source: g.source, image: g.image.Names[0]})
		}
	}
}

// gathered is one image with all that belongs to it.
type gathered struct {
	image            manifest.Image
	source           Source
	nodes            []oci.Node // in an order in which they can be pushed
	blobs            []oci.Descriptor
	hasNode, hasBlob map[manifest.Digest]bool
	lists            map[manifest.Digest]*oci.Document // indexes under referrers tags that were taken in, by subject
	notes            []string
}

// gather finds what belongs to an image; of an index of which only some
// platforms are wanted, to each of those children.
func gather(ctx context.Context, image Image) ([]*gathered, error) {
	root, err := image.Source.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(ctx, image, root)
	if err != nil {
		return nil, err
	}
	var all []*gathered
	for _, ch := range chosen {
		g := &gathered{
			source: image.Source, lists: map[manifest.Digest]*oci.Document{},
			hasNode: map[manifest.Digest]bool{}, hasBlob: map[manifest.Digest]bool{},
		}
		g.image.Names = ch.names
		if err := g.walk(ctx, ch.root); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

type choice struct {
	root  oci.Descriptor
	names []string
}

// choose returns the root itself or, where platforms are wanted, its children
// for them. With several, the names' tags end with the platform.
func choose(ctx context.Context, image Image, root oci.Descriptor) ([]choice, error) {
	if len(image.Platforms) == 0 {
		return []choice{{root, image.Names}}, nil
	}
	if !oci.IsIndexType(root.MediaType) {
		return chooseSingle(ctx, image, root)
	}
	raw, err := image.Source.Document(ctx, root)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(raw, root.MediaType)
	if err != nil {
		return nil, err
	}
	var all []choice
	for _, want := range image.Platforms {
		child, err := childFor(doc, want)
		if err != nil {
			return nil, err
		}
		names := image.Names
		if len(image.Platforms) > 1 {
			names = withSuffix(names, suffixFor(want))
		}
		all = append(all, choice{child, names})
	}
	return all, nil
}

// CheckPlatforms returns the error that Collect would return for an index which
// lacks one of these platforms. It asks for nothing but the root: of an image
// without an index it says nothing.
func CheckPlatforms(ctx context.Context, source Source, root oci.Descriptor, platforms []oci.Platform) error {
	if !oci.IsIndexType(root.MediaType) {
		return nil
	}
	_, err := choose(ctx, Image{Source: source, Platforms: platforms}, root)
	return err
}

func childFor(doc *oci.Document, want oci.Platform) (oci.Descriptor, error) {
	var offered []string
	for _, d := range doc.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		if d.Platform.Matches(want) {
			return d, nil
		}
		offered = append(offered, d.Platform.String())
	}
	return oci.Descriptor{}, absent(want, "there are", offered)
}

// absent says that an image has nothing for a platform, and what it has.
func absent(want oci.Platform, there string, offered []string) error {
	if len(offered) == 0 {
		return fmt.Errorf("no image for platform %s: %w", want, ErrNoPlatform)
	}
	return fmt.Errorf("no image for platform %s; %s: %s", want, there, strings.Join(offered, ", "))
}

// chooseSingle takes an image without an index if it is for the one platform wanted.
func chooseSingle(ctx context.Context, image Image, root oci.Descriptor) ([]choice, error) {
	closure, err := oci.Walk(ctx, root, image.Source.Document)
	if err != nil {
		return nil, err
	}
	has, err := closure.Platforms(func(d oci.Descriptor) ([]byte, error) { return readSmall(ctx, image.Source, d) })
	if err != nil {
		return nil, err
	}
	for _, want := range image.Platforms {
		matches := slices.ContainsFunc(has, func(s string) bool {
			p, err := oci.ParsePlatform(s)
			return err == nil && p.Matches(want)
		})
		if !matches {
			return nil, absent(want, "there is only", has)
		}
	}
	return []choice{{root, image.Names}}, nil
}

func suffixFor(p oci.Platform) string { return "-" + strings.ReplaceAll(p.String(), "/", "-") }

func withSuffix(names []string, suffix string) []string {
	var all []string
	for _, name := range names {
		if strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
			name += suffix
		}
		all = append(all, name)
	}
	return all
}

// walk takes in a root document, all below it, and all that refers to any of these.
func (g *gathered) walk(ctx context.Context, root oci.Descriptor) error {
	closure, err := oci.Walk(ctx, root, g.source.Document)
	if err != nil {
		return err
	}
	g.take(closure)
	config := func(d oci.Descriptor) ([]byte, error) { return readSmall(ctx, g.source, d) }
	if g.image.Platforms, err = closure.Platforms(config); err != nil {
		return err
	}
	g.image.Root = describe(closure.Nodes[len(closure.Nodes)-1])
	if err := g.referrers(ctx, closure.Nodes, 0); err != nil {
		return err
	}
	for _, n := range g.nodes {
		g.image.Manifests = append(g.image.Manifests, n.Digest)
	}
	slices.SortFunc(g.blobs, func(a, b oci.Descriptor) int { return a.Digest.Compare(b.Digest) })
	g.image.Blobs = []manifest.Digest{}
	for _, b := range g.blobs {
		g.image.Blobs = append(g.image.Blobs, b.Digest)
	}
	return nil
}

// take adds what a root document reaches and is not there yet.
func (g *gathered) take(closure *oci.Closure) {
	for _, n := range closure.Nodes {
		if !g.hasNode[n.Digest] {
			g.hasNode[n.Digest] = true
			g.nodes = append(g.nodes, n)
		}
	}
	for _, b := range closure.Blobs {
		if !g.hasBlob[b.Digest] {
			g.hasBlob[b.Digest] = true
			g.blobs = append(g.blobs, b)
		}
	}
}

func describe(n oci.Node) manifest.Descriptor {
	return manifest.Descriptor{MediaType: n.MediaType, Digest: n.Digest, Size: n.Size, ArtifactType: n.Doc.Kind()}
}

// readSmall fetches a config whole and proves it.
func readSmall(ctx context.Context, source Source, d oci.Descriptor) ([]byte, error) {
	if d.Size > oci.MaxConfig {
		return nil, fmt.Errorf("%w: config %s has %d bytes, at most %d are allowed", ErrRejected, d.Digest, d.Size, oci.MaxConfig)
	}
	r, err := source.Open(ctx, d, 0, d.Size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw := make([]byte, d.Size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, fmt.Errorf("reading config %s: %w", d.Digest, err)
	}
	if got := manifest.DigestOf(raw); got != d.Digest {
		return nil, fmt.Errorf("%w: config %s has other bytes (%s)", ErrRejected, d.Digest, got)
	}
	return raw, nil
}
