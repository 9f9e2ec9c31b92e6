package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// asks is how many questions an Engine is asked at a time.
const asks = 8

// classic is the image store with a graph driver. It knows an image by the
// digest of its config, and a layer by its chainID.
type classic struct{ *Engine }

// chainIDs returns the chainID of each layer: the name of it with all that is
// below it (image-spec, config.md, "Layer ChainID").
func chainIDs(diffIDs []manifest.Digest) []manifest.Digest {
	var all []manifest.Digest
	for i, d := range diffIDs {
		if i > 0 {
			d = manifest.DigestOf([]byte(all[i-1].String() + " " + d.String()))
		}
		all = append(all, d)
	}
	return all
}

// classicImage is an image of the release as this Engine keeps it.
type classicImage struct {
	*load.Image
	*picked
	chains []manifest.Digest
}

func (i *classicImage) id() manifest.Digest { return i.node.Doc.Config.Digest }

// images picks the Engine's platform from each image.
func (c *classic) images(r *release) ([]classicImage, error) {
	var all []classicImage
	for i := range r.images {
		image := &r.images[i]
		p, err := pick(image, c.platform, r)
		if err != nil {
			return nil, err
		}
		if p.config.Platform.OS != c.platform.OS {
			return nil, fmt.Errorf("image %q: is for %s, the engine runs %s", image.Names[0], p.config.Platform, c.platform)
		}
		all = append(all, classicImage{image, p, chainIDs(p.config.DiffIDs)})
	}
	return all, nil
}

// plan implements store.
func (c *classic) plan(ctx context.Context, r *release) (*load.Plan, error) {
	images, err := c.images(r)
	if err != nil {
		return nil, err
	}
	have, err := c.inventory(ctx, images)
	if err != nil {
		return nil, err
	}
	p := &load.Plan{}
	p.Reads, p.Present = have.divide(images)
	for i := range images {
		image := &images[i]
		names, err := c.planNames(ctx, image.Names, image.id(), func(reference.Named) string { return "" })
		if err != nil {
			return nil, err
		}
		p.Names = append(p.Names, names...)
		p.Notes = append(p.Notes, c.notes(image, len(names))...)
	}
	return p, checkUnique(p.Names)
}

// notes says what this store cannot keep of an image.
func (c *classic) notes(image *classicImage, names int) []string {
	var all []string
	note := func(format string, args ...any) {
		all = append(all, fmt.Sprintf("%s: ", image.Names[0])+fmt.Sprintf(format, args...))
	}
	if n := len(image.Platforms); n > 1 {
		note("this engine's image store keeps one platform: %s of %d", image.config.Platform, n)
	}
	if rank(image.config.Platform, c.platform) == 0 {
		note("is for %s; the engine is %s", image.config.Platform, c.platform)
	}
	if n := len(image.Referrers); n > 0 {
		note("this engine's image store keeps no signatures, attestations or SBOMs: %d are left out", n)
	}
	if names < len(image.Names) {
		note("has a name without a tag, which this engine's image store cannot keep; its ID is %s", image.id())
	}
	return all
}

// inventory is what an Engine has.
type inventory struct {
	ids    map[manifest.Digest]bool
	chains map[manifest.Digest]bool
}

