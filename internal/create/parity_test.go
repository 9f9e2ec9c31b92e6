package create_test

import (
	"bytes"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/volume"
)

// TestParityAndCopy holds that parity is asked for and had, that the volumes
// are what they are without it, and that copy.tar has every small file.
func TestParityAndCopy(t *testing.T) {
	image, err := random.Image(1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	kit, source := bundletest.NewKit(t), bundletest.FromImage(t, image)
	bare := kit.Bundle(t, bundletest.Release(source), 1<<20).MapFS
	for name, p := range map[string]volume.Protection{"5 %": {Percent: 5}, "a spare volume": {Spare: 1}, "both": {Percent: 5, Spare: 1}} {
		files := kit.Protected(t, bundletest.Release(source), 1<<20, p)
		v, err := manifest.Open(files, kit.Allowed, bundletest.Created)
		if err != nil {
			t.Fatal(err)
		}
		m := v.Manifest()
		if m.Parity == nil || int(m.Parity.Blocks) < p.Spare+min(p.Percent, 1) {
			t.Errorf("%s: %+v", name, m.Parity)
		}
		for _, f := range m.Volumes {
			if !bytes.Equal(files.MapFS[f.Name].Data, bare[f.Name].Data) {
				t.Errorf("%s: %s is not what it is without parity", name, f.Name)
			}
		}
		if err := v.CheckCopy(files); err != nil || !bytes.Equal(v.Copy(), files.MapFS[manifest.CopyName].Data) {
			t.Errorf("%s: copy.tar: %v", name, err)
		}
		var size int64
		for _, f := range files.MapFS {
			size += int64(len(f.Data))
		}
		contents, err := create.Collect(t.Context(), bundletest.Release(source))
		if err != nil {
			t.Fatal(err)
		}
		if most := contents.MaxSize(create.Options{VolumeSize: 1 << 20, Parity: p}); size > most || most > size+4<<20 {
			t.Errorf("%s: %d bytes, and at most %d were told of", name, size, most)
		}
	}
	if _, ok := bare[manifest.CopyName]; ok {
		t.Error("copy.tar stands without parity")
	}
}
