package create

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// referrers adds what refers to the nodes, and what refers to that. A referrer
// that a list names and the source does not have is left out with a note, and
// so is the list, for no registry takes a list with gaps: the far side's makes
// one of what there is.
func (g *gathered) referrers(ctx context.Context, nodes []oci.Node, depth int) error {
	if depth == maxReferrerDepth {
		return nil
	}
	found, err := g.ask(ctx, nodes)
	if err != nil {
		return err
	}
	before := len(g.nodes)
	kept := make([]*manifest.Referrer, len(found))
	for _, tagged := range []bool{true, false} { // lists before what they list
		for i, r := range found {
			if (r.Tag != "") != tagged {
				continue
			}
			if kept[i], err = g.refer(ctx, r); err != nil {
				return fmt.Errorf("%s, which refers to %s: %w", r.Digest, r.Subject, err)
			}
		}
	}
	for _, r := range kept {
		if r != nil && !slices.Contains(g.image.Referrers, *r) {
			g.image.Referrers = append(g.image.Referrers, *r)
		}
	}
	if len(g.nodes) == before {
		return nil
	}
	return g.referrers(ctx, slices.Clone(g.nodes[before:]), depth+1)
}

// refer takes in one referrer with all below it, and returns it as its documents
// describe it, or nil if it is left out.
func (g *gathered) refer(ctx context.Context, r manifest.Referrer) (*manifest.Referrer, error) {
	closure, err := oci.Walk(ctx, oci.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size}, g.source.Document)
	if errors.Is(err, fs.ErrNotExist) {
		g.leaveOut(r, "is not there or not whole: "+err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root := closure.Nodes[len(closure.Nodes)-1]
	if reason := g.doubt(r, root.Doc); reason != "" {
		g.leaveOut(r, reason)
		return nil, nil
	}
	g.take(closure)
	if r.Tag == oci.ReferrersTag(r.Subject) {
		g.lists[r.Subject] = root.Doc
	}
	r.Descriptor = describe(root)
	return &r, nil
}

// doubt returns why a document is not what a referrer says of it, if it is not.
func (g *gathered) doubt(r manifest.Referrer, doc *oci.Document) string {
	switch {
	case r.Tag == oci.ReferrersTag(r.Subject) && !doc.IsIndex():
		return "is no index, and stands under the tag of one"
	case r.Tag == "" && !doc.RefersTo(r.Subject) && !g.isListed(r):
		return "does not say itself that it does, and the list that does is left out"
	}
	return ""
}

// isListed reports whether an index that was taken in lists r.
func (g *gathered) isListed(r manifest.Referrer) bool {
	list, ok := g.lists[r.Subject]
	return ok && slices.ContainsFunc(list.Manifests, func(d oci.Descriptor) bool { return d.Digest == r.Digest })
}

func (g *gathered) leaveOut(r manifest.Referrer, reason string) {
	what := r.Digest.String()
	if r.Tag != "" {
		what = "tag " + r.Tag + ", " + what
	}
	g.notes = append(g.notes, fmt.Sprintf("%s: what refers to %s is left out: %s %s", g.image.Names[0], r.Subject, what, reason))
}

// ask asks for the referrers of all nodes side by side, and returns them in order.
func (g *gathered) ask(ctx context.Context, nodes []oci.Node) ([]manifest.Referrer, error) {
	found := make([][]manifest.Referrer, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, n := range nodes {
		group.Go(func() error {
			var err error
			found[i], err = g.source.Referrers(ctx, n.Descriptor)
			slices.SortFunc(found[i], compareReferrers)
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

func compareReferrers(a, b manifest.Referrer) int {
	return cmp.Or(cmp.Compare(a.Tag, b.Tag), a.Digest.Compare(b.Digest))
}
