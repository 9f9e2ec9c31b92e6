package volume_test

import (
	"bytes"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/volume"
)

const block = manifest.BlockSize

// pattern returns n bytes without two equal blocks.
func pattern(n int64) []byte {
	p := make([]byte, n)
	x := uint64(n)
	for i := range p {
		x = x*6364136223846793005 + 1442695040888963407
		p[i] = byte(x >> 56)
	}
	return p
}

// write writes a space in pieces of step bytes (zero: at once).
func write(t testing.TB, files bundletest.Files, size int64, space []byte, step int) *volume.Set {
	t.Helper()
	w, err := volume.NewWriter(volume.Layout{Stem: "shop-1.0", Size: size}, files.Create)
	must(t, err)
	if step == 0 {
		step = len(space)
	}
	for rest := space; len(rest) > 0; {
		n, err := w.Write(rest[:min(step, len(rest))])
		must(t, err)
		rest = rest[n:]
	}
	if w.Offset() != int64(len(space)) {
		t.Fatalf("offset %d after %d bytes", w.Offset(), len(space))
	}
	set, err := w.Close()
	must(t, err)
	return set
}

func newFiles() bundletest.Files { return bundletest.Files{MapFS: fstest.MapFS{}} }

// bundle writes a space and everything around it, and proves that.
func bundle(t testing.TB, size int64, space []byte) (fstest.MapFS, *manifest.Verified) {
	t.Helper()
	files := newFiles()
	set := write(t, files, size, space, 0)
	return files.MapFS, seal(t, files, set, space)
}

// seal writes what stands around volumes, and proves it.
func seal(t testing.TB, files bundletest.Files, set *volume.Set, space []byte) *manifest.Verified {
	t.Helper()
	d := manifest.DigestOf([]byte("document"))
	m := &manifest.Manifest{
		Format: manifest.Format, Release: "shop", Version: "1.0", Stream: "shop", Created: "2026-01-02T03:04:05Z", BlockSize: block,
		Images: []manifest.Image{{
			Names:     []string{"a.example/x:1"},
			Root:      manifest.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: 1},
			Manifests: []manifest.Digest{d}, Blobs: []manifest.Digest{d},
		}},
		Volumes: set.Volumes, Parity: set.Parity,
		Index: manifest.Extent{Offset: int64(len(space) - 1), Size: 1, Digest: manifest.DigestOf(space[len(space)-1:])},
	}
	text, err := m.Marshal()
	must(t, err)
	set.Sums[manifest.ManifestName], set.Sums[manifest.BlocksName] = manifest.DigestOf(text), manifest.DigestOf(set.Blocks)
	kit := bundletest.NewKit(t)
	sums := set.Sums.Marshal()
	armored, err := kit.Key.Sign(manifest.Namespace, sums)
	must(t, err)
	for name, data := range map[string][]byte{"manifest.json": text, "blocks.bin": set.Blocks, "SHA256SUMS.ana.sig": armored, "SHA256SUMS": sums} {
		must(t, files.Put(name, data))
	}
	v, err := manifest.Open(files, kit.Allowed, bundletest.Created)
	must(t, err)
	if set.Parity != nil {
		must(t, files.Put(manifest.CopyName, v.Copy()))
	}
	return v
}

func open(t testing.TB, v *manifest.Verified, fsys fs.FS) *volume.Reader {
	t.Helper()
	r, err := volume.NewReader(v, fsys)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// badFS changes what its files' ReadAt gives.
type badFS struct {
	fstest.MapFS
	read func(name string, p []byte, off int64, n int, err error) (int, error)
}

func (b badFS) Open(name string) (fs.File, error) {
	f, err := b.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	return &badFile{File: f, name: name, fs: b}, nil
}

type badFile struct {
	fs.File
	name string
	fs   badFS
}

func (f *badFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.(io.ReaderAt).ReadAt(p, off)
	return f.fs.read(f.name, p, off, n, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes that differ from the %d wanted", what, len(got), len(want))
	}
}
