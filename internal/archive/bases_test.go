package archive_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/trust"
)

// based returns a bundle with a layer that is a copy of the golden bundle's
// stored layer, and one that is a copy with something in front.
func based(t testing.TB, base map[string][]byte, pages int64) map[string][]byte {
	t.Helper()
	k := newKit(t)
	s := bundletest.NewSource()
	longer := []byte("NEW" + goldenLayer)
	setLayers(t, k, s, s.Add([]byte(goldenLayer)), s.Add(longer))
	k.front([]byte(goldenLayer), longer)
	k.keepBlobs()
	k.contents[0].frames[0] = frameSpec{kind: 3, page: goldenStored}
	k.contents[1].frames[0] = frameSpec{kind: 2, data: deltaFrame(goldenStored, len(goldenLayer), "NEW")}
	k.m.Version = "1.1"
	k.m.Bases = []manifest.Base{{Release: "shop", Version: "1.0", Root: manifest.DigestOf(base["SHA256SUMS"]), Pages: pages}}
	return k.make(t)
}

func TestBases(t *testing.T) {
	golden := goldenFiles(t)
	r, err := archive.OpenOn(mapFS(based(t, golden, 4)), []fs.FS{mapFS(golden)}, testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	must(t, r.Complete())
	must(t, r.Verify(t.Context(), progress.Discard))
	for _, want := range []string{goldenLayer, "NEW" + goldenLayer} {
		b, err := r.Open(manifest.DigestOf([]byte(want)))
		must(t, err)
		if got, err := io.ReadAll(b); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", want, got, err)
		}
		b.Close()
	}
}

// TestBasesRefused offers a base that is none, another one, one with another
// number of pages, and ones that are not proven.
func TestBasesRefused(t *testing.T) {
	golden := goldenFiles(t)
	other := newKit(t)
	other.m.Version = "2.0"
	unsigned := goldenFiles(t)
	delete(unsigned, "SHA256SUMS.ana.sig")
	damaged := goldenFiles(t)
	damaged[vol0] = bytes.Clone(damaged[vol0])
	damaged[vol0][300] ^= 1
	for name, c := range map[string]struct {
		bases []fs.FS
		pages int64
		open  error // of OpenOn
		whole error // of Complete
		read  error // of Verify
	}{
		"none":        {nil, 4, nil, archive.ErrBase, archive.ErrBase},
		"another one": {[]fs.FS{mapFS(other.make(t))}, 4, nil, archive.ErrBase, archive.ErrBase},
		"more pages":  {[]fs.FS{mapFS(golden)}, 5, archive.ErrMalformed, nil, nil},
		"unsigned":    {[]fs.FS{mapFS(unsigned)}, 4, manifest.ErrRejected, nil, nil},
		"damaged":     {[]fs.FS{mapFS(damaged)}, 4, errAny, nil, nil},
		"no bundle":   {[]fs.FS{mapFS(nil)}, 4, manifest.ErrIncomplete, nil, nil},
	} {
		r, err := archive.OpenOn(mapFS(based(t, golden, c.pages)), c.bases, testAllowed(t), goldenTime)
		if c.open != nil {
			if err == nil || (c.open != errAny && !errors.Is(err, c.open)) || !strings.Contains(err.Error(), "base") && !strings.Contains(err.Error(), "SHA256SUMS") {
				t.Errorf("%s: %v, want %v", name, err, c.open)
			}
			continue
		}
		must(t, err)
		if err := r.Complete(); !errors.Is(err, c.whole) || !strings.Contains(err.Error(), "shop 1.0") {
			t.Errorf("%s: Complete says %v", name, err)
		}
		if err := r.Verify(t.Context(), progress.Discard); !errors.Is(err, c.read) {
			t.Errorf("%s: Verify says %v", name, err)
		}
		r.Close()
	}
	nobody, err := trust.ParseAllowedSigners([]byte("zoe " + keyLine(t) + "\n"))
	must(t, err)
	if _, err := archive.OpenOn(mapFS(golden), nil, nobody, goldenTime); !errors.Is(err, trust.ErrRejected) {
		t.Error(err)
	}
}

