package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Destination is a folder that takes releases as an OCI image layout. It is a
// load.Destination.
//
// Images are listed in index.json under their full names, in the annotations
// RefName and ContainerdName; what refers to them is listed too, under
// host/path:tag where it has a tag. Entries of other images stay as they are.
//
// Guarantees:
//
//   - index.json is replaced as a whole when all that the release needs is on
//     the disk; before that the layout is as it was, but for blobs that
//     nothing points to yet, and a second Load goes on from these.
//   - No entry is put before every blob it reaches was written from the bundle
//     or, where it was there, hashed by this Load; one with other bytes is
//     written anew. A blob that only entries reach that were in place before
//     is known by its size alone, so that loading a release again is quick.
//   - Two loads into one folder follow each other.
type Destination struct {
	dir string
}

var _ load.Destination = (*Destination)(nil)

// NewDestination returns the folder as a destination. It need not exist, but
// the one that holds it must; one that exists must be empty or a layout.
func NewDestination(dir string) *Destination { return &Destination{dir: dir} }

// String describes the destination for people.
func (d *Destination) String() string { return "OCI image layout " + d.dir }

// ours begins the names of files that only Airlock knows.
const ours = ".airlock"

// Plan implements load.Destination. Blobs are told by their sizes.
func (d *Destination) Plan(ctx context.Context, r *load.Release) (*load.Plan, error) {
	p, err := d.plan(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("layout %q: %w", d.dir, err)
	}
	return p, nil
}

func (d *Destination) plan(ctx context.Context, r *load.Release) (*load.Plan, error) {
	want, err := wanted(r)
	if err != nil {
		return nil, err
	}
	old, root, err := d.survey()
	if err != nil {
		return nil, err
	}
	if root != nil {
		defer root.Close()
	}
	if _, err := old.with(want); err != nil {
		return nil, err
	}
	p := &load.Plan{}
	for _, blob := range r.Blobs() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if root != nil && hasSize(root, blob) {
			p.Present = append(p.Present, blob)
		} else {
			p.Reads = append(p.Reads, blob)
		}
	}
	for _, w := range want {
		if w.name == "" && w.image {
			p.Notes = append(p.Notes, fmt.Sprintf("without a tag, by its digest alone: oci:%s@%s", d.dir, w.Digest))
		}
		if w.name != "" && !w.list {
			p.Names = append(p.Names, load.Name{Name: w.name, Old: old.standsFor(w), New: w.Digest})
		}
	}
	for _, image := range r.Images {
		if t := image.Root.MediaType; t == oci.TypeDockerList || t == oci.TypeDockerManifest {
			p.Notes = append(p.Notes, fmt.Sprintf("image %q has Docker's media types: skopeo finds only OCI's in a layout", image.Names[0]))
		}
	}
	return p, nil
}

// survey returns the layout's index and its folder, which is nil if there is none yet.
func (d *Destination) survey() (*index, *os.Root, error) {
	root, err := os.OpenRoot(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(d.dir)); err != nil {
			return nil, nil, fmt.Errorf("the folder above it: %w", err)
		}
		return newIndex(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := survey(root.FS())
	if err != nil {
		root.Close()
		return nil, nil, err
	}
	return x, root, nil
}

func hasSize(root *os.Root, blob oci.Descriptor) bool {
	info, err := root.Lstat(blobPath(blob.Digest))
	return err == nil && info.Mode().IsRegular() && info.Size() == blob.Size
}

// survey reads the index.json of a layout. A folder without one is an empty
// layout if there is an oci-layout or nothing but Airlock's own files.
func survey(fsys fs.FS) (*index, error) {
	raw, err := readFile(fsys, indexName, oci.MaxDocument)
	if err == nil {
		if err := checkMark(fsys); err != nil {
			return nil, err
		}
		return parseIndex(raw)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	foreign := func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ours) }
	if slices.ContainsFunc(entries, foreign) {
		if err := checkMark(fsys); err != nil {
			return nil, fmt.Errorf("the folder is not empty: %w", err)
		}
	}
	return newIndex(), nil
}

// wish is an entry that index.json is to have.
type wish struct {
	oci.Descriptor
	name  string // full name; empty: none
	image bool   // it is what the name is for, not something that refers to it
	list  bool   // it is the index under a referrers tag
}

// wanted returns the entries for a release, each once: for every image its
// names and what refers to it. Two documents for one name are an error.
func wanted(r *load.Release) ([]wish, error) {
	var all []wish
	seen := map[string]manifest.Digest{}
	add := func(w wish) error {
		key := w.name
		if key == "" {
			key = "@" + w.Digest.String()
		}
		known, ok := seen[key]
		if ok && known != w.Digest {
			return fmt.Errorf("%q is to stand for %s and for %s", w.name, known, w.Digest)
		}
		if !ok {
			seen[key] = w.Digest
			all = append(all, w)
		}
		return nil
	}
	for i := range r.Images {
		for _, w := range wishes(&r.Images[i]) {
			if err := add(w); err != nil {
				return nil, err
			}
		}
	}
	// A name lists its document too: it comes before what wants no more than that.
	named, unnamed := []wish{}, []wish{}
	for _, w := range all {
		if w.name != "" {
			named = append(named, w)
		} else {
			unnamed = append(unnamed, w)
		}
	}
	return append(named, unnamed...), nil
}

func wishes(image *load.Image) []wish {
	var all []wish
	var repositories []string
	for _, name := range image.Names {
		repository, tag := splitTag(name)
		if repository == "" {
			repository, tag = name, ""
		}
		w := wish{Descriptor: image.Root, image: true}
		if tag != "" {
			w.name = name
		}
		all = append(all, w)
		repositories = append(repositories, repository)
	}
	slices.Sort(repositories)
	for _, r := range image.Referrers {
		d := oci.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size, ArtifactType: r.ArtifactType}
		if r.Tag == "" {
			all = append(all, wish{Descriptor: d})
			continue
		}
		for _, repository := range slices.Compact(repositories) {
			all = append(all, wish{Descriptor: d, name: repository + ":" + r.Tag, list: r.Tag == tagOf(r.Subject)})
		}
	}
	return all
}
