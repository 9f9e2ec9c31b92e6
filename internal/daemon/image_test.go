package daemon

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// layer is a layer of a test image.
type layer struct {
	mediaType string
	blob      []byte
	diffID    manifest.Digest
}

// tarOf returns a tar with one file.
func tarOf(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o755}))
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// noise returns bytes that do not compress, the same for a seed.
func noise(seed uint64, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

func gzipBytes(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func gzipLayer(t testing.TB, data []byte) layer {
	t.Helper()
	return layer{oci.TypeLayer + "+gzip", gzipBytes(t, data), manifest.DigestOf(data)}
}

// membersLayer is gzip in two members, whose trailer tells the second's size.
func membersLayer(t testing.TB, data []byte) layer {
	t.Helper()
	half := len(data) / 2
	blob := append(gzipBytes(t, data[:half]), gzipBytes(t, data[half:])...)
	return layer{oci.TypeLayer + "+gzip", blob, manifest.DigestOf(data)}
}

// zstdLayer is zstd with or without the size in its header.
func zstdLayer(t testing.TB, data []byte, sized bool) layer {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	must(t, err)
	if sized {
		b.Write(w.EncodeAll(data, nil))
	} else {
		// Flushed before its end, so that the header is written too early for a size.
		_, err = w.Write(data[:len(data)/2])
		must(t, err)
		must(t, w.Flush())
		_, err = w.Write(data[len(data)/2:])
		must(t, err)
		must(t, w.Close())
	}
	return layer{oci.TypeLayer + "+zstd", b.Bytes(), manifest.DigestOf(data)}
}

func plainLayer(data []byte) layer {
	return layer{oci.TypeLayer, data, manifest.DigestOf(data)}
}

type object = map[string]any

func descriptorOf(mediaType string, data []byte) object {
	return object{"mediaType": mediaType, "digest": manifest.DigestOf(data), "size": len(data)}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

// addImage adds an image manifest and returns it with the descriptor for an index.
func addImage(t testing.TB, s *bundletest.Source, platform string, layers ...layer) ([]byte, object) {
	t.Helper()
	p, err := oci.ParsePlatform(platform)
	must(t, err)
	diffIDs, descriptors := []manifest.Digest{}, []object{}
	for _, l := range layers {
		s.Add(l.blob)
		diffIDs = append(diffIDs, l.diffID)
		descriptors = append(descriptors, descriptorOf(l.mediaType, l.blob))
	}
	config := marshal(t, object{
		"os": p.OS, "architecture": p.Architecture, "variant": p.Variant,
		"config": object{"Cmd": []string{"/program"}},
		"rootfs": object{"type": "layers", "diff_ids": diffIDs},
	})
	s.Add(config)
	raw := marshal(t, object{
		"schemaVersion": 2, "mediaType": oci.TypeManifest,
		"config": descriptorOf(oci.TypeConfig, config), "layers": descriptors,
	})
	s.Add(raw)
	d := descriptorOf(oci.TypeManifest, raw)
	d["platform"] = p
	return raw, d
}

// single returns an image for one platform.
func single(t testing.TB, platform string, layers ...layer) *bundletest.Source {
	t.Helper()
	s := bundletest.NewSource()
	raw, _ := addImage(t, s, platform, layers...)
	s.SetRoot(oci.TypeManifest, manifest.DigestOf(raw))
	return s
}

// index makes the documents added to s the children of an index.
func index(t testing.TB, s *bundletest.Source, children ...object) *bundletest.Source {
	t.Helper()
	raw := marshal(t, object{"schemaVersion": 2, "mediaType": oci.TypeIndex, "manifests": children})
	s.SetRoot(oci.TypeIndex, s.Add(raw))
	return s
}

// named is an image of a test release.
type named struct {
	source *bundletest.Source
	names  []string
}

// packed returns the images as a release read from a signed bundle.
func packed(t testing.TB, images ...named) *release {
	t.Helper()
	wanted := bundletest.Release()
	for _, i := range images {
		wanted.Images = append(wanted.Images, create.Image{Source: i.source, Names: i.names})
	}
	kit := bundletest.NewKit(t)
	return newRelease(kit.Open(t, kit.Bundle(t, wanted, 0)))
}

// watched counts the blobs that are opened.
type watched struct {
	blobs
	mu     sync.Mutex
	opened []manifest.Digest
}

func (w *watched) Open(d oci.Descriptor) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = append(w.opened, d.Digest)
	return w.blobs.Open(d)
}

// watch makes r count.
func watch(r *release) *watched {
	w := &watched{blobs: r.blobs}
	r.blobs = w
	return w
}

func (w *watched) times(d manifest.Digest) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(w.opened), func(o manifest.Digest) bool { return o != d }))
}

var unique int

// uniqueName returns a name that no other test uses, so that tests can share
// an Engine.
func uniqueName(t testing.TB, tag string) string {
	unique++
	return fmt.Sprintf("registry.example/test/n%d%s", unique, tag)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
