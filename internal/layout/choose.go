package layout

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// FullName returns the name host/path:tag that Docker takes name for: host
// docker.io, path library/… and tag latest are filled in. A digest behind the
// name stays.
func FullName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

// fullNames returns the full names that an entry of index.json spells out. A
// tag alone is none.
func fullNames(d oci.Descriptor) []string {
	var all []string
	for _, key := range []string{ContainerdName, RefName} {
		name := d.Annotations[key]
		if !strings.Contains(name, "/") && !(key == ContainerdName && name != "") {
			continue
		}
		if full, err := FullName(name); err == nil {
			all = append(all, full)
		}
	}
	return all
}

// choose returns what a reference stands for.
func (s *Source) choose(reference string) (oci.Descriptor, error) {
	name, text, pinned := strings.Cut(reference, "@")
	var digest manifest.Digest
	if pinned {
		var err error
		if digest, err = manifest.ParseDigest(text); err != nil {
			return oci.Descriptor{}, fmt.Errorf("reference %q: %w", reference, err)
		}
	}
	switch {
	case name != "":
		return s.byName(name, digest)
	case pinned:
		return s.byDigest(digest)
	}
	return s.single()
}

// byName returns the one document of the name, which must have the digest if
// that is not zero.
func (s *Source) byName(name string, digest manifest.Digest) (oci.Descriptor, error) {
	full, _ := FullName(name)
	exact := s.documents(func(d oci.Descriptor) bool {
		return d.Annotations[RefName] == name || d.Annotations[ContainerdName] == name
	})
	if len(exact) == 0 {
		exact = s.documents(func(d oci.Descriptor) bool { return slices.Contains(fullNames(d), full) })
	}
	switch {
	case len(exact) == 0:
		return oci.Descriptor{}, fmt.Errorf("there is no image %q; there is %s", name, s.choices(s.entries))
	case len(exact) > 1:
		return oci.Descriptor{}, fmt.Errorf("%q names several images: %s; give one as @sha256:…", name, digests(exact))
	case !digest.IsZero() && exact[0].Digest != digest:
		return oci.Descriptor{}, fmt.Errorf("%w: %q is %s, not %s", ErrRejected, name, exact[0].Digest, digest)
	}
	return exact[0], nil
}

// byDigest looks among the entries of index.json and then in all documents below.
func (s *Source) byDigest(digest manifest.Digest) (oci.Descriptor, error) {
	is := func(d oci.Descriptor) bool { return d.Digest == digest }
	if found := s.documents(is); len(found) > 0 {
		return found[0], nil
	}
	all, err := s.scan(never)
	if err != nil {
		return oci.Descriptor{}, err
	}
	if d, ok := all.documents[digest]; ok {
		return d, nil
	}
	return oci.Descriptor{}, fmt.Errorf("there is no image %s; there is %s", digest, s.choices(s.entries))
}

// single returns the layout's only image; signatures and the like do not count.
func (s *Source) single() (oci.Descriptor, error) {
	images := s.documents(func(d oci.Descriptor) bool { return !referrerTag(d) })
	if len(images) > 1 {
		all, err := s.scan(never)
		if err != nil {
			return oci.Descriptor{}, err
		}
		images = slices.DeleteFunc(images, func(d oci.Descriptor) bool { return all.refers[d.Digest] })
	}
	switch len(images) {
	case 0:
		return oci.Descriptor{}, errors.New("there is no image in the layout")
	case 1:
		return images[0], nil
	}
	return oci.Descriptor{}, fmt.Errorf("which of several images? There is %s", s.choices(images))
}

// documents returns the entries of index.json that point to an index or a
// manifest and that are wanted, each digest once.
func (s *Source) documents(want func(oci.Descriptor) bool) []oci.Descriptor {
	var found []oci.Descriptor
	for _, d := range s.entries {
		known := slices.ContainsFunc(found, func(f oci.Descriptor) bool { return f.Digest == d.Digest })
		if d.IsDocument() && !known && want(d) {
			found = append(found, d)
		}
	}
	return found
}

// choices lists for people what an image may be asked for by.
func (s *Source) choices(of []oci.Descriptor) string {
	const most = 20
	var all []string
	for _, d := range of {
		name := d.Annotations[RefName]
		if name == "" {
			name = d.Annotations[ContainerdName]
		}
		switch {
		case !d.IsDocument() || referrerTag(d):
		case name != "":
			all = append(all, fmt.Sprintf("%q", name))
		default:
			all = append(all, "@"+d.Digest.String())
		}
	}
	if len(all) == 0 {
		return "none"
	}
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("… and %d more", len(all)-most))
	}
	return strings.Join(all, ", ")
}

func digests(of []oci.Descriptor) string {
	var all []string
	for _, d := range of {
		all = append(all, d.Digest.String())
	}
	return strings.Join(all, ", ")
}
