// Package release knows what people write down of a release: release.yaml,
// which wishes for images by tag, and release.lock.yaml, which pins them by
// digest.
package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// maxFile is how many bytes a release file may have.
const maxFile = 4 << 20

// File is a release file or, with every image pinned, a lock.
type File struct {
	Release     string            `yaml:"release"`
	Version     string            `yaml:"version"`
	Stream      string            `yaml:"stream,omitempty"`   // default: the release's name
	Epoch       uint64            `yaml:"epoch,omitempty"`    // default: 1
	Sequence    uint64            `yaml:"sequence,omitempty"` // default: seconds since 1970 of the time it was locked
	Expires     string            `yaml:"expires,omitempty"`  // UTC, such as 2027-01-31T00:00:00Z
	Annotations map[string]string `yaml:"annotations,omitempty"`
	Locked      string            `yaml:"locked,omitempty"` // UTC; only a lock has it
	Images      []Image           `yaml:"images"`
}

// Image is one image of a release file.
type Image struct {
	Image     string   `yaml:"image"`
	Digest    string   `yaml:"digest,omitempty"` // what Image stood for when it was locked
	Names     []string `yaml:"names,omitempty"`  // at the far side; default: Image's own
	Platforms []string `yaml:"platforms,omitempty"`
}

// Read reads and checks a release file.
func Read(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse reads one YAML document without unknown or repeated fields.
func Parse(raw []byte) (*File, error) {
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	f := &File{}
	if err := dec.Decode(f); err != nil {
		return nil, plain(err)
	}
	if err := dec.Decode(&File{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	return f, f.Check()
}

// Check refuses a file that cannot become a bundle.
func (f *File) Check() error {
	if err := manifest.CheckLabel(f.Release); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	if err := manifest.CheckLabel(f.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	if f.Stream != "" {
		if err := manifest.CheckLabel(f.Stream); err != nil {
			return fmt.Errorf("stream: %w", err)
		}
	}
	for _, t := range []string{f.Expires, f.Locked} {
		if t == "" {
			continue
		}
		if _, err := manifest.ParseTime(t); err != nil {
			return err
		}
	}
	if len(f.Images) == 0 {
		return errors.New("no images")
	}
	names := map[string]string{}
	for _, image := range f.Images {
		pin, err := image.Pin()
		if err != nil {
			return err
		}
		for _, name := range pin.Names {
			if other, taken := names[name]; taken && strings.Contains(name[strings.LastIndex(name, "/"):], ":") {
				return fmt.Errorf("images %q and %q would both be named %q", other, image.Image, name)
			}
			names[name] = image.Image
		}
	}
	return nil
}

// Pin is an image of a release file, read.
type Pin struct {
	Ref       Ref
	Names     []string // full names
	Platforms []oci.Platform
}

// Pinned reports whether the image is pinned by a digest.
func (p Pin) Pinned() bool { return !p.Ref.Digest.IsZero() }

// Pin reads the image's fields.
func (i Image) Pin() (Pin, error) {
	ref, err := ParseRef(i.Image)
	if err != nil {
		return Pin{}, err
	}
	p := Pin{Ref: ref}
	if p.Names, err = i.names(ref); err != nil {
		return Pin{}, err
	}
	if i.Digest != "" {
		digest, err := manifest.ParseDigest(i.Digest)
		if err != nil {
			return Pin{}, fmt.Errorf("image %q: %w", i.Image, err)
		}
		if p.Pinned() && ref.Digest != digest {
			return Pin{}, fmt.Errorf("image %q: is locked to another digest, %s", i.Image, digest)
		}
		p.Ref.Digest = digest
	}
	for _, s := range i.Platforms {
		platform, err := oci.ParsePlatform(s)
		if err != nil {
			return Pin{}, fmt.Errorf("image %q: %w", i.Image, err)
		}
		p.Platforms = append(p.Platforms, platform)
	}
	return p, nil
}

func (i Image) names(ref Ref) ([]string, error) {
	if len(i.Names) == 0 {
		name, err := ref.DefaultName()
		return []string{name}, err
	}
	var all []string
	for _, name := range i.Names {
		full, err := FullName(name)
		if err != nil {
			return nil, fmt.Errorf("image %q: name %q: %w", i.Image, name, err)
		}
		all = append(all, full)
	}
	return all, nil
}

// LockPath returns where the lock of a release file lies: release.lock.yaml
// beside release.yaml.
func LockPath(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + ".lock" + ext
}

// ErrUnpinned is wrapped where images are not pinned by digests.
var ErrUnpinned = errors.New("not pinned by a digest")

// ErrStale is wrapped where a lock belongs to another state of its release file.
var ErrStale = errors.New("the release file has changed since it was locked")

// ReadPinned reads a release file with its lock beside it, or a file that pins
// every image by itself. Errors wrap ErrUnpinned and ErrStale.
func ReadPinned(path string) (*File, error) {
	f, err := Read(path)
	if err != nil {
		return nil, err
	}
	if f.pinned() {
		return f, nil
	}
	lock, err := Read(LockPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: images are %w", path, ErrUnpinned)
	}
	if err != nil {
		return nil, err
	}
	if !lock.pinned() {
		return nil, fmt.Errorf("%s: images are %w", LockPath(path), ErrUnpinned)
	}
	if !lock.locks(f) {
		return nil, fmt.Errorf("%s: %w", LockPath(path), ErrStale)
	}
	return lock, nil
}

func (f *File) pinned() bool {
	for _, image := range f.Images {
		if pin, err := image.Pin(); err != nil || !pin.Pinned() {
			return false
		}
	}
	return true
}

// locks reports whether l, without what locking adds, is f.
func (l *File) locks(f *File) bool {
	bare := *l
	bare.Locked = ""
	bare.Images = slices.Clone(l.Images)
	for i := range bare.Images {
		if i < len(f.Images) && f.Images[i].Digest == "" {
			bare.Images[i].Digest = ""
		}
	}
	return bare.text() == f.text()
}

// text returns the file as plain YAML.
func (f *File) text() string {
	text, err := yaml.Marshal(f)
	if err != nil {
		panic("release: internal error: " + err.Error())
	}
	return string(text)
}

// Lock returns f with every image pinned to the digest that is given for it,
// as the text of a lock file. The order is f's own.
func (f *File) Lock(digests []manifest.Digest, at time.Time, source string) ([]byte, error) {
	lock := *f
	lock.Locked = manifest.FormatTime(at)
	lock.Images = slices.Clone(f.Images)
	for i := range lock.Images {
		lock.Images[i].Digest = digests[i].String()
	}
	var doc yaml.Node
	if err := doc.Encode(&lock); err != nil {
		return nil, err
	}
	doc.HeadComment = fmt.Sprintf("Pins the images of %s. Made by \"bundle lock\"; to renew it, run that again.", source)
	for i, image := range imageNodes(&doc) {
		pin, err := f.Images[i].Pin()
		if err != nil {
			return nil, err
		}
		image.HeadComment = fmt.Sprintf("asked of %s on %s", pin.Ref.Place(), lock.Locked)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// imageNodes returns the entries of the images list.
func imageNodes(doc *yaml.Node) []*yaml.Node {
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if doc.Content[i].Value == "images" {
			return doc.Content[i+1].Content
		}
	}
	return nil
}

// Place returns where the image is looked for, for people.
func (r Ref) Place() string {
	switch r.Transport {
	case Registry:
		full, err := FullName(r.Name)
		if err != nil {
			return r.Name
		}
		host, _, _ := strings.Cut(full, "/")
		return host
	case DockerDaemon:
		return "the local Docker Engine"
	}
	return r.Path
}
