package oci_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// place is documents by their digest.
type place struct {
	mu   sync.Mutex
	docs map[manifest.Digest][]byte
	asks map[manifest.Digest]int
}

func newPlace() *place {
	return &place{docs: map[manifest.Digest][]byte{}, asks: map[manifest.Digest]int{}}
}

func (p *place) add(mediaType, text string) oci.Descriptor {
	d := manifest.DigestOf([]byte(text))
	p.docs[d] = []byte(text)
	return oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(text))}
}

// image adds a manifest with layers of these names.
func (p *place) image(layers ...string) oci.Descriptor {
	var list []string
	for _, name := range layers {
		list = append(list, descriptor(oci.Descriptor{MediaType: oci.TypeLayer, Digest: manifest.DigestOf([]byte(name)), Size: int64(len(name))}))
	}
	return p.add(oci.TypeManifest, manifestWith(config+`,"layers":[`+strings.Join(list, ",")+`]`))
}

func (p *place) index(children ...oci.Descriptor) oci.Descriptor {
	var list []string
	for _, d := range children {
		list = append(list, descriptor(d))
	}
	return p.add(oci.TypeIndex, manifestWith(`"manifests":[`+strings.Join(list, ",")+`]`))
}

func descriptor(d oci.Descriptor) string {
	platform := ""
	if d.Platform != nil {
		platform = fmt.Sprintf(`,"platform":{"os":%q,"architecture":%q}`, d.Platform.OS, d.Platform.Architecture)
	}
	return fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":%d%s}`, d.MediaType, d.Digest, d.Size, platform)
}

func (p *place) fetch(_ context.Context, d oci.Descriptor) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks[d.Digest]++
	raw, ok := p.docs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d.Digest, fs.ErrNotExist)
	}
	return raw, nil
}

