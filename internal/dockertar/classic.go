package dockertar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// classic is an image of an archive without an OCI manifest.
type classic struct {
	fsys       fs.FS
	candidates []candidate // what the reference may stand for, never empty
	pinned     manifest.Digest

	mu     sync.Mutex
	chosen *image
}

// image is a candidate with its manifest.
type image struct {
	root   oci.Descriptor
	raw    []byte // the manifest
	config candidate
	layers map[manifest.Digest]string // digest to file name
}

func openClassic(fsys fs.FS, reference string) (*classic, error) {
	list, err := readList(fsys)
	if err != nil {
		return nil, err
	}
	name, text, isPinned := strings.Cut(reference, "@")
	c := &classic{fsys: fsys}
	if isPinned {
		if c.pinned, err = manifest.ParseDigest(text); err != nil {
			return nil, fmt.Errorf("reference %q: %w", reference, err)
		}
	}
	for _, one := range list {
		found, err := readCandidate(fsys, one)
		if err != nil {
			return nil, err
		}
		c.candidates = append(c.candidates, found)
	}
	return c, c.narrow(name)
}

// narrow keeps the candidates that the name, or none, and the pinned digest
// leave: one, or several where only their manifests' digests can tell.
func (c *classic) narrow(name string) error {
	all := c.candidates
	if name != "" {
		if c.candidates = withTag(all, name); len(c.candidates) == 0 {
			return fmt.Errorf("there is no image %q; there is %s", name, choices(all))
		}
	}
	first := c.candidates[0]
	several := slices.ContainsFunc(c.candidates, func(o candidate) bool { return o.id != first.id })
	byID := slices.IndexFunc(c.candidates, func(o candidate) bool { return o.id == c.pinned })
	switch {
	case byID >= 0:
		c.candidates, c.pinned = withID(c.candidates, c.pinned), manifest.Digest{}
	case several && c.pinned.IsZero() && name == "":
		return fmt.Errorf("which of several images? There is %s", choices(all))
	case several && c.pinned.IsZero():
		return fmt.Errorf("%q names several images; give one as @sha256:…: %s", name, choices(c.candidates))
	}
	return nil
}

// Names returns the full names (host/path:tag) of the image's tags, sorted.
func (c *classic) Names() []string {
	var all []string
	for _, o := range c.candidates {
		if o.id == c.candidates[0].id {
			all = append(all, o.names()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Resolve returns the manifest that is made for the image. Layers that are
// compressed in the archive are read and hashed the first time.
func (c *classic) Resolve(ctx context.Context) (oci.Descriptor, error) {
	i, err := c.image(ctx)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return i.root, nil
}

// image makes the manifest once. Of several candidates it is the one with the
// pinned digest.
func (c *classic) image(ctx context.Context) (*image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chosen != nil {
		return c.chosen, nil
	}
	var got []string
	for _, candidate := range c.candidates {
		i, err := makeImage(ctx, c.fsys, candidate)
		if err != nil {
			return nil, err
		}
		if c.pinned.IsZero() || i.root.Digest == c.pinned {
			c.chosen = i
			return i, nil
		}
		got = append(got, fmt.Sprintf("%s (config %s)", i.root.Digest, candidate.id))
	}
	return nil, fmt.Errorf("%w: the archive has not %s but %s", ErrRejected, c.pinned, strings.Join(got, ", "))
}

// makeImage makes the one manifest for a candidate.
func makeImage(ctx context.Context, fsys fs.FS, c candidate) (*image, error) {
	type descriptor struct {
		MediaType string          `json:"mediaType"`
		Digest    manifest.Digest `json:"digest"`
		Size      int64           `json:"size"`
	}
	doc := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{2, oci.TypeManifest, descriptor{oci.TypeConfig, c.id, int64(len(c.raw))}, []descriptor{}}
	i := &image{config: c, layers: map[manifest.Digest]string{}}
	for n, name := range c.Layers {
		d, err := describeLayer(ctx, fsys, name, c.config.DiffIDs[n])
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", name, err)
		}
		doc.Layers = append(doc.Layers, descriptor{d.MediaType, d.Digest, d.Size})
		i.layers[d.Digest] = name
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	i.raw = raw
	i.root = oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf(raw), Size: int64(len(raw))}
	return i, nil
}

// describeLayer tells what a layer's file is. A plain tar is taken to have the
// diffID for digest, which reading it will prove.
func describeLayer(ctx context.Context, fsys fs.FS, name string, diffID manifest.Digest) (oci.Descriptor, error) {
	f, size, err := openFile(fsys, name)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer f.Close()
	kind, err := sniff(f)
	if err != nil {
		return oci.Descriptor{}, err
	}
	d := oci.Descriptor{MediaType: oci.TypeLayer + kind.suffix(), Digest: diffID, Size: size}
	if kind == plain {
		return d, nil
	}
	h := sha256.New()
	n, err := io.Copy(h, &stoppable{ctx, io.NewSectionReader(f, 0, size)})
	if err != nil {
		return oci.Descriptor{}, err
	}
	if n != size {
		return oci.Descriptor{}, fmt.Errorf("got %d bytes, want %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	h.Sum(d.Digest[:0])
	return d, nil
}

// Document returns the image's manifest, the only document there is.
func (c *classic) Document(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	i, err := c.image(ctx)
	switch {
	case err != nil:
		return nil, err
	case d.Digest != i.root.Digest:
		return nil, fmt.Errorf("document %s: %w", d.Digest, fs.ErrNotExist)
	case d.Size != i.root.Size:
		return nil, fmt.Errorf("document %s: %w: got %d bytes, want %d", d.Digest, ErrRejected, i.root.Size, d.Size)
	}
	return bytes.Clone(i.raw), nil
}

// Open returns the bytes [from,to) of the config or a layer. A layer's are
// unproven. An archive that got shorter since is io.ErrUnexpectedEOF; ctx is
// asked before every read.
func (c *classic) Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
	if from < 0 || from > to || to > d.Size {
		return nil, fmt.Errorf("opening %s: no bytes %d to %d in a blob of %d", d.Digest, from, to, d.Size)
	}
	i, err := c.image(ctx)
	if err != nil {
		return nil, err
	}
	var f file = nopCloser{bytes.NewReader(i.config.raw)}
	size := int64(len(i.config.raw))
	if d.Digest != i.config.id {
		name, ok := i.layers[d.Digest]
		if !ok {
			return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
		}
		if f, size, err = openFile(c.fsys, name); err != nil {
			return nil, fmt.Errorf("opening %s: %w", d.Digest, err)
		}
	}
	if size != d.Size {
		f.Close()
		return nil, fmt.Errorf("opening %s: %w: got %d bytes, want %d", d.Digest, ErrRejected, size, d.Size)
	}
	return &part{stoppable: stoppable{ctx, io.NewSectionReader(f, from, to-from)}, file: f, left: to - from}, nil
}

// Referrers returns nothing: the older form has no place for them.
func (c *classic) Referrers(ctx context.Context, _ oci.Descriptor) ([]manifest.Referrer, error) {
	return nil, ctx.Err()
}

// part is a run of bytes of an open file.
type part struct {
	stoppable
	file io.Closer
	left int64
}

func (p *part) Read(b []byte) (int, error) {
	n, err := p.stoppable.Read(b)
	p.left -= int64(n)
	if errors.Is(err, io.EOF) && p.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *part) Close() error { return p.file.Close() }
