package load_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

func randomImage(t *testing.T, size int64, layers int64) v1.Image {
	t.Helper()
	image, err := random.Image(size, layers)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// release is a bundle of an image, an index with a signed child, and a layer
// that two images share.
func release(t *testing.T) (*bundletest.Kit, []*bundletest.Source, bundletest.Files) {
	t.Helper()
	kit := bundletest.NewKit(t)
	base := randomImage(t, 3000, 2)
	shared, err := mutate.Append(base, mutate.Addendum{Layer: mustLayer(t)})
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: base, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: shared, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	sources := []*bundletest.Source{bundletest.FromImage(t, base), bundletest.FromIndex(t, index)}
	child, err := shared.Digest()
	if err != nil {
		t.Fatal(err)
	}
	subject, err := manifest.ParseDigest(child.String())
	if err != nil {
		t.Fatal(err)
	}
	referrer := bundletest.FromImage(t, randomImage(t, 500, 1))
	for _, data := range referrer.All() {
		sources[1].Add(data)
	}
	raw, err := referrer.Document(t.Context(), referrer.Root())
	if err != nil {
		t.Fatal(err)
	}
	sources[1].Refer(subject, referrer.Root().MediaType, raw, "sha256-"+subject.Hex()+".sig")
	return kit, sources, kit.Bundle(t, bundletest.Release(sources...), 0)
}

func mustLayer(t *testing.T) v1.Layer {
	t.Helper()
	layer, err := random.Layer(5000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func TestEveryByteComesBack(t *testing.T) {
	kit, sources, files := release(t)
	r := kit.Open(t, files)
	if len(r.Images) != len(sources) {
		t.Fatalf("%d images, want %d", len(r.Images), len(sources))
	}
	for i, image := range r.Images {
		if image.Root.Digest != sources[i].Root().Digest {
			t.Errorf("image %d: root %s, want %s", i, image.Root.Digest, sources[i].Root().Digest)
		}
		for _, node := range image.Nodes {
			if !bytes.Equal(node.Raw, sources[i].All()[node.Digest]) {
				t.Errorf("document %s differs", node.Digest)
			}
		}
		for _, d := range image.Blobs {
			blob, err := r.Open(d)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(blob)
			if err != nil || !bytes.Equal(got, sources[i].All()[d.Digest]) {
				t.Errorf("blob %s differs: %v", d.Digest, err)
			}
			blob.Close()
		}
	}
	if got := r.Images[1].Referrers; len(got) != 1 || !strings.HasSuffix(got[0].Tag, ".sig") {
		t.Errorf("referrers %v, want the one signature", got)
	}
	if got := strings.Join(r.Images[1].Platforms, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("platforms %q", got)
	}
}

func TestSameInputsGiveSameBytes(t *testing.T) {
	kit, sources, files := release(t)
	again := kit.Bundle(t, bundletest.Release(sources...), 0)
	for name, file := range files.MapFS {
		if !bytes.Equal(file.Data, again.MapFS[name].Data) {
			t.Errorf("%s differs", name)
		}
	}
	if len(again.MapFS) != len(files.MapFS) {
		t.Errorf("%d files, then %d", len(files.MapFS), len(again.MapFS))
	}
}

// prove opens a bundle, and proves and reads all of it.
func prove(t *testing.T, kit *bundletest.Kit, files fs.FS) error {
	t.Helper()
	blobs, err := archive.Open(files, kit.Allowed, bundletest.Created)
	if err != nil {
		return err
	}
	defer blobs.Close()
	if err := blobs.Verify(t.Context(), progress.Discard); err != nil {
		return err
	}
	_, err = load.NewRelease(t.Context(), blobs)
	return err
}

func rejected(err error) bool {
	for _, class := range []error{manifest.ErrRejected, trust.ErrRejected, volume.ErrDamaged, archive.ErrMalformed, archive.ErrMismatch, load.ErrRejected} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	kit, _, files := release(t)
	if err := prove(t, kit, files); err != nil {
		t.Fatal(err)
	}
	for name, file := range files.MapFS {
		for at := range file.Data {
			file.Data[at] ^= 0x10
			err := prove(t, kit, files)
			file.Data[at] ^= 0x10
			if !rejected(err) {
				t.Fatalf("%s with byte %d flipped: %v", name, at, err)
			}
			if !strings.Contains(err.Error(), name) {
				t.Fatalf("%s with byte %d flipped: %v does not name it", name, at, err)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	kit, _, files := release(t)
	for name, file := range files.MapFS {
		whole := file.Data
		for size := range whole {
			file.Data = whole[:size]
			if err := prove(t, kit, files); !rejected(err) {
				t.Fatalf("%s cut to %d bytes: %v", name, size, err)
			}
		}
		file.Data = append(bytes.Clone(whole), 0)
		if err := prove(t, kit, files); !rejected(err) {
			t.Fatalf("%s with a byte more: %v", name, err)
		}
		file.Data = whole
	}
}

func TestMissingAndSwappedFilesAreRefused(t *testing.T) {
	kit, sources, files := release(t)
	other := kit.Bundle(t, bundletest.Release(sources[0]), 0)
	for name := range files.MapFS {
		missing := files.Clone()
		delete(missing.MapFS, name)
		err := prove(t, kit, missing)
		if name == manifest.SumsName {
			if !errors.Is(err, manifest.ErrIncomplete) {
				t.Errorf("without %s: %v, want ErrIncomplete", name, err)
			}
			continue
		}
		if !rejected(err) {
			t.Errorf("without %s: %v", name, err)
		}
		foreign := files.Clone()
		foreign.MapFS[name] = other.MapFS[name]
		if err := prove(t, kit, foreign); !rejected(err) {
			t.Errorf("with another bundle's %s: %v", name, err)
		}
	}
}
