package registry

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

const (
	questions = 8  // asked side by side
	maxMounts = 16 // repositories that a login may mount from
)

// Destination is a registry that takes releases. It is a load.Destination.
type Destination struct {
	client *Client
	net    *network
	host   string
	prefix string // of every path; empty: none

	mu      sync.Mutex
	release *load.Release // that targets are for
	targets []*target
	patches bool // the registry takes no upload in one request
}

// Destination returns the registry at host. An image a.example/shop/web:1.4
// becomes HOST/PREFIX/shop/web:1.4 there.
func (c *Client) Destination(host, prefix string) *Destination {
	only := host
	if host == dockerHost {
		only = dockerIndex
	}
	net := newNetwork(c, pushHeader)
	net.only = only
	return &Destination{client: c, net: net, host: host, prefix: strings.Trim(prefix, "/")}
}

// CheckDestination refuses a host and a prefix that no repository can have. It
// asks nobody.
func CheckDestination(host, prefix string) error {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		if err := checkPath(prefix); err != nil {
			return fmt.Errorf("prefix %q: want a path in lower case, such as %q", prefix, "team/mirror")
		}
	}
	ref := reference{host: host, path: "x"}
	return ref.check()
}

var _ load.Destination = (*Destination)(nil)

// target is a repository at the destination and what is to be in it.
type target struct {
	path  string
	repo  *repository
	nodes []oci.Node               // documents, children first
	known map[manifest.Digest]bool // those in nodes
	blobs map[manifest.Digest]oci.Descriptor
	extra []tag                        // cosign's tags
	names []tag                        // the images' tags
	bare  []manifest.Digest            // images without a tag
	lists map[manifest.Digest]oci.Node // indexes under fallback tags, by subject

	mu       sync.Mutex
	has      map[manifest.Digest]bool   // blobs and documents that are there
	at       map[string]manifest.Digest // what tags stand for
	unlisted map[manifest.Digest]bool   // subjects whose referrers the registry does not list itself
}

// tag is a tag and what it is to stand for.
type tag struct {
	name string
	node oci.Node
}

func (t *target) holds(d manifest.Digest) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has[d]
}

func (t *target) took(d manifest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.has[d] = true
}

// spread returns what each repository is to hold, in order of paths.
func (d *Destination) spread(r *load.Release) ([]*target, error) {
	byPath := map[string]*target{}
	for i := range r.Images {
		image := &r.Images[i]
		for _, name := range image.Names {
			ref, err := parseReference(name)
			if err != nil {
				return nil, err
			}
			path := strings.TrimPrefix(d.prefix+"/"+ref.path, "/")
			if byPath[path] == nil {
				byPath[path] = newTarget(path)
			}
			if err := byPath[path].add(image, ref.tag); err != nil {
				return nil, fmt.Errorf("image %q: at %s/%s, %w", name, d.host, path, err)
			}
		}
	}
	targets := make([]*target, 0, len(byPath))
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		targets = append(targets, byPath[path])
	}
	return targets, d.connect(targets)
}

func newTarget(path string) *target {
	return &target{
		path:     path,
		known:    map[manifest.Digest]bool{},
		blobs:    map[manifest.Digest]oci.Descriptor{},
		lists:    map[manifest.Digest]oci.Node{},
		has:      map[manifest.Digest]bool{},
		at:       map[string]manifest.Digest{},
		unlisted: map[manifest.Digest]bool{},
	}
}

// add has the target hold an image, under a tag unless it is empty.
func (t *target) add(image *load.Image, name string) error {
	nodes := map[manifest.Digest]oci.Node{}
	for _, n := range image.Nodes {
		nodes[n.Digest] = n
		if !t.known[n.Digest] {
			t.known[n.Digest] = true
			t.nodes = append(t.nodes, n)
		}
	}
	for _, b := range image.Blobs {
		t.blobs[b.Digest] = b
	}
	for _, r := range image.Referrers {
		var err error
		switch r.Tag {
		case "":
		case fallbackTag(r.Subject):
			t.lists[r.Subject] = nodes[r.Digest]
		default:
			t.extra, err = addTag(t.extra, tag{name: r.Tag, node: nodes[r.Digest]})
		}
		if err != nil {
			return err
		}
	}
	if name == "" {
		t.bare = append(t.bare, image.Root.Digest)
		return nil
	}
	var err error
	t.names, err = addTag(t.names, tag{name: name, node: nodes[image.Root.Digest]})
	return err
}

