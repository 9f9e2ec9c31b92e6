package archive_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/gzipexact/sampletest"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// zipped returns content as gzip of two members.
func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for part := range slices.Chunk(content, len(content)*2/3+1) {
		w, err := gzip.NewWriterLevel(&b, 1)
		must(t, err)
		_, err = w.Write(part)
		must(t, err)
		must(t, w.Close())
	}
	return b.Bytes()
}

// asItIs returns a bundle of layers that are packed as they are, changed by f.
func asItIs(t testing.TB, f func(k *kit), layers ...[]byte) map[string][]byte {
	t.Helper()
	k := newKit(t)
	s := bundletest.NewSource()
	var digests []manifest.Digest
	for _, data := range layers {
		digests = append(digests, s.Add(data))
	}
	setLayers(t, k, s, digests...)
	k.front(layers...)
	k.keepBlobs()
	f(k)
	return k.make(t)
}

// on returns a bundle with a layer that copies the pages of an unpacked blob of
// size bytes, one by one and last to first, and the layer.
func on(t testing.TB, base map[string][]byte, basePages int64, blob manifest.Digest, content []byte, size int64) (map[string][]byte, []byte) {
	t.Helper()
	pages := slices.Collect(slices.Chunk(content, frameBytes))
	layer := bytes.Clone(pages[0])
	for _, p := range slices.Backward(pages[:len(pages)-1]) {
		layer = append(layer, p...)
	}
	layer = append(layer, pages[len(pages)-1]...)
	return asItIs(t, func(k *kit) {
		k.m.Version = "1.1"
		k.m.Bases = []manifest.Base{{Release: "shop", Version: "1.0", Root: manifest.DigestOf(base["SHA256SUMS"]), Pages: basePages,
			Unpacked: []manifest.Unpacked{{Blob: blob, Size: size}}}}
		frames := k.contents[0].frames
		frames[0] = frameSpec{kind: 3, page: uint64(basePages)}
		last := len(pages) - 1
		for i := range last {
			frames[1+i] = frameSpec{kind: 3, page: uint64(basePages) + uint64(last-1-i)}
		}
		frames[1+last] = frameSpec{kind: 2, data: deltaFrame(uint64(basePages)+uint64(last), len(pages[last]), "")}
	}, layer), layer
}

// pagesOf returns how many frames a bundle's contents have.
func pagesOf(t testing.TB, files map[string][]byte) int64 {
	t.Helper()
	r, err := archive.Open(mapFS(files), testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	return archive.NewBases(r).Manifest()[0].Pages
}

func TestUnpacked(t *testing.T) {
	content := sampletest.Mixed(1, 3*frameBytes+100)
	blob := zipped(t, content)
	base := asItIs(t, func(*kit) {}, blob)
	files, layer := on(t, base, pagesOf(t, base), manifest.DigestOf(blob), content, int64(len(content)))
	r, err := archive.OpenOn(mapFS(files), []fs.FS{mapFS(base)}, testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	must(t, r.Complete())
	must(t, r.Verify(t.Context(), progress.Discard))
	must(t, readBlobs(t, r, nil))
	if _, ok := r.Size(manifest.DigestOf(layer)); !ok {
		t.Error("the layer is not there")
	}
	alone, err := archive.Open(mapFS(files), testAllowed(t), goldenTime)
	must(t, err)
	defer alone.Close()
	if err := alone.Complete(); !errors.Is(err, archive.ErrBase) {
		t.Errorf("without the base: %v", err)
	}
	if err := readBlobs(t, alone, archive.ErrBase); !errors.Is(err, archive.ErrBase) {
		t.Errorf("read without the base: %v", err)
	}
}

// TestUnpackedRefused lists blobs that the base lacks or has otherwise, and ones
// that do not decompress to what is said.
func TestUnpackedRefused(t *testing.T) {
	content := sampletest.Mixed(2, 2*frameBytes+100)
	blob := zipped(t, content)
	size := int64(len(content))
	cut := blob[:len(blob)-20]
	none := func(*kit) {}
	for name, c := range map[string]struct {
		blob  []byte
		bend  func(k *kit) // the base
		named manifest.Digest
		size  int64
		open  bool // it is refused when it is opened
		says  string
	}{
		"as it should be": {blob, none, manifest.DigestOf(blob), size, false, ""},
		"not there":       {blob, none, manifest.DigestOf(cut), size, true, "not packed as it is"},
		"copied":          {blob, func(k *kit) { k.contents[1].frames[0] = frameSpec{kind: 3, page: 0} }, manifest.DigestOf([]byte(strings.Repeat("x", 60))), size, true, "not packed as it is"},
		"a byte more":     {blob, none, manifest.DigestOf(blob), size + 1, false, "does not decompress to the 4194405 bytes"},
		"a byte fewer":    {blob, none, manifest.DigestOf(blob), size - 1, false, "does not decompress to the 4194403 bytes"},
		"cut":             {cut, none, manifest.DigestOf(cut), size, false, "not a valid gzip stream"},
		"zeros behind":    {append(bytes.Clone(blob), 0, 0), none, manifest.DigestOf(append(bytes.Clone(blob), 0, 0)), size, false, ""},
		"no gzip":         {content, none, manifest.DigestOf(content), size, false, "not a valid gzip stream"},
	} {
		base := asItIs(t, c.bend, c.blob, []byte(strings.Repeat("x", 60)))
		files, _ := on(t, base, pagesOf(t, base), c.named, content[:min(c.size, size)], c.size)
		r, err := archive.OpenOn(mapFS(files), []fs.FS{mapFS(base)}, testAllowed(t), goldenTime)
		if (err != nil) != c.open || err != nil && (!errors.Is(err, archive.ErrMalformed) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: opening says %v", name, err)
		}
		if err != nil {
			continue
		}
		err = r.Verify(t.Context(), progress.Discard)
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, archive.ErrMalformed) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: Verify says %v", name, err)
		}
		if err := readBlobs(t, r, err); (err == nil) != (c.says == "") {
			t.Errorf("%s: reading says %v", name, err)
		}
		r.Close()
	}
}

