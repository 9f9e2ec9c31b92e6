package repair_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/repair"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// kit is a bundle with parity, and what is in it.
type kit struct {
	*bundletest.Kit
	source *bundletest.Source
	files  bundletest.Files
}

func newKit(t testing.TB, layer int64, volumeSize int64, parity int) *kit {
	t.Helper()
	image, err := random.Image(layer, 2)
	must(t, err)
	k := &kit{Kit: bundletest.NewKit(t), source: bundletest.FromImage(t, image)}
	k.files = k.Protected(t, bundletest.Release(k.source), volumeSize, volume.Protection{Percent: parity})
	return k
}

// read opens a bundle and reads every blob of it, which has to be as it was.
// It returns what a survey finds.
func (k *kit) read(t testing.TB, files fs.FS) (*volume.Damage, error) {
	t.Helper()
	blobs, err := archive.Open(files, k.Allowed, bundletest.Created)
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	r, err := load.NewRelease(t.Context(), blobs)
	if err != nil {
		return nil, err
	}
	for _, d := range r.Blobs() {
		blob, err := r.Open(d)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(blob)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(got, k.source.All()[d.Digest]) {
			t.Fatalf("blob %s is read as something else", d.Digest)
		}
	}
	return blobs.Space().Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
}

// step returns how far apart the positions of a file are that are tried.
func step(name string) int {
	switch {
	case strings.HasSuffix(name, ".par"):
		return 1<<16 + 1
	case testing.Short():
		return 97
	}
	return 5
}

// TestFlippedByteIsMended flips bytes of every file: everything is read as it
// was, the damage is noticed, and it can be mended.
func TestFlippedByteIsMended(t *testing.T) {
	k := newKit(t, 1000, 0, 5)
	if d, err := k.read(t, k.files); err != nil || d.Any() {
		t.Fatalf("the whole bundle: %v, %v", d, err)
	}
	tried := 0
	for name, file := range k.files.MapFS {
		for at := 0; at < len(file.Data); at += step(name) {
			file.Data[at] ^= 0x10
			d, err := k.read(t, k.files)
			file.Data[at] ^= 0x10
			if err != nil || !d.Mendable() || !strings.Contains(fmt.Sprint(d), name) {
				t.Errorf("%s with byte %d flipped: %v, %v", name, at, d, err)
			}
			tried++
		}
	}
	if tried < 100 {
		t.Errorf("only %d positions", tried)
	}
}

// TestFlippedBytesAreMendedOrRefused flips several bytes anywhere. What is
// read is what was signed, or an error.
func TestFlippedBytesAreMendedOrRefused(t *testing.T) {
	k := newKit(t, 1000, 0, 5)
	var names []string
	for name := range k.files.MapFS {
		names = append(names, name)
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(1, 2))
	mended, refused := 0, 0
	for range 400 {
		bad := k.files.Clone()
		for range 2 + random.IntN(2) {
			data := bad.MapFS[names[random.IntN(len(names))]].Data
			data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
		}
		if _, err := k.read(t, bad); err != nil {
			refused++
		} else {
			mended++
		}
	}
	if mended == 0 || refused == 0 {
		t.Errorf("%d mended, %d refused", mended, refused)
	}
}

// folder writes files to a folder.
func folder(t testing.TB, files fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), file.Data, 0o644))
	}
	return dir
}

// same holds that a folder has just these files.
func same(t *testing.T, what, dir string, want fstest.MapFS) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		if file := want[e.Name()]; file == nil || !bytes.Equal(file.Data, got) {
			t.Errorf("%s: %s differs", what, e.Name())
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(entries), len(want))
	}
}

// mend repairs a folder, in its place or beside.
func (k *kit) mend(t *testing.T, dir, beside string) (*repair.Result, error) {
	t.Helper()
	files, err := transfer.OpenDir(dir)
	must(t, err)
	v, err := manifest.Open(files, k.Allowed, bundletest.Created)
	must(t, err)
	r, err := volume.NewHurtReader(v, files)
	must(t, err)
	defer r.Close()
	if beside == "" {
		to, err := transfer.NewDir(dir)
		must(t, err)
		return repair.InPlace(t.Context(), r, to, progress.Discard)
	}
	to, err := transfer.NewDir(beside)
	must(t, err)
	there, err := transfer.OpenDir(beside)
	must(t, err)
	return repair.Beside(t.Context(), r, to, there, progress.Discard)
}