// inventory asks for the Engine's images and, if one of ours is missing, for
// the layers of all of them.
func (c *classic) inventory(ctx context.Context, images []classicImage) (*inventory, error) {
	list, err := c.api.ImageList(ctx, client.ImageListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing the engine's images: %w", err)
	}
	have := &inventory{ids: map[manifest.Digest]bool{}, chains: map[manifest.Digest]bool{}}
	for _, found := range list.Items {
		if id, err := manifest.ParseDigest(found.ID); err == nil {
			have.ids[id] = true
		}
	}
	if !slices.ContainsFunc(images, func(i classicImage) bool { return !have.ids[i.id()] }) {
		return have, nil
	}
	layers := make([][]manifest.Digest, len(list.Items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asks)
	for i, found := range list.Items {
		group.Go(func() error {
			inspected, err := c.api.ImageInspect(ctx, found.ID)
			if err != nil { // it may just have been removed: then it is not counted on
				return ctx.Err()
			}
			layers[i] = parseDigests(inspected.RootFS.Layers)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, diffIDs := range layers {
		for _, chain := range chainIDs(diffIDs) {
			have.chains[chain] = true
		}
	}
	return have, nil
}

// parseDigests returns the digests up to the first that is none.
func parseDigests(texts []string) []manifest.Digest {
	var all []manifest.Digest
	for _, text := range texts {
		d, err := manifest.ParseDigest(text)
		if err != nil {
			return all
		}
		all = append(all, d)
	}
	return all
}

// divide says which blobs of the images are to be read and which are there.
func (have *inventory) divide(images []classicImage) (reads, present []oci.Descriptor) {
	all, missing := map[manifest.Digest]oci.Descriptor{}, map[manifest.Digest]bool{}
	for _, image := range images {
		config := *image.node.Doc.Config
		there := have.ids[image.id()]
		all[config.Digest] = config
		missing[config.Digest] = !there
		for i, layer := range image.node.Doc.Layers {
			all[layer.Digest] = layer
			if !there && !have.chains[image.chains[i]] {
				missing[layer.Digest] = true
			}
		}
	}
	for digest, d := range all {
		if missing[digest] {
			reads = append(reads, d)
		} else {
			present = append(present, d)
		}
	}
	slices.SortFunc(reads, byDigest)
	slices.SortFunc(present, byDigest)
	return reads, present
}

func byDigest(a, b oci.Descriptor) int { return a.Digest.Compare(b.Digest) }

// digestsOf returns a set.
func digestsOf(all []oci.Descriptor) map[manifest.Digest]bool {
	set := map[manifest.Digest]bool{}
	for _, d := range all {
		set[d.Digest] = true
	}
	return set
}

// jobs implements store: the largest image first, each layer in the first
// image that has it.
func (c *classic) jobs(_ context.Context, r *release, p *load.Plan) ([]*job, error) {
	images, err := c.images(r)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(images, func(a, b classicImage) int { return cmp.Compare(sizeOf(b), sizeOf(a)) })
	present, sent, carrier := digestsOf(p.Present), map[manifest.Digest]bool{}, map[manifest.Digest]*job{}
	inflater := newInflater(r)
	var all []*job
	for _, image := range images {
		if present[image.id()] || sent[image.id()] {
			continue
		}
		sent[image.id()] = true
		j := &job{name: image.Names[0], id: image.id(), done: make(chan struct{})}
		var layers []classicLayer
		for i, chain := range image.chains {
			layer := classicLayer{image.node.Doc.Layers[i], image.config.DiffIDs[i]}
			switch other := carrier[chain]; {
			case other != nil && other != j:
				j.needs = append(j.needs, other)
			case !present[layer.blob.Digest]:
				carrier[chain] = j
				if !slices.ContainsFunc(layers, func(l classicLayer) bool { return l.diffID == layer.diffID }) {
					layers = append(layers, layer)
					j.bytes += layer.blob.Size
				}
			}
		}
		j.files = inflater.filesOf(image, layers)
		all = append(all, j)
	}
	return all, nil
}

func sizeOf(image classicImage) int64 {
	var sum int64
	for _, layer := range image.node.Doc.Layers {
		sum += layer.Size
	}
	return sum
}

// classicLayer is a layer that is sent as the tar that its diffID names.
type classicLayer struct {
	blob   oci.Descriptor
	diffID manifest.Digest
}

// filesOf returns job.files for an image that brings these layers.
func (f *inflater) filesOf(image classicImage, layers []classicLayer) func(context.Context, bool, func(int)) ([]file, error) {
	return func(ctx context.Context, exact bool, read func(int)) ([]file, error) {
		var files []file
		for _, layer := range layers {
			size, ok, err := f.guess(layer.blob)
			if err == nil && (exact || !ok) {
				size, err = f.count(ctx, layer.blob)
			}
			if err != nil {
				return nil, err
			}
			files = append(files, file{layerName(layer.diffID), size, func(ctx context.Context) (io.ReadCloser, error) {
				r, err := f.open(ctx, layer.blob, read)
				if err != nil {
					return nil, err
				}
				return judge(r, size, layer.diffID), nil
			}})
		}
		config := image.id().Hex() + ".json"
		last, err := dockerManifest(config, image.config.DiffIDs)
		if err != nil {
			return nil, err
		}
		return append(files, fileOf(config, image.raw), fileOf("manifest.json", last)), nil
	}
}

func layerName(diffID manifest.Digest) string { return diffID.Hex() + ".tar" }

// dockerManifest returns manifest.json, which makes an image without a name of
// a config and layers. The files of layers that the Engine has are not opened.
func dockerManifest(config string, diffIDs []manifest.Digest) ([]byte, error) {
	type image struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	m := image{Config: config, Layers: []string{}}
	for _, d := range diffIDs {
		m.Layers = append(m.Layers, layerName(d))
	}
	return json.Marshal([]image{m})
}

// name implements store.
func (c *classic) name(ctx context.Context, _ *release, n load.Name) error {
	return c.tag(ctx, n.New, n.Name)
}

// check implements store: every image is there by its ID, with its layers.
func (c *classic) check(ctx context.Context, r *release) error {
	images, err := c.images(r)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asks)
	for i := range images {
		group.Go(func() error {
			image := &images[i]
			found, err := c.api.ImageInspect(ctx, image.id().String())
			if err != nil {
				return fmt.Errorf("image %q: %w", image.Names[0], err)
			}
			if found.ID != image.id().String() {
				return fmt.Errorf("image %q: the engine calls it %s, want %s", image.Names[0], found.ID, image.id())
			}
			if !slices.Equal(parseDigests(found.RootFS.Layers), image.config.DiffIDs) {
				return fmt.Errorf("image %q: the engine has the layers %s, want %s", image.Names[0], found.RootFS.Layers, image.config.DiffIDs)
			}
			return nil
		})
	}
	return group.Wait()
}

// plan is Plan.
func (e *Engine) plan(ctx context.Context, r *release) (*load.Plan, error) {
	return e.store.plan(ctx, r)
}
