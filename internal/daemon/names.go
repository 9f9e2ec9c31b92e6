package daemon

import (
	"context"
	"errors"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"airlock/internal/load"
	"airlock/internal/manifest"
)

// parseName reads a name of a release. ok says that it has a tag.
func parseName(name string) (ref reference.Named, tagged bool, err error) {
	ref, err = reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, false, fmt.Errorf("image name %q: %w", name, err)
	}
	if _, digested := ref.(reference.Digested); digested {
		return nil, false, fmt.Errorf("image name %q: has a digest", name)
	}
	_, tagged = ref.(reference.Tagged)
	return ref, tagged, nil
}

// planNames says what the Engine will call an image with this ID, in the
// spelling of the docker command. A name without a tag becomes what untagged
// returns; "" leaves it out.
func (e *Engine) planNames(ctx context.Context, names []string, id manifest.Digest, untagged func(reference.Named) string) ([]load.Name, error) {
	var all []load.Name
	for _, name := range names {
		ref, tagged, err := parseName(name)
		if err != nil {
			return nil, err
		}
		spelt := reference.FamiliarString(ref)
		if !tagged {
			if spelt = untagged(ref); spelt == "" {
				continue
			}
		}
		old, err := e.standsFor(ctx, spelt)
		if err != nil {
			return nil, err
		}
		all = append(all, load.Name{Name: spelt, Old: old, New: id})
	}
	return all, nil
}

// standsFor returns the ID of the image with that name: zero if there is none.
func (e *Engine) standsFor(ctx context.Context, name string) (manifest.Digest, error) {
	found, err := e.api.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return manifest.Digest{}, nil
	}
	if err != nil {
		return manifest.Digest{}, fmt.Errorf("image %q: %w", name, err)
	}
	return manifest.ParseDigest(found.ID)
}

// checkUnique refuses two images under one name, which different spellings
// (docker.io/library/x and index.docker.io/library/x) can bring about.
func checkUnique(names []load.Name) error {
	seen := map[string]manifest.Digest{}
	for _, n := range names {
		if id, ok := seen[n.Name]; ok && id != n.New {
			return fmt.Errorf("%w: two images are called %q by the engine", ErrRejected, n.Name)
		}
		seen[n.Name] = n.New
	}
	return nil
}

// setNames gives the images their names: all of them, or, if one cannot be
// set, none. If that fails as well, its error is a *load.PartlyNamedError. It
// refuses if a name was given to another image since it was planned.
func (e *Engine) setNames(ctx context.Context, r *release, p *load.Plan) error {
	var open []load.Name
	for _, n := range p.Names {
		now, err := e.standsFor(ctx, n.Name)
		switch {
		case err != nil:
			return err
		case now == n.New:
			continue
		case now != n.Old:
			return fmt.Errorf("name %q: was given to another image, %s, while the release was loaded", n.Name, now)
		}
		open = append(open, n)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // all or none, and it takes milliseconds
	for i, n := range open {
		if err := e.store.name(ctx, r, n); err != nil {
			err = fmt.Errorf("naming %s %q: %w", n.New, n.Name, err)
			kept, restoring := e.restore(ctx, open[:i])
			return p.PartlyNamed(errors.Join(err, restoring), func(n load.Name) bool { return kept[n.Name] })
		}
	}
	return nil
}

// restore gives names back to the images that had them, and returns those with
// which it fails.
func (e *Engine) restore(ctx context.Context, names []load.Name) (map[string]bool, error) {
	kept := map[string]bool{}
	var all []error
	for _, n := range names {
		var err error
		if n.Old.IsZero() {
			_, err = e.api.ImageRemove(ctx, n.Name, client.ImageRemoveOptions{})
		} else {
			err = e.tag(ctx, n.Old, n.Name)
		}
		if err != nil {
			kept[n.Name] = true
			all = append(all, fmt.Errorf("giving name %q back: %w", n.Name, err))
		}
	}
	return kept, errors.Join(all...)
}

func (e *Engine) tag(ctx context.Context, id manifest.Digest, name string) error {
	_, err := e.api.ImageTag(ctx, client.ImageTagOptions{Source: id.String(), Target: name})
	return err
}

// checkNames asks what the names stand for.
func (e *Engine) checkNames(ctx context.Context, names []load.Name) error {
	for _, n := range names {
		now, err := e.standsFor(ctx, n.Name)
		if err != nil {
			return err
		}
		if now != n.New {
			return fmt.Errorf("name %q: stands for %s, want %s", n.Name, shown(now), n.New)
		}
	}
	return nil
}

func shown(d manifest.Digest) string {
	if d.IsZero() {
		return "nothing"
	}
	return d.String()
}
