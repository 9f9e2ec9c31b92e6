package create_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/gzipexact/sampletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// generation makes layers' contents that change a little from one release to
// the next: some bytes in every 4 KiB, and a new piece at the end.
type generation struct {
	rng     *rand.Rand
	content []byte
}

func newGeneration(size int) *generation {
	g := &generation{rng: rand.New(rand.NewPCG(1, 2))}
	g.grow(size)
	return g
}

// grow appends random bytes, half of them compressible.
func (g *generation) grow(size int) {
	for range size / 8 {
		if g.rng.IntN(2) == 0 {
			g.content = append(g.content, "the same"...)
			continue
		}
		for range 8 {
			g.content = append(g.content, byte(g.rng.Uint32()))
		}
	}
}

func (g *generation) next() {
	for at := 0; at < len(g.content); at += 4096 {
		g.content[at] ^= byte(1 + g.rng.IntN(255))
	}
	g.grow(10_000)
}

func zip(t *testing.T, level int, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image has a layer of the generation's content, an unchanging one, one that
// is not gzip at all, and one of which gzip's end is followed by zeros.
func (g *generation) image(t *testing.T) *bundletest.Source {
	t.Helper()
	fixed := newGeneration(3 << 20).content
	return imageOf(t, zip(t, 6, g.content), zip(t, 9, fixed), g.content[:1<<20],
		append(zip(t, 1, g.content[5000:2<<20]), make([]byte, 100)...), zip(t, 6, nil))
}

// imageOf returns an image with these blobs as layers.
func imageOf(t *testing.T, blobs ...[]byte) *bundletest.Source {
	t.Helper()
	var layers []v1.Layer
	for _, data := range blobs {
		layers = append(layers, static.NewLayer(data, types.OCILayer))
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	s := bundletest.NewSource()
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(data)
	}
	// static layers have their blob as their content, which is of no account here.
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	s.Add(config)
	s.SetRoot(string(types.DockerManifestSchema2), s.Add(raw))
	return s
}

// packSmall writes a small bundle and returns its folder.
func packSmall(t *testing.T, kit *bundletest.Kit, version int, source *bundletest.Source, bases ...string) string {
	t.Helper()
	return packAs(t, kit, version, source, create.Options{Pack: create.Small}, bases...)
}

// packAs writes a bundle as the options' Pack and Link say, and returns its folder.
func packAs(t *testing.T, kit *bundletest.Kit, version int, source *bundletest.Source, o create.Options, bases ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprint("v", version))
	sink, err := transfer.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := bundletest.Release(source)
	r.Version = fmt.Sprint(version)
	contents, err := create.Collect(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var readers []*archive.Reader
	for _, base := range bases {
		reader, err := archive.OpenOn(os.DirFS(base), dirs(bases), kit.Allowed, bundletest.Created)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		readers = append(readers, reader)
	}
	_, err = contents.Write(t.Context(), sink, create.Options{
		Pack: o.Pack, Link: o.Link, Meets: o.Meets, Bases: archive.NewBases(readers...), Spool: t.TempDir(), Progress: progress.Discard,
		Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func dirs(paths []string) []fs.FS {
	var all []fs.FS
	for _, path := range paths {
		all = append(all, os.DirFS(path))
	}
	return all
}

// size returns how many bytes the volumes of a bundle have.
func size(t *testing.T, dir string) int64 {
	t.Helper()
	volumes, err := filepath.Glob(filepath.Join(dir, "*.vol"))
	if err != nil || len(volumes) == 0 {
		t.Fatalf("volumes in %s: %v %v", dir, volumes, err)
	}
	var sum int64
	for _, path := range volumes {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// checkSmall proves a bundle on its bases and compares every blob with the source's.
func checkSmall(t *testing.T, kit *bundletest.Kit, dir string, source *bundletest.Source, bases ...string) *archive.Reader {
	t.Helper()
	blobs, err := archive.OpenOn(os.DirFS(dir), dirs(bases), kit.Allowed, bundletest.Created)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	if err := blobs.Verify(t.Context(), progress.Discard); err != nil {
		t.Fatal(err)
	}
	release, err := load.NewRelease(t.Context(), blobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range release.Blobs() {
		r, err := release.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, source.All()[d.Digest]) {
			t.Fatalf("blob %s differs: %v", d.Digest, err)
		}
		r.Close()
	}
	return blobs
}

// notShort leaves out what takes minutes under the race detector.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes under the race detector; the run without -short has it")
	}
}

// TestReasons: a gzip layer that is packed as it is says why.
func TestReasons(t *testing.T) {
	kit := bundletest.NewKit(t)
	once := newGeneration(64 << 10).content
	content := bytes.Repeat(once, 48) // farther apart than gzip looks
	s := newSource()
	layers := map[string]manifest.Digest{}
	add := func(what string, data []byte) []byte {
		layers[what] = manifest.DigestOf(data)
		return data
	}
	s.image("linux/amd64", add("known", zip(t, 6, content)), add("unknown", sampletest.Flushed(content, gzip.DefaultCompression, 10_001)),
		add("damaged", []byte("\x1f\x8bnot gzip at all")), add("no gzip", content))
	const unknown, slow = "no known encoder", "arrives sooner"
	for _, c := range []struct {
		o    create.Options
		want map[string]string
	}{
		{create.Options{Pack: create.Small}, map[string]string{"unknown": unknown, "damaged": unknown}},
		{create.Options{Pack: create.Auto, Link: 1e5}, map[string]string{"unknown": unknown, "damaged": unknown}},
		{create.Options{Pack: create.Auto, Link: 20e6}, map[string]string{"known": slow, "unknown": slow, "damaged": unknown}},
		{create.Options{Pack: create.Fast}, nil},
	} {
		dir := packAs(t, kit, 1, s.Source, c.o)
		for _, p := range checkSmall(t, kit, dir, s.Source).Packings() {
			for what, d := range layers {
				if want := c.want[what]; p.Digest == d && (!strings.Contains(p.Why, want) || (p.Why == "") != (want == "")) {
					t.Errorf("%v: the layer of %s is packed as %s, %q; want %q", c.o, what, p.Recipe, p.Why, want)
				}
			}
		}
	}
}

func TestSmallComesBackExactly(t *testing.T) {
	notShort(t)
	kit := bundletest.NewKit(t)
	g := newGeneration(9 << 20)
	source := g.image(t)
	dir := packSmall(t, kit, 1, source)
	blobs := checkSmall(t, kit, dir, source)
	recipes := 0
	for _, p := range blobs.Packings() {
		if p.Recipe != "as it is" {
			recipes++
		}
	}
	if recipes != 4 {
		t.Errorf("%d blobs have a recipe, want the 4 gzip layers", recipes)
	}
	var unpacked int64
	for _, data := range source.All() {
		unpacked += int64(len(data))
	}
	if got := size(t, dir); got > unpacked*9/10 {
		t.Errorf("packed to %d bytes of %d, although a tenth and more is there twice", got, unpacked)
	}
	checkSame(t, dir, packSmall(t, kit, 1, source))
}

// checkSame checks that two runs have made one bundle.
func checkSame(t *testing.T, dir, again string) {
	t.Helper()
	for _, name := range []string{"SHA256SUMS", "shop-1.000.vol"} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(again, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between two runs: %v %v", name, errA, errB)
		}
	}
}

func TestChainOfDeltas(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 20)
	var chain []string
	first := int64(0)
	notShort(t)
	for version := 1; version <= 10; version++ {
		source := g.image(t)
		dir := packSmall(t, kit, version, source, chain...)
		checkSmall(t, kit, dir, source, chain...)
		switch got := size(t, dir); {
		case version == 1:
			first = got
		case got > first/8:
			t.Errorf("version %d takes %d bytes, the first took %d", version, got, first)
		}
		chain = append(chain, dir)
		g.next()
	}
}

func TestNothingChanged(t *testing.T) {
	kit := bundletest.NewKit(t)
	source := newGeneration(5 << 20).image(t)
	base := packSmall(t, kit, 1, source)
	dir := packSmall(t, kit, 2, source, base)
	checkSmall(t, kit, dir, source, base)
	if got := size(t, dir); got > 2000 {
		t.Errorf("a release in which nothing changed takes %d bytes", got)
	}
}

func TestMissingBaseIsNamed(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(3 << 20)
	base := packSmall(t, kit, 1, g.image(t))
	g.next()
	other := packSmall(t, kit, 3, g.image(t))
	dir := packSmall(t, kit, 2, g.image(t), base)
	for _, bases := range [][]string{nil, {other}} {
		blobs, err := archive.OpenOn(os.DirFS(dir), dirs(bases), kit.Allowed, bundletest.Created)
		if err != nil {
			t.Fatal(err)
		}
		if err := blobs.Complete(); !errors.Is(err, archive.ErrBase) {
			t.Errorf("with bases %v: %v, want ErrBase", bases, err)
		}
		blobs.Close()
	}
}
