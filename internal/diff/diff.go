// Package diff tells what changed from one bundle to another, by image, layer
// and file, and what a delta between them carries.
//
// Both bundles are proven: what it reads comes from an *archive.Reader alone.
// Names of images and files are as somebody wrote them, and made printable
// only where they are printed.
package diff

import (
	"context"
	"fmt"

	"airlock/internal/archive"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// Report is what changed. Its JSON form is for programs.
type Report struct {
	From   Bundle  `json:"from"`
	To     Bundle  `json:"to"`
	Images []Image `json:"images"` // in the order of To; those removed behind
	Delta  Delta   `json:"delta"`
}

// Bundle names a bundle.
type Bundle struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Root    manifest.Digest `json:"root"`
	Bytes   int64           `json:"bytes"` // of the volumes
}

// State says what became of an image, a layer or a file.
type State string

// The states.
const (
	Same    State = "same"
	Changed State = "changed"
	Added   State = "added"
	Removed State = "removed"
)

// Image is what became of an image for one platform.
type Image struct {
	State         State    `json:"state"`
	Name          string   `json:"name"` // without a tag
	Platform      string   `json:"platform,omitempty"`
	From          *Version `json:"from,omitempty"`
	To            *Version `json:"to,omitempty"`
	ConfigChanged bool     `json:"configChanged,omitempty"`
	Layers        []Layer  `json:"layers,omitempty"` // but for one that is the same
}

// Version is an image as one of the bundles has it.
type Version struct {
	Names  []string        `json:"names"`
	Digest manifest.Digest `json:"digest"` // of its manifest
}

// Layer is what became of a layer.
type Layer struct {
	State State  `json:"state"`
	From  *Blob  `json:"from,omitempty"`
	To    *Blob  `json:"to,omitempty"`
	Delta int64  `json:"delta"`           // bytes of it in a delta
	Files *Files `json:"files,omitempty"` // of a changed layer
}

// Blob is a layer as one of the bundles has it.
type Blob struct {
	Digest manifest.Digest  `json:"digest"`
	DiffID *manifest.Digest `json:"diffID,omitempty"`
	Size   int64            `json:"size"` // bytes as it is pulled
}

// Options say how to compare.
type Options struct {
	AllFiles bool // list every file, however many
	Progress progress.Sink
}

// Of compares two bundles. Both must have all their bases (archive.ErrBase).
// Errors are about reading them; what cannot be read as files is only noted.
func Of(ctx context.Context, from, to *archive.Reader, o Options) (*Report, error) {
	c := &comparing{options: o, listed: maxListed}
	var err error
	if c.from, err = open(ctx, from); err != nil {
		return nil, err
	}
	if c.to, err = open(ctx, to); err != nil {
		return nil, err
	}
	r := &Report{From: bundle(from), To: bundle(to)}
	carried, err := c.delta(ctx, &r.Delta)
	if err != nil {
		return nil, err
	}
	c.carried = carried
	for _, p := range match(c.from.units, c.to.units) {
		image, err := c.image(ctx, p)
		if err != nil {
			return nil, err
		}
		r.Images = append(r.Images, *image)
	}
	return r, nil
}

// side is one of the two bundles.
type side struct {
	blobs   *archive.Reader
	release *load.Release
	units   []unit
}

// open reads the documents of a bundle that has its bases.
func open(ctx context.Context, blobs *archive.Reader) (*side, error) {
	if err := blobs.Complete(); err != nil {
		return nil, err
	}
	r, err := load.NewRelease(ctx, blobs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", blobs.Manifest().Title(), err)
	}
	s := &side{blobs: blobs, release: r}
	s.units, err = units(r)
	return s, err
}

func bundle(r *archive.Reader) Bundle {
	m := r.Manifest()
	return Bundle{m.Release, m.Version, r.Verified().Root(), m.SpaceSize()}
}

// comparing is the making of one report.
type comparing struct {
	options  Options
	from, to *side
	carried  map[manifest.Digest]int64 // bytes of To's blobs in a delta
	listed   int                       // files that may still be listed
}

// image compares the two versions of an image; one of them may be nil.
func (c *comparing) image(ctx context.Context, p matched) (*Image, error) {
	if p.to == nil {
		return &Image{State: Removed, Name: p.from.repo(), Platform: p.from.platform, From: p.from.version()}, nil
	}
	image := &Image{State: Added, Name: p.to.repo(), Platform: p.to.platform, To: p.to.version()}
	if p.from == nil {
		p.from = &unit{}
	} else {
		image.From = p.from.version()
		image.State = Changed
		image.ConfigChanged = p.from.config != p.to.config
	}
	if p.from.digest == p.to.digest {
		image.State = Same
		return image, nil
	}
	for _, l := range align(p.from, p.to) {
		layer, err := c.layer(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", image.Name, err)
		}
		image.Layers = append(image.Layers, *layer)
	}
	return image, nil
}

// layer compares the two versions of a layer; one of them may be nil.
func (c *comparing) layer(ctx context.Context, p paired) (*Layer, error) {
	l := &Layer{State: Changed}
	if p.from != nil {
		l.From = p.from.blob()
	}
	if p.to != nil {
		l.To, l.Delta = p.to.blob(), c.carried[p.to.Digest]
	}
	switch {
	case p.to == nil:
		l.State = Removed
	case p.from == nil:
		l.State = Added
	case p.same:
		l.State = Same
	default:
		var err error
		l.Files, err = c.files(ctx, p)
		return l, err
	}
	return l, nil
}
