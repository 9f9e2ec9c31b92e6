package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Annotations of index.json that containerd acts on when it imports a layout.
const (
	nameAnnotation    = "io.containerd.image.name"
	subjectAnnotation = "io.containerd.manifest.subject"
)

// containerd is the image store of today's Engine. It knows an image by the
// digest of its index or manifest and keeps blobs as they are.
type containerd struct{ *Engine }

// contents is what an Engine has.
type contents struct {
	complete []bool                   // of the images of the release: it is there with all it points to
	states   map[manifest.Digest]bool // manifests of whatever image: whether all of each is there
}

// contents asks for the images of a release and, if one is missing, for all.
func (c *containerd) contents(ctx context.Context, r *release) (*contents, error) {
	have := &contents{complete: make([]bool, len(r.images)), states: map[manifest.Digest]bool{}}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(asks)
	for i := range r.images {
		group.Go(func() (err error) {
			have.complete[i], err = c.complete(asking, &r.images[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if !slices.Contains(have.complete, false) || !c.since(apiManifests) {
		return have, nil
	}
	list, err := c.api.ImageList(ctx, client.ImageListOptions{All: true, Manifests: true})
	if err != nil {
		return nil, fmt.Errorf("listing the engine's images: %w", err)
	}
	for _, found := range list.Items {
		for d, complete := range statesOf(found.Manifests) {
			have.states[d] = have.states[d] || complete
		}
	}
	return have, nil
}

// complete reports whether the Engine has an image with all it points to. An
// Engine that does not list manifests is believed only for a single one.
func (c *containerd) complete(ctx context.Context, image *load.Image) (bool, error) {
	found, err := c.api.ImageInspect(ctx, image.Root.Digest.String(), client.ImageInspectWithManifests(c.since(apiManifests)))
	switch {
	case cerrdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("image %q: %w", image.Names[0], err)
	}
	nodes := below(nodesOf(image), image.Root.Digest)
	if !c.since(apiManifests) {
		return len(nodes) == 1, nil
	}
	states := statesOf(found.Manifests)
	return !slices.ContainsFunc(nodes, func(n oci.Node) bool {
		complete, listed := states[n.Digest]
		return listed && !complete
	}), nil
}

func statesOf(summaries []image.ManifestSummary) map[manifest.Digest]bool {
	all := map[manifest.Digest]bool{}
	for _, m := range summaries {
		if d, err := manifest.ParseDigest(m.Descriptor.Digest.String()); err == nil {
			all[d] = m.Available
		}
	}
	return all
}

// plan implements store.
func (c *containerd) plan(ctx context.Context, r *release) (*load.Plan, error) {
	have, err := c.contents(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &load.Plan{}
	p.Reads, p.Present = c.divide(r, have)
	for i := range r.images {
		image := &r.images[i]
		names, err := c.planNames(ctx, image.Names, image.Root.Digest, func(ref reference.Named) string {
			return reference.FamiliarName(ref) + "@" + image.Root.Digest.String()
		})
		if err != nil {
			return nil, err
		}
		p.Names = append(p.Names, names...)
		p.Notes = append(p.Notes, c.notes(image)...)
	}
	return p, checkUnique(p.Names)
}

// notes says what this store cannot keep of an image.
func (c *containerd) notes(image *load.Image) []string {
	var all []string
	if n := len(image.Referrers) - len(c.referrers(image)); n > 0 {
		all = append(all, fmt.Sprintf("%s: this engine does not keep %d of its %d signatures, attestations and SBOMs", image.Names[0], n, len(image.Referrers)))
	}
	fits := func(text string) bool {
		platform, err := oci.ParsePlatform(text)
		return err == nil && rank(platform, c.platform) > 0
	}
	if len(image.Platforms) > 0 && !slices.ContainsFunc(image.Platforms, fits) {
		all = append(all, fmt.Sprintf("%s: is for %s; the engine is %s", image.Names[0], image.Platforms, c.platform))
	}
	return all
}

// referrers returns what the Engine keeps of what refers to an image:
// manifests that name their subject themselves. Tags cannot be kept, and an
// older Engine would make an image of each.
func (c *containerd) referrers(image *load.Image) []manifest.Referrer {
	if !c.since(apiReferrers) {
		return nil
	}
	nodes := nodesOf(image)
	return slices.DeleteFunc(slices.Clone(image.Referrers), func(r manifest.Referrer) bool {
		node, ok := nodes[r.Digest]
		return !ok || r.Tag != "" || node.Doc.IsIndex() || node.Doc.Subject == nil
	})
}

// sent returns the documents and blobs that an image is sent with.
func (c *containerd) sent(image *load.Image) (nodes []oci.Node, blobs []oci.Descriptor) {
	all := nodesOf(image)
	roots := []manifest.Digest{image.Root.Digest}
	for _, r := range c.referrers(image) {
		roots = append(roots, r.Digest)
	}
	seen := map[manifest.Digest]bool{}
	for _, root := range roots {
		for _, node := range below(all, root) {
			if seen[node.Digest] {
				continue
			}
			seen[node.Digest] = true
			nodes = append(nodes, node)
			for _, child := range node.Children() {
				if !child.IsDocument() && !seen[child.Digest] {
					seen[child.Digest] = true
					blobs = append(blobs, child)
				}
			}
		}
	}
	return nodes, blobs
}

// divide says which blobs are to be read and which are there: those of
// complete images, and of complete manifests in other images.
func (c *containerd) divide(r *release, have *contents) (reads, present []oci.Descriptor) {
	all, there := map[manifest.Digest]oci.Descriptor{}, map[manifest.Digest]bool{}
	for i := range r.images {
		image := &r.images[i]
		nodes, blobs := c.sent(image)
		rooted := below(nodesOf(image), image.Root.Digest)
		if have.complete[i] {
			nodes, blobs = rooted, childBlobs(rooted)
			for _, d := range blobs {
				there[d.Digest] = true
			}
		}
		for _, d := range blobs {
			all[d.Digest] = d
		}
		for _, node := range nodes {
			for _, d := range childBlobs([]oci.Node{node}) {
				there[d.Digest] = there[d.Digest] || have.states[node.Digest]
			}
		}
	}
	for digest, d := range all {
		if there[digest] {
			present = append(present, d)
		} else {
			reads = append(reads, d)
		}
	}
	slices.SortFunc(reads, byDigest)
	slices.SortFunc(present, byDigest)
	return reads, present
}

func childBlobs(nodes []oci.Node) []oci.Descriptor {
	var all []oci.Descriptor
	for _, node := range nodes {
		for _, child := range node.Children() {
			if !child.IsDocument() {
				all = append(all, child)
			}
		}
	}
	return all
}

// jobs implements store: the largest image first, each blob in the first
// image that has it.
func (c *containerd) jobs(ctx context.Context, r *release, p *load.Plan) ([]*job, error) {
	have, err := c.contents(ctx, r)
	if err != nil {
		return nil, err
	}
	present, carrier := digestsOf(p.Present), map[manifest.Digest]*job{}
	var images []load.Image
	for i, image := range r.images {
		if !have.complete[i] {
			images = append(images, image)
		}
	}
	slices.SortStableFunc(images, func(a, b load.Image) int { return cmp.Compare(sum(b.Blobs), sum(a.Blobs)) })
	var all []*job
	for i := range images {
		image := &images[i]
		if carrier[image.Root.Digest] != nil {
			continue
		}
		j := &job{name: image.Names[0], id: image.Root.Digest, done: make(chan struct{})}
		nodes, blobs := c.sent(image)
		var brings []oci.Descriptor
		for _, d := range blobs {
			if other := carrier[d.Digest]; other != nil {
				j.needs = append(j.needs, other)
			} else if !present[d.Digest] {
				brings = append(brings, d)
				j.bytes += d.Size
				carrier[d.Digest] = j
			}
		}
		carrier[image.Root.Digest] = j
		j.files = func(_ context.Context, _ bool, read func(int)) ([]file, error) {
			return layoutFiles(r, nodes, brings, c.entries(image), read)
		}
		all = append(all, j)
	}
	return all, nil
}

func sum(all []oci.Descriptor) int64 {
	var n int64
	for _, d := range all {
		n += d.Size
	}
	return n
}

// entry is a descriptor in index.json.
type entry struct {
	MediaType    string            `json:"mediaType"`
	Digest       manifest.Digest   `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// entries returns what index.json lists for an image: it, and what refers to
// it. If all names of the image are without a tag, the image comes with them: a
// name with a digest moves from no other image.
func (c *containerd) entries(image *load.Image) []entry {
	root := image.Root
	plain := entry{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}
	var all []entry
	for _, name := range image.Names {
		ref, tagged, err := parseName(name)
		if tagged || err != nil {
			all = nil
			break
		}
		all = append(all, plain.named(withDigest(ref, root.Digest)))
	}
	if len(all) == 0 {
		all = []entry{plain}
	}
	for _, r := range c.referrers(image) {
		all = append(all, entry{r.MediaType, r.Digest, r.Size, r.ArtifactType, map[string]string{subjectAnnotation: r.Subject.String()}})
	}
	return all
}

// named returns an entry that makes containerd give the image a name.
func (e entry) named(name string) entry {
	e.Annotations = map[string]string{nameAnnotation: name}
	return e
}

func withDigest(ref reference.Named, d manifest.Digest) string { return ref.Name() + "@" + d.String() }

// layoutFiles returns an OCI layout (image-spec, image-layout.md) of these
// documents and blobs, with index.json last. Blobs are proven where they come
// from, before their last byte.
func layoutFiles(b blobs, nodes []oci.Node, brings []oci.Descriptor, entries []entry, read func(int)) ([]file, error) {
	files := []file{fileOf("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))}
	for _, node := range nodes {
		files = append(files, fileOf(blobPath(node.Digest), node.Raw))
	}
	for _, d := range brings {
		files = append(files, file{blobPath(d.Digest), d.Size, func(context.Context) (io.ReadCloser, error) {
			blob, err := b.Open(d)
			if err != nil {
				return nil, err
			}
			return aheadOf(counted{blob, read}, func() { blob.Close() }), nil
		}})
	}
	last, err := json.Marshal(struct {
		SchemaVersion int     `json:"schemaVersion"`
		MediaType     string  `json:"mediaType"`
		Manifests     []entry `json:"manifests"`
	}{2, oci.TypeIndex, entries})
	return append(files, fileOf("index.json", last)), err
}

func blobPath(d manifest.Digest) string { return "blobs/sha256/" + d.Hex() }

// name implements store. A name with a digest cannot be set by a tag; a layout
// that holds nothing but the image's documents brings it.
func (c *containerd) name(ctx context.Context, r *release, n load.Name) error {
	ref, err := reference.ParseNormalizedNamed(n.Name)
	if err != nil {
		return err
	}
	if _, digested := ref.(reference.Digested); !digested {
		return c.tag(ctx, n.New, n.Name)
	}
	i := slices.IndexFunc(r.images, func(i load.Image) bool { return i.Root.Digest == n.New })
	if i < 0 {
		return fmt.Errorf("no image %s in the release", n.New)
	}
	root := r.images[i].Root
	name := entry{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}.named(ref.String())
	files, err := layoutFiles(r, below(nodesOf(&r.images[i]), n.New), nil, []entry{name}, nil)
	if err != nil {
		return err
	}
	return c.post(ctx, newTarball(ctx, files, func(context.Context) error { return nil }))
}

// check implements store: every image is there by its digest, complete, and
// the layers of the platform that the Engine unpacked are the config's.
func (c *containerd) check(ctx context.Context, r *release) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asks)
	for i := range r.images {
		group.Go(func() error {
			if err := c.checkImage(ctx, r, &r.images[i]); err != nil {
				return fmt.Errorf("image %q: %w", r.images[i].Names[0], err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *containerd) checkImage(ctx context.Context, r *release, image *load.Image) error {
	found, err := c.api.ImageInspect(ctx, image.Root.Digest.String(), client.ImageInspectWithManifests(c.since(apiManifests)))
	if err != nil {
		return err
	}
	if found.ID != image.Root.Digest.String() {
		return fmt.Errorf("the engine calls it %s, want %s", found.ID, image.Root.Digest)
	}
	states := statesOf(found.Manifests)
	var layers [][]manifest.Digest
	for _, node := range below(nodesOf(image), image.Root.Digest) {
		if complete, listed := states[node.Digest]; listed && !complete {
			return fmt.Errorf("the engine has not all of its manifest %s", node.Digest)
		}
		if node.Doc.IsIndex() || !isImage(node) {
			continue
		}
		p, err := openManifest(node, r)
		if err != nil {
			return err
		}
		layers = append(layers, p.config.DiffIDs)
	}
	has := parseDigests(found.RootFS.Layers)
	if len(has) > 0 && !slices.ContainsFunc(layers, func(d []manifest.Digest) bool { return slices.Equal(d, has) }) {
		return fmt.Errorf("the engine has the layers %s, which none of its configs lists", found.RootFS.Layers)
	}
	return nil
}
