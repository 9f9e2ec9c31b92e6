package create_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// volumes returns the bytes of a bundle's volumes.
func volumes(t *testing.T, dir string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.vol"))
	must(t, err)
	if len(names) == 0 {
		t.Fatalf("%s has no volumes", dir)
	}
	var all []byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		must(t, err)
		all = append(all, data...)
	}
	return all
}

// TestAutoOnASlowLink holds that auto packs as small does where all is worth it,
// though it decides ahead of what it takes apart, and always in the same way.
func TestAutoOnASlowLink(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(200 << 10)
	var layers [][]byte
	for i := range 12 {
		if g.grow(10_000); i%5 == 1 {
			layers = append(layers, g.content[:i*9_000])
			continue
		}
		layers = append(layers, zip(t, 1+i%9, g.content[i*4_000:]))
	}
	source := imageOf(t, layers...)
	small := volumes(t, packSmall(t, kit, 1, source))
	for range 2 {
		auto := packAs(t, kit, 1, source, create.Options{Pack: create.Auto, Link: 1e4})
		checkSmall(t, kit, auto, source)
		if got := volumes(t, auto); !bytes.Equal(got, small) {
			t.Errorf("auto makes %d bytes, small %d, or others", len(got), len(small))
		}
	}
}

// TestAutoSeesWhatWasPacked holds that a layer is decided on again if others were
// packed since: it is worth it for what it shares with them.
func TestAutoSeesWhatWasPacked(t *testing.T) {
	kit := bundletest.NewKit(t)
	plain := newGeneration(4 << 20).content
	var layer []byte
	for i := byte(0); i == 0 || manifest.DigestOf(layer).Compare(manifest.DigestOf(plain)) < 0; i++ { // blobs are packed by digest
		layer = zip(t, 6, append([]byte{i}, plain...))
	}
	source := imageOf(t, plain, layer)
	const link = 10e6 // fast enough that compressing alone is not worth it
	dir := packAs(t, kit, 1, source, create.Options{Pack: create.Auto, Link: link})
	checkSmall(t, kit, dir, source)
	alone := imageOf(t, layer)
	for _, p := range checkSmall(t, kit, packAs(t, kit, 2, alone, create.Options{Pack: create.Auto, Link: link}), alone).Packings() {
		if p.Size > 1<<20 && p.Recipe != "as it is" {
			t.Errorf("alone, the layer is packed as %s", p.Recipe)
		}
	}
	if with, without := size(t, dir), len(plain)*3/4; with > int64(without) {
		t.Errorf("with what it shares, it takes %d bytes", with)
	}
}

// TestAutoMeets holds that auto packs while the link is busy, where that is on its
// way meanwhile, though it would not if the link had to wait for it.
func TestAutoMeets(t *testing.T) {
	kit := bundletest.NewKit(t)
	content := newGeneration(128 << 10).content
	var layers [][]byte
	for half := range slices.Chunk(content, 64<<10) {
		layers = append(layers, zip(t, 6, bytes.Repeat(half, 48))) // farther apart than gzip looks
	}
	source := imageOf(t, layers...)
	for meets, want := range map[bool]int{false: 0, true: 1} {
		small := 0
		dir := packAs(t, kit, 1, source, create.Options{Pack: create.Auto, Link: 20e6, Meets: meets})
		for _, p := range checkSmall(t, kit, dir, source).Packings() {
			if p.Recipe != "as it is" {
				small++
			}
		}
		if small != want {
			t.Errorf("%d of %d layers are packed small if the link works meanwhile: %v; want %d", small, len(layers), meets, want)
		}
	}
}

// TestAutoStops has a source give wrong bytes, or none, some way behind what is
// packed: the image is named, and nothing is left running.
func TestAutoStops(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(1 << 20)
	for what, c := range map[string]struct {
		open func(r io.ReadCloser) (io.ReadCloser, error)
		want error
	}{
		"none":  {func(io.ReadCloser) (io.ReadCloser, error) { return nil, errSource }, errSource},
		"wrong": {func(r io.ReadCloser) (io.ReadCloser, error) { return flipped{r}, nil }, create.ErrRejected},
	} {
		s := newSource()
		var layers [][]byte
		for i := range 6 {
			layers = append(layers, zip(t, 6, g.content[i*1000:]))
		}
		s.image("linux/amd64", layers...)
		bad := manifest.DigestOf(layers[4])
		s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
			r, err := s.Source.Open(ctx, d, from, to)
			if err == nil && d.Digest == bad {
				return c.open(r)
			}
			return r, err
		}
		contents, err := create.Collect(t.Context(), release(s))
		must(t, err)
		sink, err := transfer.NewDir(t.TempDir())
		must(t, err)
		before := runtime.NumGoroutine()
		_, err = contents.Write(t.Context(), sink, create.Options{Pack: create.Auto, Link: 1e5, Bases: archive.NewBases(), Spool: t.TempDir(),
			Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}}, Progress: progress.Discard})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		settle(t, before)
	}
}

// flipped is bytes some of which are others.
type flipped struct{ io.ReadCloser }

func (f flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

// TestSettle holds that auto becomes fast where no layer can be worth it, by no
// more than the beginnings of the layers.
func TestSettle(t *testing.T) {
	g := newGeneration(2 << 20)
	sparse := bytes.Repeat(g.content[:4096], 4096)
	dense := noise("dense", 6<<20)
	for what, c := range map[string]struct {
		layer []byte
		o     create.Options
		want  create.Pack
	}{
		"slow":          {zip(t, 6, g.content), create.Options{Pack: create.Auto, Link: 1e6}, create.Auto},
		"in between":    {zip(t, 6, sparse), create.Options{Pack: create.Auto, Link: 20e6}, create.Fast},
		"dense":         {zip(t, 6, dense), create.Options{Pack: create.Auto, Link: 20e6}, create.Auto},
		"not gzip":      {g.content, create.Options{Pack: create.Auto, Link: 20e6}, create.Auto},
		"too fast":      {g.content, create.Options{Pack: create.Auto, Link: 1e12}, create.Auto},
		"asked for":     {zip(t, 6, g.content), create.Options{Pack: create.Small, Link: 20e6}, create.Small},
		"not to choose": {zip(t, 6, g.content), create.Options{Pack: create.Fast, Link: 1e6}, create.Fast},
	} {
		s := newSource()
		s.image("linux/amd64", c.layer)
		contents, err := create.Collect(t.Context(), release(s))
		must(t, err)
		var read int64
		s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
			r, err := s.Source.Open(ctx, d, from, to)
			return counting{r, &read}, err
		}
		c.o.Bases = archive.NewBases()
		got, err := contents.Settle(t.Context(), c.o)
		if err != nil || got.Pack != c.want {
			t.Errorf("%s: %v, %v; want %v", what, got.Pack, err, c.want)
		}
		if n := atomic.LoadInt64(&read); n > 2<<20 {
			t.Errorf("%s: %d bytes were read", what, n)
		}
	}
	s := newSource()
	s.image("linux/amd64", zip(t, 6, dense))
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	s.open = func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) { return nil, errSource }
	if _, err := contents.Settle(t.Context(), create.Options{Pack: create.Auto, Link: 1e6, Bases: archive.NewBases()}); !errors.Is(err, errSource) {
		t.Error(err)
	}
}
