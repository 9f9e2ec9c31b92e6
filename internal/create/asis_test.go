package create_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// unpacked returns what a bundle lists of its bases' gzip blobs.
func unpacked(r *archive.Reader) []manifest.Unpacked {
	var all []manifest.Unpacked
	for _, b := range r.Manifest().Bases {
		all = append(all, b.Unpacked...)
	}
	return all
}

// TestFastBase holds that deltas on a base that was packed as it is are as small
// as on one that was packed small, and so is what is based on these.
func TestFastBase(t *testing.T) {
	notShort(t)
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 20)
	source := g.image(t)
	fast := []string{packAs(t, kit, 1, source, create.Options{Pack: create.Fast})}
	small := []string{packSmall(t, kit, 1, source)}
	for version := 2; version <= 3; version++ {
		g.next()
		source := g.image(t)
		fast = append(fast, packSmall(t, kit, version, source, fast...))
		small = append(small, packSmall(t, kit, version, source, small...))
		got, want := size(t, fast[version-1]), size(t, small[version-1])
		if got > want+want/20 {
			t.Errorf("version %d takes %d bytes, with a small base %d", version, got, want)
		}
		blobs := checkSmall(t, kit, fast[version-1], source, fast[:version-1]...)
		if list := unpacked(blobs); len(list) != 3 {
			t.Errorf("version %d: unpacked are %v, want the 3 layers of the first version that are gzip and hold something", version, list)
		}
	}
}

// TestFastBaseInBetween holds that a bundle can be based on one that copies from
// gzip blobs of its own base, and look for no copies itself.
func TestFastBaseInBetween(t *testing.T) {
	notShort(t)
	kit := bundletest.NewKit(t)
	g := newGeneration(3 << 20)
	chain := []string{packAs(t, kit, 1, g.image(t), create.Options{Pack: create.Fast})}
	for i, o := range []create.Options{{Pack: create.Small}, {Pack: create.Auto, Link: 1e12}, {Pack: create.Small}} {
		if i != 1 {
			g.next()
		}
		source := g.image(t)
		dir := packAs(t, kit, 2+i, source, o, chain...)
		checkSmall(t, kit, dir, source, chain...)
		if got := size(t, dir); got > 100_000 {
			t.Errorf("version %d takes %d bytes", 2+i, got)
		}
		chain = append(chain, dir)
	}
}

// pgzip is the number of an encoder that flushes before it ends.
const pgzip = 3

// zipBy returns content as an encoder makes it that gzipexact knows by a number.
func zipBy(t *testing.T, encoder, level byte, block uint64, system byte, content []byte) []byte {
	t.Helper()
	flushed := byte(0)
	if encoder == pgzip {
		flushed = 1
	}
	raw := binary.AppendUvarint([]byte{1, encoder, level + 2}, block)
	raw = append(raw, 1, 10, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, system, 1, flushed)
	raw = append(binary.AppendUvarint(raw, uint64(len(content))), 0)
	recipe, err := gzipexact.ParseRecipe(raw)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := gzipexact.Rebuild(&b, recipe, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFastBaseOfManyEncoders holds that what tools of all kinds packed is found again.
func TestFastBaseOfManyEncoders(t *testing.T) {
	notShort(t)
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 19)
	image := func() *bundletest.Source {
		var layers [][]byte
		for i, e := range []struct {
			encoder, level byte
			block          uint64
			system         byte
		}{{1, 6, 0, 255}, {2, 3, 0, 255}, {pgzip, 6, 1 << 20, 255}, {6, 6, 0, 3}, {8, 9, 0, 3}, {9, 6, 128 << 10, 3}} {
			content := append([]byte{byte(i)}, g.content[i*5000:]...)
			layers = append(layers, zipBy(t, e.encoder, e.level, e.block, e.system, content))
		}
		return imageOf(t, layers...)
	}
	base := packAs(t, kit, 1, image(), create.Options{Pack: create.Fast})
	g.next()
	source := image()
	dir := packSmall(t, kit, 2, source, base)
	blobs := checkSmall(t, kit, dir, source, base)
	if list := unpacked(blobs); len(list) != 6 {
		t.Errorf("unpacked are %v, want 6 layers", list)
	}
	if got := size(t, dir); got > 50_000 {
		t.Errorf("the second version takes %d bytes, %d are new", got, 10_000)
	}
}