var errAny = errors.New("any")

// keyLine is bob's public key, which golden bundles are not signed by.
func keyLine(t testing.TB) string {
	t.Helper()
	pub := testKey(t, "stranger").PublicKey()
	line, err := trust.AllowedSignersLine("zoe", manifest.Namespace, pub)
	must(t, err)
	return strings.TrimSpace(line[strings.Index(line, "ssh-ed25519"):])
}

// chain returns a bundle of contents that are each a page and a tail, the page
// being a copy of the content before.
func chain(t testing.TB, length int) (map[string][]byte, []manifest.Digest) {
	t.Helper()
	k := newKit(t)
	s := bundletest.NewSource()
	var layers [][]byte
	var digests []manifest.Digest
	for i := range length {
		data := pageAnd(strings.Repeat("x", i+1))
		layers, digests = append(layers, data), append(digests, s.Add(data))
	}
	setLayers(t, k, s, digests...)
	k.front(layers...)
	for i := 1; i < length; i++ {
		k.contents[i].frames[0] = frameSpec{kind: 3, page: uint64(2 * (i - 1))}
	}
	return k.make(t), digests
}

// TestDeepCopiesWhateverWasRead holds that a page too deep is refused by a
// reader that has just read the pages in between, too.
func TestDeepCopiesWhateverWasRead(t *testing.T) {
	files, digests := chain(t, copiesDeep+2)
	r, err := archive.Open(mapFS(files), testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	p := make([]byte, 10)
	for _, d := range digests[:copiesDeep+1] {
		_, err := r.ReadAt(d, p, 0)
		must(t, err)
	}
	if _, err := r.ReadAt(digests[copiesDeep+1], p, 0); !errors.Is(err, archive.ErrMalformed) {
		t.Errorf("%d copies deep: %v", copiesDeep+1, err)
	}
	if err := r.Verify(t.Context(), progress.Discard); !errors.Is(err, archive.ErrMalformed) {
		t.Errorf("Verify: %v", err)
	}
}

// copiesDeep is how many copies over copies FORMAT.md allows.
const copiesDeep = 32

// TestCopiesAreBounded holds that a page as many copies deep is read, and none
// that is deeper.
func TestCopiesAreBounded(t *testing.T) {
	files, digests := chain(t, copiesDeep+2)
	for i := range digests {
		ok := i <= copiesDeep
		r, err := archive.Open(mapFS(files), testAllowed(t), goldenTime)
		must(t, err)
		p := make([]byte, 10)
		n, err := r.ReadAt(digests[i], p, 0)
		if ok && (n != 10 || err != nil) || !ok && !errors.Is(err, archive.ErrMalformed) {
			t.Errorf("%d copies deep: %d, %v", i, n, err)
		}
		r.Close()
	}
}

// TestOpenBases holds that bundles that have nothing to do with each other, and
// one that is based on another, share a cache, and are each there once.
func TestOpenBases(t *testing.T) {
	golden, other := goldenFiles(t), newKit(t)
	other.m.Version = "2.0"
	bundles := []fs.FS{mapFS(based(t, golden, 4)), mapFS(other.make(t)), mapFS(golden), mapFS(golden)}
	bases, err := archive.OpenBases(bundles, testAllowed(t), goldenTime)
	must(t, err)
	if got := len(bases.Manifest()); got != 3 || bases.Caches() != 1 {
		t.Errorf("%d bases with %d caches, want 3 with 1", got, bases.Caches())
	}
	must(t, bases.Close())
	for name, c := range map[string]struct {
		bundles []fs.FS
		want    error
	}{
		"a base is missing": {bundles[:2], archive.ErrBase},
		"one is none":       {append(bundles, mapFS(nil)), manifest.ErrIncomplete},
	} {
		if _, err := archive.OpenBases(c.bundles, testAllowed(t), goldenTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
