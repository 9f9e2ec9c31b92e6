package inspect_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"airlock/internal/bundletest"
	"airlock/internal/inspect"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// TestDamaged holds that the report of a bundle that has lost its volume says so,
// and does not call the volume elsewhere.
func TestDamaged(t *testing.T) {
	files := fstest.MapFS{}
	entries, err := os.ReadDir(goldenDir)
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(goldenDir + "/" + e.Name())
		must(t, err)
		files[e.Name()] = &fstest.MapFile{Data: data}
	}
	v, err := manifest.Open(files, allowed(t), bundletest.Created)
	must(t, err)
	lost := v.Manifest().Volumes[0].Name
	delete(files, lost)
	space, err := volume.NewHurtReader(v, files)
	must(t, err)
	defer space.Close()
	d, err := space.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	r, err := inspect.Damaged(files, allowed(t), bundletest.Created, d)
	must(t, err)
	if !r.Proven || r.Root != v.Root() || r.Elsewhere != nil || r.Damage == nil {
		t.Fatalf("%+v", r)
	}
	raw, err := json.Marshal(r.Damage)
	must(t, err)
	blocks := volume.BlocksPer(v.Manifest().Volumes[0].Size)
	all := fmt.Sprintf(`{"count":%d,"runs":[{"file":%q,"first":0,"last":%d}]}`, blocks, lost, blocks-1)
	if want := fmt.Sprintf(`{"repairable":false,"missing":[%q],"bad":%s,"lost":%s}`, lost, all, all); string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

// TestDamageIsBounded holds that what the lists leave out is counted.
func TestDamageIsBounded(t *testing.T) {
	d := &volume.Damage{}
	for i := range 1700 {
		d.Files = append(d.Files, fmt.Sprint(i))
		d.Cut = append(d.Cut, fmt.Sprint(i))
	}
	d.Texts = []string{manifest.ManifestName}
	got := inspect.DamageOf(d)
	if len(got.Missing) != 1000 || len(got.Cut) != 1000 || len(got.Texts) != 1 || got.MoreFiles != 1400 || len(d.Files) != 1700 {
		t.Errorf("%d missing, %d cut, %d texts, %d more", len(got.Missing), len(got.Cut), len(got.Texts), got.MoreFiles)
	}
}