// damages are ways to damage a bundle that can be mended.
func damages(k *kit) map[string]func(f fstest.MapFS) {
	const second, third = "shop-1.0.001.vol", "shop-1.0.002.vol"
	all := map[string]func(f fstest.MapFS){
		"nothing": func(fstest.MapFS) {},
		"bits": func(f fstest.MapFS) {
			f[second].Data[7] ^= 1
			f[third].Data[1<<20] ^= 1
			f["shop-1.0.p00.par"].Data[0] ^= 1
		},
		"no volume":    func(f fstest.MapFS) { delete(f, second) },
		"short volume": func(f fstest.MapFS) { f[third].Data = f[third].Data[:1<<20+5] },
		"long volume":  func(f fstest.MapFS) { f[third].Data = append(f[third].Data, "more"...) },
		"empty volume": func(f fstest.MapFS) { f[second].Data = nil },
		"no parity":    func(f fstest.MapFS) { delete(f, "shop-1.0.p00.par") },
		"no copy":      func(f fstest.MapFS) { delete(f, manifest.CopyName) },
		"hurt copy":    func(f fstest.MapFS) { f[manifest.CopyName].Data[700] ^= 1 },
		"short copy":   func(f fstest.MapFS) { f[manifest.CopyName].Data = f[manifest.CopyName].Data[:600] },
		"all at once": func(f fstest.MapFS) {
			delete(f, second)
			delete(f, "manifest.json")
			f["SHA256SUMS"].Data[0] ^= 1
			f["shop-1.0.p01.par"].Data = nil
		},
	}
	for name := range k.files.MapFS {
		if !strings.HasSuffix(name, ".vol") && !strings.HasSuffix(name, ".par") && name != manifest.CopyName {
			all["no "+name] = func(f fstest.MapFS) { delete(f, name) }
		}
	}
	return all
}

func TestRepair(t *testing.T) {
	k := newKit(t, 4<<20, 2<<20, 100)
	if n := len(k.files.MapFS); n < 12 {
		t.Fatalf("%d files", n)
	}
	for name, bend := range damages(k) {
		bad := k.files.Clone()
		bend(bad.MapFS)
		dir, beside := folder(t, bad.MapFS), t.TempDir()
		_, err := k.mend(t, dir, beside)
		if err != nil {
			t.Errorf("%s, beside: %v", name, err)
		}
		same(t, name+", the source", dir, bad.MapFS)
		same(t, name+", beside", beside, k.files.MapFS)
		if _, err := k.mend(t, dir, beside); !errors.Is(err, repair.ErrOther) {
			t.Errorf("%s, beside again: %v", name, err)
		}
		result, err := k.mend(t, dir, "")
		if err != nil {
			t.Errorf("%s, in place: %v", name, err)
			continue
		}
		if name == "nothing" && (result.Blocks > 0 || len(result.Files)+len(result.Texts) > 0) {
			t.Errorf("of a whole bundle: %+v", result)
		}
		if name == "bits" && (result.Blocks != 3 || len(result.Files) != 3) {
			t.Errorf("of three bits: %+v", result)
		}
		same(t, name+", in place", dir, k.files.MapFS)
	}
}

// TestRepairRefuses holds that nothing is written if something is lost.
func TestRepairRefuses(t *testing.T) {
	k := newKit(t, 4<<20, 2<<20, 5)
	bad := k.files.Clone()
	delete(bad.MapFS, "shop-1.0.001.vol")
	bad.MapFS["shop-1.0.000.vol"].Data[5] ^= 1
	dir, beside := folder(t, bad.MapFS), t.TempDir()
	for _, to := range []string{"", beside} {
		damage := (*volume.Damage)(nil)
		_, err := k.mend(t, dir, to)
		if !errors.As(err, &damage) || len(damage.Lost) == 0 || !strings.Contains(err.Error(), "shop-1.0.001.vol is missing") {
			t.Errorf("to %q: %v", to, err)
		}
	}
	same(t, "the source", dir, bad.MapFS)
	same(t, "beside", beside, fstest.MapFS{})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
