// Package bundletest makes small bundles in memory for tests: images from
// go-containerregistry's builders, signed with a key of their own.
package bundletest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"airlock/internal/archive"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// Principal is who signs.
const Principal = "ana"

// Created is when the bundles say they were made.
var Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Source is an image in memory. It is a create.Source.
type Source struct {
	root      oci.Descriptor
	blobs     map[manifest.Digest][]byte
	referrers map[manifest.Digest][]manifest.Referrer
}

// NewSource returns an empty source; Add and SetRoot fill it.
func NewSource() *Source {
	return &Source{blobs: map[manifest.Digest][]byte{}, referrers: map[manifest.Digest][]manifest.Referrer{}}
}

// Add keeps a document or a blob and returns its digest.
func (s *Source) Add(data []byte) manifest.Digest {
	d := manifest.DigestOf(data)
	s.blobs[d] = data
	return d
}

// SetRoot says which document is the image.
func (s *Source) SetRoot(mediaType string, d manifest.Digest) {
	s.root = oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(s.blobs[d]))}
}

// All returns every document and blob by its digest.
func (s *Source) All() map[manifest.Digest][]byte { return s.blobs }

// Root returns the image's index or manifest.
func (s *Source) Root() oci.Descriptor { return s.root }

// Refer says that a document refers to a subject, under a tag or by itself.
func (s *Source) Refer(subject manifest.Digest, mediaType string, document []byte, tag string) manifest.Digest {
	d := s.Add(document)
	s.ReferTo(subject, oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(document))}, tag)
	return d
}

// ReferTo is Refer for a document that is there or, as in an old list, is not.
func (s *Source) ReferTo(subject manifest.Digest, d oci.Descriptor, tag string) {
	r := manifest.Referrer{Descriptor: manifest.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, Subject: subject, Tag: tag}
	s.referrers[subject] = append(s.referrers[subject], r)
}

// Resolve implements create.Source.
func (s *Source) Resolve(context.Context) (oci.Descriptor, error) { return s.root, nil }

// Document implements create.Source.
func (s *Source) Document(_ context.Context, d oci.Descriptor) ([]byte, error) {
	raw, ok := s.blobs[d.Digest]
	if !ok || int64(len(raw)) != d.Size {
		return nil, fmt.Errorf("document %s: %w", d.Digest, fs.ErrNotExist)
	}
	return raw, nil
}

// Open implements create.Source.
func (s *Source) Open(_ context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
	raw, ok := s.blobs[d.Digest]
	if !ok || int64(len(raw)) < to {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(raw[from:to])), nil
}

// Referrers implements create.Source.
func (s *Source) Referrers(_ context.Context, subject oci.Descriptor) ([]manifest.Referrer, error) {
	return s.referrers[subject.Digest], nil
}

// FromImage returns a source for an image.
func FromImage(t testing.TB, image v1.Image) *Source {
	t.Helper()
	s := NewSource()
	s.SetRoot(s.addImage(t, image))
	return s
}

// FromIndex returns a source for an index of images.
func FromIndex(t testing.TB, index v1.ImageIndex) *Source {
	t.Helper()
	s := NewSource()
	parsed, err := index.IndexManifest()
	must(t, err)
	for _, d := range parsed.Manifests {
		child, err := index.Image(d.Digest)
		must(t, err)
		s.addImage(t, child)
	}
	raw, err := index.RawManifest()
	must(t, err)
	mediaType, err := index.MediaType()
	must(t, err)
	s.SetRoot(string(mediaType), s.Add(raw))
	return s
}

func (s *Source) addImage(t testing.TB, image v1.Image) (string, manifest.Digest) {
	t.Helper()
	layers, err := image.Layers()
	must(t, err)
	for _, layer := range layers {
		r, err := layer.Compressed()
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		s.Add(data)
	}
	config, err := image.RawConfigFile()
	must(t, err)
	s.Add(config)
	raw, err := image.RawManifest()
	must(t, err)
	mediaType, err := image.MediaType()
	must(t, err)
	return string(mediaType), s.Add(raw)
}

// Files takes a bundle's files in memory. It is a create.Sink.
type Files struct{ fstest.MapFS }

type file struct{ *fstest.MapFile }

func (f file) Write(p []byte) (int, error) {
	f.Data = append(f.Data, p...)
	return len(p), nil
}

func (f file) Close() error { return nil }

// Create implements create.Sink. What is written can be read at once.
func (f Files) Create(name string) (io.WriteCloser, error) {
	f.MapFS[name] = &fstest.MapFile{Mode: 0o644}
	return file{f.MapFS[name]}, nil
}

// Put implements create.Sink.
func (f Files) Put(name string, data []byte) error {
	f.MapFS[name] = &fstest.MapFile{Data: bytes.Clone(data), Mode: 0o644}
	return nil
}

// Clone returns a copy whose files can be changed.
func (f Files) Clone() Files {
	clone := Files{fstest.MapFS{}}
	for name, file := range f.MapFS {
		clone.Put(name, file.Data)
	}
	return clone
}

// Kit signs bundles and knows who is trusted.
type Kit struct {
	Key     *trust.Key
	Allowed *trust.AllowedSigners
}

// NewKit makes a fresh key that is trusted.
func NewKit(t testing.TB) *Kit {
	t.Helper()
	private, _, err := trust.GenerateKey("ana@example", nil)
	must(t, err)
	path := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(path, private, 0o600))
	key, err := trust.LoadKey(path, nil)
	must(t, err)
	line, err := trust.AllowedSignersLine(Principal, manifest.Namespace, key.PublicKey())
	must(t, err)
	allowed, err := trust.ParseAllowedSigners([]byte(line))
	must(t, err)
	return &Kit{Key: key, Allowed: allowed}
}

// Release returns a release of the given images, each named after its place:
// registry.example/app/0:1.0 and so on.
func Release(sources ...*Source) create.Release {
	r := create.Release{Name: "shop", Version: "1.0", Stream: "shop", Epoch: 1, Sequence: 1, Created: Created}
	for i, s := range sources {
		r.Images = append(r.Images, create.Image{Source: s, Names: []string{fmt.Sprintf("registry.example/app/%d:1.0", i)}})
	}
	return r
}

// Bundle returns the files of a bundle of the release with volumes of at most
// volumeSize bytes (zero: the default).
func (k *Kit) Bundle(t testing.TB, r create.Release, volumeSize int64) Files {
	t.Helper()
	return k.Protected(t, r, volumeSize, volume.Protection{})
}

// Protected is Bundle with parity.
func (k *Kit) Protected(t testing.TB, r create.Release, volumeSize int64, parity volume.Protection) Files {
	t.Helper()
	files := Files{fstest.MapFS{}}
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	_, err = contents.Write(t.Context(), files, create.Options{
		VolumeSize: volumeSize,
		Parity:     parity,
		Signatures: []create.Signature{{Principal: Principal, Signer: k.Key}},
		Progress:   progress.Discard,
	})
	must(t, err)
	return files
}

// Open proves and opens a bundle's files.
func (k *Kit) Open(t testing.TB, files fs.FS) *load.Release {
	t.Helper()
	blobs, err := archive.Open(files, k.Allowed, Created)
	must(t, err)
	t.Cleanup(func() { blobs.Close() })
	release, err := load.NewRelease(t.Context(), blobs)
	must(t, err)
	return release
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