// TestLearnDamaged holds that a base of which a block is bad is not packed on,
// and that one with a blob that is no good gzip is.
func TestLearnDamaged(t *testing.T) {
	blob := zipped(t, sampletest.Mixed(3, 4*frameBytes))
	flip := func(files map[string][]byte) {
		files[vol0] = bytes.Clone(files[vol0])
		files[vol0][len(files[vol0])*6/10] ^= 1 // in its second page
	}
	for name, c := range map[string]struct {
		blob  []byte
		after func(map[string][]byte)
		want  error
	}{
		"good":      {blob, nil, nil},
		"cut":       {blob[:len(blob)-100], nil, nil},
		"no gzip":   {append([]byte{0x1f, 0x8b, 8}, blob...), nil, nil},
		"bad block": {blob, flip, volume.ErrDamaged},
	} {
		r, err := archive.Open(mapFS(asItIs(t, func(k *kit) { k.after = c.after }, c.blob)), testAllowed(t), goldenTime)
		must(t, err)
		if _, err := archive.NewEstimator(archive.NewBases(r), 8<<20); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}

// TestTooManyUnpacked holds that of more gzip blobs that bases copy from than a
// bundle can list some are left out, with what was copied from them.
func TestTooManyUnpacked(t *testing.T) {
	var bundles []fs.FS
	for i := range 3 {
		content := sampletest.Mixed(uint64(i), 2*frameBytes)
		blob := zipped(t, content)
		base := asItIs(t, func(*kit) {}, blob)
		files, _ := on(t, base, pagesOf(t, base), manifest.DigestOf(blob), content, int64(len(content)))
		bundles = append(bundles, mapFS(base), mapFS(files))
	}
	bases, err := archive.OpenBases(bundles, testAllowed(t), goldenTime)
	must(t, err)
	defer bases.Close()
	all, usable, err := bases.Learn(manifest.MaxUnpacked)
	if err != nil || all != 3 {
		t.Fatalf("%d are listed, %v", all, err)
	}
	for most := range all {
		// A blob has two pages, and what was copied from it three.
		listed, left, err := bases.Learn(most)
		if lost := (all - most) * 5; err != nil || listed != most || left != usable-lost {
			t.Errorf("with room for %d: %d are listed, %d pages of %d are left, want %d less: %v", most, listed, left, usable, lost, err)
		}
	}
}