func addTag(tags []tag, add tag) ([]tag, error) {
	if !tagForm.MatchString(add.name) {
		return nil, fmt.Errorf("%q is not a tag", add.name)
	}
	for _, known := range tags {
		if known.name == add.name && known.node.Digest != add.node.Digest {
			return nil, fmt.Errorf("tag %s is for %s and for %s", add.name, known.node.Digest, add.node.Digest)
		}
		if known.name == add.name {
			return tags, nil
		}
	}
	return append(tags, add), nil
}

// connect gives each target its repository. The login for one may mount from
// the others that share a blob with it.
func (d *Destination) connect(targets []*target) error {
	if d.prefix != "" {
		if err := checkPath(d.prefix); err != nil {
			return fmt.Errorf("prefix %q: %w", d.prefix, err)
		}
	}
	for _, t := range targets {
		ref := reference{host: d.host, path: t.path}
		if err := ref.check(); err != nil {
			return fmt.Errorf("%s/%s: %w", d.host, t.path, err)
		}
		var also []string
		for _, other := range targets {
			if other != t && len(also) < maxMounts && other.shares(t) {
				also = append(also, other.path)
			}
		}
		var err error
		if t.repo, err = d.net.newRepository(ref, transport.PushScope, also...); err != nil {
			return fmt.Errorf("%s/%s: %w", d.host, t.path, err)
		}
	}
	return nil
}

func (t *target) shares(other *target) bool {
	for digest := range t.blobs {
		if _, ok := other.blobs[digest]; ok {
			return true
		}
	}
	return false
}

// Plan implements load.Destination. A blob that one of the repositories has is
// not read for the others that need it: it is mounted there.
func (d *Destination) Plan(ctx context.Context, r *load.Release) (*load.Plan, error) {
	targets, err := d.survey(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &load.Plan{}
	for _, blob := range r.Blobs() {
		there := func(t *target) bool { return t.blobs[blob.Digest].Digest == blob.Digest && t.holds(blob.Digest) }
		if slices.ContainsFunc(targets, there) {
			p.Present = append(p.Present, blob)
		} else {
			p.Reads = append(p.Reads, blob)
		}
		if len(blob.URLs) > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("layer %s has URLs: a registry refuses its image unless it is set up to allow them", blob.Digest))
		}
	}
	for _, t := range targets {
		for _, root := range t.bare {
			p.Notes = append(p.Notes, fmt.Sprintf("without a tag, by its digest alone: %s/%s@%s", d.host, t.path, root))
		}
		for _, tag := range slices.Concat(t.extra, t.names) {
			p.Names = append(p.Names, load.Name{Name: d.nameOf(t, tag), Old: t.at[tag.name], New: tag.node.Digest})
		}
	}
	return p, nil
}

// survey asks which blobs, documents and tags are there.
func (d *Destination) survey(ctx context.Context, r *load.Release) ([]*target, error) {
	targets, err := d.spread(r)
	if err != nil {
		return nil, err
	}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(questions)
	for _, t := range targets {
		for _, blob := range t.blobs {
			group.Go(func() error { return t.ask(asking, blob, "blobs") })
		}
		for _, n := range t.nodes {
			group.Go(func() error { return t.ask(asking, n.Descriptor, "manifests") })
		}
		for _, tag := range slices.Concat(t.extra, t.names) {
			group.Go(func() error { return t.askTag(asking, tag.name) })
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release, d.targets = r, targets
	return targets, nil
}

// surveyed returns what the last survey found if it was for r.
func (d *Destination) surveyed(ctx context.Context, r *load.Release) ([]*target, error) {
	d.mu.Lock()
	release, targets := d.release, d.targets
	d.mu.Unlock()
	if release == r {
		return targets, nil
	}
	return d.survey(ctx, r)
}

func (t *target) ask(ctx context.Context, d oci.Descriptor, kind string) error {
	header := http.Header{}
	if kind == "manifests" {
		header.Set("Accept", d.MediaType)
	}
	resp, ok, err := t.repo.exists(ctx, header, kind, d.Digest.String())
	if err != nil {
		return t.errorf(d.Digest.String(), err)
	}
	// A blob of another size is not the blob; what sends us on to it does not say.
	if ok && (resp.StatusCode != http.StatusOK || resp.ContentLength < 0 || resp.ContentLength == d.Size) {
		t.took(d.Digest)
	}
	return nil
}

func (t *target) askTag(ctx context.Context, name string) error {
	raw, _, err := t.repo.document(ctx, name, acceptAny)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return t.errorf(name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[name] = manifest.DigestOf(raw)
	return nil
}

// errorf says what err is about: a tag or a digest in the repository.
func (t *target) errorf(what string, err error) error {
	return fmt.Errorf("%s/%s, %s: %w", t.repo.name.RegistryStr(), t.path, what, err)
}