func TestWalk(t *testing.T) {
	p := newPlace()
	a, b := p.image("one", "two"), p.image("two", "three")
	inner := p.index(b, a)
	root := p.index(a, inner, b, a)
	c, err := oci.Walk(t.Context(), root, p.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if c.Root != root.Digest || len(c.Nodes) != 4 || len(c.Blobs) != 4 {
		t.Fatalf("%d documents, %d blobs", len(c.Nodes), len(c.Blobs))
	}
	seen := map[manifest.Digest]bool{}
	for _, n := range c.Nodes {
		if string(n.Raw) != string(p.docs[n.Digest]) || p.asks[n.Digest] != 1 || seen[n.Digest] {
			t.Errorf("%s: %d bytes, asked for %d times", n.Digest, len(n.Raw), p.asks[n.Digest])
		}
		seen[n.Digest] = true
		for _, child := range n.Children() {
			if child.IsDocument() && !seen[child.Digest] {
				t.Errorf("%s stands before its child %s", n.Digest, child.Digest)
			}
		}
	}
	if c.Nodes[3].Digest != root.Digest {
		t.Error("the root is not the last")
	}
	for i, blob := range c.Blobs {
		if i > 0 && c.Blobs[i-1].Digest.Compare(blob.Digest) >= 0 {
			t.Error("blobs are not sorted")
		}
	}
}

// TestWalkLimits are rows 44 and 45: depth, number, and a blob of two sizes.
func TestWalkLimits(t *testing.T) {
	p := newPlace()
	d := p.image()
	for depth := 1; depth <= 50; depth++ {
		d = p.index(d)
		_, err := oci.Walk(t.Context(), d, p.fetch)
		if ok := depth <= oci.MaxDepth; (err == nil) != ok || (err != nil && !errors.Is(err, oci.ErrMalformed)) {
			t.Errorf("%d indexes within each other: %v", depth, err)
		}
	}
	var groups []oci.Descriptor
	for i := range 3 {
		var children []oci.Descriptor
		for j := range 3400 {
			children = append(children, p.image(fmt.Sprint(i, ".", j)))
		}
		groups = append(groups, p.index(children...))
	}
	if _, err := oci.Walk(t.Context(), p.index(groups...), p.fetch); !errors.Is(err, oci.ErrMalformed) || !strings.Contains(err.Error(), "more than 10000") {
		t.Errorf("10 204 documents: %v", err)
	}
	if _, err := oci.Walk(t.Context(), p.index(groups[:2]...), p.fetch); err != nil {
		t.Errorf("6803 documents: %v", err)
	}
	var large []oci.Descriptor
	for i := range oci.MaxDocumentBytes / (4 << 20) {
		large = append(large, p.add(oci.TypeManifest, manifestWith(fmt.Sprintf("%s,\"layers\":[],\"x\":\"%04d%s\"", config, i, strings.Repeat("x", 4<<20-1000)))))
	}
	if _, err := oci.Walk(t.Context(), p.index(large...), p.fetch); err != nil {
		t.Errorf("64 MiB of documents: %v", err)
	}
	more := p.image(strings.Repeat("x", 100))
	large = append(large, p.add(oci.TypeManifest, manifestWith(config+",\"layers\":[],\"x\":\""+strings.Repeat("x", 20000)+"\"")), more)
	root := p.index(large...)
	clear(p.asks)
	if _, err := oci.Walk(t.Context(), root, p.fetch); !errors.Is(err, oci.ErrMalformed) || !strings.Contains(err.Error(), "67108864 bytes") || len(p.asks) > 1 {
		t.Errorf("more than 64 MiB of documents: %v after %d of them were asked for", err, len(p.asks))
	}
	twice := p.add(oci.TypeManifest, layerWith(layer+","+strings.Replace(layer, `"size":5`, `"size":6`, 1)))
	if _, err := oci.Walk(t.Context(), twice, p.fetch); !errors.Is(err, oci.ErrMalformed) || !strings.Contains(err.Error(), "with 5 and with 6 bytes") {
		t.Errorf("a layer of two sizes: %v", err)
	}
}

func TestWalkErrors(t *testing.T) {
	p := newPlace()
	gone := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("gone")), Size: 4}
	if _, err := oci.Walk(t.Context(), p.index(p.image(), gone), p.fetch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a child is missing: %v", err)
	}
	bad := p.add(oci.TypeManifest, `{}`)
	if _, err := oci.Walk(t.Context(), p.index(bad), p.fetch); !errors.Is(err, oci.ErrMalformed) || !strings.Contains(err.Error(), bad.Digest.String()) {
		t.Errorf("a child is malformed: %v", err)
	}
	blob := oci.Descriptor{MediaType: oci.TypeLayer, Digest: manifest.DigestOf([]byte("x")), Size: 1}
	if _, err := oci.Walk(t.Context(), blob, p.fetch); err == nil {
		t.Error("a layer is walked as a document")
	}
}

func TestClosurePlatforms(t *testing.T) {
	p := newPlace()
	on := func(d oci.Descriptor, os, arch string) oci.Descriptor {
		d.Platform = &oci.Platform{OS: os, Architecture: arch}
		return d
	}
	none := func(oci.Descriptor) ([]byte, error) { return nil, errors.New("the config is asked for") }
	root := p.index(on(p.image("a"), "linux", "arm64"), on(p.image("b"), "linux", "amd64"), on(p.image("c"), "unknown", "unknown"), on(p.image("e"), "", ""), on(p.image("f"), "linux", "\\u001b[2J"), p.index(on(p.image("d"), "linux", "amd64")))
	c, err := oci.Walk(t.Context(), root, p.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Platforms(none); err != nil || strings.Join(got, " ") != "linux/amd64 linux/arm64" {
		t.Errorf("%q, %v", got, err)
	}
	c, err = oci.Walk(t.Context(), p.image("a"), p.fetch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Platforms(func(d oci.Descriptor) ([]byte, error) {
		return []byte(`{"os":"linux","architecture":"arm","variant":"v7","rootfs":{}}`), nil
	})
	if err != nil || strings.Join(got, " ") != "linux/arm/v7" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Platforms(none); err == nil {
		t.Error("an error of config is lost")
	}
	artifact := p.add(oci.TypeManifest, strings.Replace(manifestWith(config+`,"layers":[]`), "image.config.v1+json", "empty.v1+json", 1))
	if c, err = oci.Walk(t.Context(), artifact, p.fetch); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Platforms(none); err != nil || got != nil {
		t.Errorf("an artifact is for %q, %v", got, err)
	}
}
