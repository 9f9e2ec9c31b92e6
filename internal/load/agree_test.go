package load_test

import (
	"context"
	"errors"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// untouched is a destination that must not be asked for anything.
type untouched struct{ t *testing.T }

func (u untouched) Plan(context.Context, *load.Release) (*load.Plan, error) {
	u.t.Error("the destination is asked")
	return nil, errors.New("asked")
}

func (u untouched) Load(context.Context, *load.Release, *load.Plan, progress.Sink) error {
	u.t.Error("the destination is written to")
	return nil
}

func (u untouched) Check(context.Context, *load.Release, *load.Plan) error { return nil }

// resigned returns files with a manifest that its signer has bent.
func resigned(t *testing.T, kit *bundletest.Kit, files bundletest.Files, bend func(*manifest.Manifest)) bundletest.Files {
	t.Helper()
	bent := files.Clone()
	m, err := manifest.Parse(bent.MapFS[manifest.ManifestName].Data)
	must(t, err)
	bend(m)
	text, err := m.Marshal()
	must(t, err)
	sums, err := manifest.ParseSums(bent.MapFS[manifest.SumsName].Data)
	must(t, err)
	sums[manifest.ManifestName] = manifest.DigestOf(text)
	armored, err := kit.Key.Sign(manifest.Namespace, sums.Marshal())
	must(t, err)
	for name, data := range map[string][]byte{manifest.ManifestName: text, manifest.SumsName: sums.Marshal(), "SHA256SUMS.ana.sig": armored} {
		must(t, bent.Put(name, data))
	}
	return bent
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestManifestAgrees holds that a bundle whose manifest says other things of its
// images than their documents do is refused, though somebody trusted has signed
// it, before the destination is asked for anything.
func TestManifestAgrees(t *testing.T) {
	kit, _, files := release(t)
	other := func(m *manifest.Manifest) *manifest.Image { return &m.Images[1] }
	for what, bend := range map[string]func(*manifest.Manifest){
		"another platform":      func(m *manifest.Manifest) { other(m).Platforms[0] = "linux/386" },
		"a platform less":       func(m *manifest.Manifest) { other(m).Platforms = other(m).Platforms[:1] },
		"an artifact type":      func(m *manifest.Manifest) { other(m).Root.ArtifactType = "application/x" },
		"a referrer's type":     func(m *manifest.Manifest) { other(m).Referrers[0].ArtifactType = "application/x" },
		"a tag of somebody's":   func(m *manifest.Manifest) { other(m).Referrers[0].Tag = "latest" },
		"another one's tag":     func(m *manifest.Manifest) { other(m).Referrers[0].Subject = other(m).Root.Digest },
		"no tag and no subject": func(m *manifest.Manifest) { other(m).Referrers[0].Tag = "" },
		"an index before its children": func(m *manifest.Manifest) {
			all := other(m).Manifests
			all[0], all[2] = all[2], all[0]
		},
	} {
		bent := resigned(t, kit, files, bend)
		blobs, err := archive.Open(bent, kit.Allowed, bundletest.Created)
		must(t, err)
		_, err = load.Run(t.Context(), blobs, untouched{t}, load.Options{Progress: progress.Discard})
		if !errors.Is(err, load.ErrRejected) {
			t.Errorf("%s: %v, want ErrRejected", what, err)
		}
		blobs.Close()
	}
}
