package create

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/volume"
)

// check refuses, before anybody is asked for anything, a release whose labels or
// names no manifest takes.
func (r *Release) check() error {
	stand := manifest.DigestOf(nil) // for what is not known yet
	var images []manifest.Image
	for _, image := range r.Images {
		if image.Source == nil {
			return fmt.Errorf("image %q: has no source", strings.Join(image.Names, ", "))
		}
		for _, names := range image.allNames() {
			images = append(images, manifest.Image{
				Names: names, Root: manifest.Descriptor{MediaType: oci.TypeIndex, Digest: stand, Size: 1},
				Manifests: []manifest.Digest{stand}, Blobs: []manifest.Digest{},
			})
		}
	}
	m := r.manifest(images)
	_, err := draft(m, volume.Layout{Stem: Stem(m.Release, m.Version)}.Name(0)).Marshal()
	return err
}

// allNames returns the names of each image that this one becomes.
func (image *Image) allNames() [][]string {
	if len(image.Platforms) < 2 {
		return [][]string{image.Names}
	}
	var all [][]string
	for _, p := range image.Platforms {
		all = append(all, withSuffix(image.Names, suffixFor(p)))
	}
	return all
}

// check refuses, before a byte is fetched or written, what could not be sealed.
func (c *Contents) check(m *manifest.Manifest, layout volume.Layout, signatures []Signature) error {
	if len(signatures) == 0 {
		return errors.New("a bundle needs a signature")
	}
	var names []string
	for _, s := range signatures {
		name, err := manifest.SignatureName(s.Principal)
		if err != nil {
			return err
		}
		if slices.Contains(names, name) {
			return fmt.Errorf("signer %q: signs twice", s.Principal)
		}
		names = append(names, name)
	}
	volumes := min(c.MaxBundleSize()/layout.Size, manifest.MaxVolumes-1)
	_, err := draft(m, layout.Name(int(volumes))).Marshal()
	return err
}

// draft returns a manifest that has one small volume of that name.
func draft(m *manifest.Manifest, name string) *manifest.Manifest {
	all := *m
	all.Volumes = []manifest.Volume{{Name: name, Size: 1}}
	all.Index = manifest.Extent{Size: 1, Digest: manifest.DigestOf(nil)}
	return &all
}

// What stands in a bundle beside the bytes of its blobs, in bytes at most.
const (
	mostPerItem   = 1024 // in the index
	mostPerFrame  = 16   // in the index
	mostPerVolume = 512  // in manifest.json and SHA256SUMS
	mostPerBundle = 1 << 20
)

// MaxBundleSize returns an upper bound of the bundle's bytes, for a check of
// the space it will take.
func (c *Contents) MaxBundleSize() int64 {
	size, m := c.Size(), c.manifest()
	bound := size + size/archive.FrameSize*mostPerFrame + size/manifest.BlockSize*(sha256.Size+mostPerVolume)
	bound += int64(len(c.items))*(mostPerItem+mostPerFrame) + mostPerBundle + int64(len(readme(m)))
	if text, err := draft(m, "x"+manifest.VolumeSuffix).Marshal(); err == nil {
		bound += int64(len(text))
	}
	return bound
}
