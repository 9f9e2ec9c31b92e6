package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func randomImage(t testing.TB, size, layers int64) v1.Image {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range layers {
		layer := must[v1.Layer](t)(random.Layer(size, types.OCIUncompressedLayer))
		image = must[v1.Image](t)(mutate.AppendLayers(image, layer))
	}
	return image
}

// signed is an index of two platforms with a cosign signature, a referrer and
// a referrers index, as sources hand them over.
func signed(t testing.TB) *bundletest.Source {
	t.Helper()
	base := randomImage(t, 3000, 2)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: base, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: randomImage(t, 3000, 1), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	s := bundletest.FromIndex(t, index)
	root := s.Root()
	attach := func(tag string, subject bool) (oci.Descriptor, []byte) {
		extra := bundletest.FromImage(t, randomImage(t, 200, 1))
		for _, data := range extra.All() {
			s.Add(data)
		}
		raw := must[[]byte](t)(extra.Document(t.Context(), extra.Root()))
		if subject {
			raw = bytes.Replace(raw, []byte(`"schemaVersion":2,`), fmt.Appendf(nil,
				`"schemaVersion":2,"subject":{"mediaType":%q,"digest":%q,"size":%d},`, root.MediaType, root.Digest, root.Size), 1)
		}
		d := s.Refer(root.Digest, extra.Root().MediaType, raw, tag)
		return oci.Descriptor{MediaType: extra.Root().MediaType, Digest: d, Size: int64(len(raw))}, raw
	}
	attach(tagOf(root.Digest)+".sig", false)
	referrer, _ := attach("", true)
	list := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		oci.TypeIndex, referrer.MediaType, referrer.Digest, referrer.Size)
	s.Refer(root.Digest, oci.TypeIndex, list, tagOf(root.Digest))
	return s
}

// opened returns a release of the sources, named registry.example/app/0:1.0 and so on.
func opened(t testing.TB, sources ...*bundletest.Source) *load.Release {
	t.Helper()
	return openedAs(t, bundletest.Release(sources...))
}

func openedAs(t testing.TB, r create.Release) *load.Release {
	t.Helper()
	kit := bundletest.NewKit(t)
	return kit.Open(t, kit.Bundle(t, r, 0))
}

// loaded loads and checks.
func loaded(t testing.TB, dir string, r *load.Release) *load.Plan {
	t.Helper()
	d := NewDestination(dir)
	p := must[*load.Plan](t)(d.Plan(t.Context(), r))
	if err := d.Load(t.Context(), r, p, progress.Discard); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context(), r, p); err != nil {
		t.Fatal(err)
	}
	wantClean(t, dir)
	return p
}

// wantClean finds nothing in a layout that does not belong there.
func wantClean(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func openDir(t testing.TB, dir, reference string) *Source {
	t.Helper()
	root := must[*os.Root](t)(os.OpenRoot(dir))
	t.Cleanup(func() { root.Close() })
	return must[*Source](t)(Open(root.FS(), reference))
}

// state is every file of a folder with its bytes and time.
func state(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		all[path] = info.ModTime().String() + " " + manifest.DigestOf(data).String()
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestLoadIntoNothing(t *testing.T) {
	sources := []*bundletest.Source{signed(t), bundletest.FromImage(t, randomImage(t, 5000, 3))}
	r, dir := opened(t, sources...), filepath.Join(t.TempDir(), "out")
	d := NewDestination(dir)
	p := must[*load.Plan](t)(d.Plan(t.Context(), r))
	if len(p.Present) != 0 || len(p.Reads) != len(r.Blobs()) || len(p.Names) != 3 {
		t.Errorf("plan: %d present, %d to read of %d, names %v", len(p.Present), len(p.Reads), len(r.Blobs()), p.Names)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Plan made the folder: %v", err)
	}
	loaded(t, dir, r)
	for i, want := range sources {
		s := openDir(t, dir, fmt.Sprintf("registry.example/app/%d:1.0", i))
		sameImage(t, s, want)
		if got, want := s.Names(), []string{fmt.Sprintf("registry.example/app/%d:1.0", i)}; !slices.Equal(got, want) {
			t.Errorf("names %q, want %q", got, want)
		}
	}
	for _, e := range must[*index](t)(survey(os.DirFS(dir))).entries {
		name := e.Annotations[RefName]
		if isImage := strings.HasSuffix(name, ":1.0"); isImage != (e.Annotations[ContainerdName] == name && name != "") {
			t.Errorf("%s: annotations %q", e.Digest, e.Annotations)
		}
	}
	before := state(t, dir)
	if p := loaded(t, dir, r); len(p.Reads) != 0 || len(p.Present) != len(r.Blobs()) || slices.ContainsFunc(p.Names, load.Name.Moves) {
		t.Errorf("second plan: %+v", p)
	}
	if !equal(before, state(t, dir)) {
		t.Error("a second load changed files")
	}
}

// sameImage compares the image and all that refers to it, byte for byte.
func sameImage(t *testing.T, got *Source, want *bundletest.Source) {
	t.Helper()
	root := must[oci.Descriptor](t)(got.Resolve(t.Context()))
	if root.Digest != want.Root().Digest || root.MediaType != want.Root().MediaType || root.Size != want.Root().Size {
		t.Errorf("root %+v, want %+v", root, want.Root())
	}
	roots := []oci.Descriptor{root}
	have := must[[]manifest.Referrer](t)(got.Referrers(t.Context(), root))
	for _, r := range must[[]manifest.Referrer](t)(want.Referrers(t.Context(), root)) {
		roots = append(roots, oci.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size})
		if !slices.ContainsFunc(have, func(h manifest.Referrer) bool {
			return h.Digest == r.Digest && h.Tag == r.Tag && h.Subject == r.Subject
		}) {
			t.Errorf("referrer %+v is not among %+v", r, have)
		}
	}
	for _, d := range roots {
		closure := must[*oci.Closure](t)(oci.Walk(t.Context(), d, got.Document))
		for _, n := range closure.Nodes {
			if !bytes.Equal(n.Raw, want.All()[n.Digest]) {
				t.Errorf("document %s differs", n.Digest)
			}
		}
		for _, blob := range closure.Blobs {
			r := must[io.ReadCloser](t)(got.Open(t.Context(), blob, 0, blob.Size))
			if data := must[[]byte](t)(io.ReadAll(r)); !bytes.Equal(data, want.All()[blob.Digest]) {
				t.Errorf("blob %s differs", blob.Digest)
			}
			r.Close()
		}
	}
}

func TestOtherEntriesStay(t *testing.T) {
	s, dir := newSketch(), t.TempDir()
	a := s.image("a", nil)
	s.list(a, RefName, "1.4", "org.example.note", "kept <as> it is")
	s.list(map[string]any{"mediaType": "application/xml", "digest": a["digest"], "size": 1})
	before := fmt.Sprintf(`{"annotations": {"x":"y"}, "manifests": %s, "schemaVersion":2, "org.example":[1, 2]}`,
		must[[]byte](t)(json.MarshalIndent(s.entries, "", " ")))
	s.MapFS[indexName].Data = []byte(before)
	if err := os.CopyFS(dir, s.MapFS); err != nil {
		t.Fatal(err)
	}
	loaded(t, dir, opened(t, signed(t)))
	raw := must[[]byte](t)(os.ReadFile(filepath.Join(dir, indexName)))
	old, now := must[*index](t)(parseIndex([]byte(before))), must[*index](t)(parseIndex(raw))
	if len(old.entries) != 2 || len(now.entries) != 6 {
		t.Fatalf("%d entries before, %d after: %s", len(old.entries), len(now.entries), raw)
	}
	for i, e := range old.entries {
		if !bytes.Equal(e.raw, now.entries[i].raw) {
			t.Errorf("entry %d was %s and is %s", i, e.raw, now.entries[i].raw)
		}
	}
	for key, value := range old.top {
		if !bytes.Equal(now.top[key], value) {
			t.Errorf("%s was %s and is %s", key, value, now.top[key])
		}
	}
	sameRoot := must[oci.Descriptor](t)(openDir(t, dir, "1.4").Resolve(t.Context()))
	if sameRoot.Digest != digestOf(t, a) {
		t.Errorf("the other image is %s now", sameRoot.Digest)
	}
}

func TestDockerTypesAreNoted(t *testing.T) {
	docker := mutate.MediaType(randomImage(t, 100, 1), types.DockerManifestSchema2)
	r := opened(t, bundletest.FromImage(t, docker), signed(t))
	p := loaded(t, filepath.Join(t.TempDir(), "out"), r)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], `"registry.example/app/0:1.0"`) {
		t.Errorf("notes %q", p.Notes)
	}
}

func TestNamesMove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	first, second := signed(t), bundletest.FromImage(t, randomImage(t, 500, 1))
	loaded(t, dir, opened(t, first))
	p := loaded(t, dir, opened(t, second))
	if len(p.Names) != 1 || !p.Names[0].Moves() || p.Names[0].Old != first.Root().Digest || p.Names[0].New != second.Root().Digest {
		t.Errorf("names %+v", p.Names)
	}
	sameImage(t, openDir(t, dir, "registry.example/app/0:1.0"), second)
	x := must[*index](t)(survey(os.DirFS(dir)))
	if slices.ContainsFunc(x.entries, func(e entry) bool { return e.Digest == first.Root().Digest }) {
		t.Error("the old image is still listed")
	}
}

// What an index under a referrers tag lists is found after the tag has moved.
func TestReferrersOfBothLoadsStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	first := signed(t)
	root := first.Root()
	loaded(t, dir, opened(t, first))
	second := bundletest.NewSource()
	for _, data := range first.All() {
		second.Add(data)
	}
	second.SetRoot(root.MediaType, root.Digest)
	second.Refer(root.Digest, oci.TypeIndex, []byte(`{"schemaVersion":2,"manifests":[]}`), tagOf(root.Digest))
	loaded(t, dir, opened(t, second))
	s := openDir(t, dir, "registry.example/app/0:1.0")
	sameImage(t, s, second)
	have := must[[]manifest.Referrer](t)(s.Referrers(t.Context(), root))
	for _, r := range must[[]manifest.Referrer](t)(first.Referrers(t.Context(), root)) {
		if r.Tag != tagOf(root.Digest) && !slices.ContainsFunc(have, func(h manifest.Referrer) bool { return h.Digest == r.Digest }) {
			t.Errorf("%+v is lost", r)
		}
	}
}

func TestUntaggedImage(t *testing.T) {
	source, dir := bundletest.FromImage(t, randomImage(t, 500, 1)), filepath.Join(t.TempDir(), "out")
	release := bundletest.Release(source)
	release.Images[0].Names = []string{"registry.example:5000/app"}
	p := loaded(t, dir, openedAs(t, release))
	if len(p.Names) != 0 {
		t.Errorf("names %+v", p.Names)
	}
	sameImage(t, openDir(t, dir, "@"+source.Root().Digest.String()), source)
	// With a name beside it there is one entry.
	release.Images[0].Names = []string{"registry.example:5000/app", "registry.example:5000/app:1"}
	dir = filepath.Join(t.TempDir(), "out")
	loaded(t, dir, openedAs(t, release))
	if x := must[*index](t)(survey(os.DirFS(dir))); len(x.entries) != 1 {
		t.Errorf("%d entries, want 1", len(x.entries))
	}
}

func TestDamagedBlobsAreWrittenAnew(t *testing.T) {
	source, dir := signed(t), filepath.Join(t.TempDir(), "out")
	r := opened(t, source)
	loaded(t, dir, r)
	blobs := r.Blobs()
	paths := []string{filepath.Join(dir, blobPath(blobs[0].Digest)), filepath.Join(dir, blobPath(blobs[1].Digest))}
	flip := func(path string) {
		t.Helper()
		data := must[[]byte](t)(os.ReadFile(path))
		data[0] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Another size is always seen.
	if err := os.Truncate(paths[0], blobs[0].Size-1); err != nil {
		t.Fatal(err)
	}
	if p := loaded(t, dir, r); len(p.Reads) != 1 || p.Reads[0].Digest != blobs[0].Digest {
		t.Errorf("plan reads %+v", p.Reads)
	}
	// Other bytes are seen when a name is put over them.
	flip(paths[1])
	release := bundletest.Release(source)
	release.Images[0].Names = []string{"registry.example/other:2"}
	if p := loaded(t, dir, openedAs(t, release)); len(p.Reads) != 0 {
		t.Errorf("plan reads %+v", p.Reads)
	}
	sameImage(t, openDir(t, dir, "registry.example/other:2"), source)
	// Documents are always compared.
	flip(filepath.Join(dir, blobPath(source.Root().Digest)))
	loaded(t, dir, r)
	sameImage(t, openDir(t, dir, "registry.example/app/0:1.0"), source)
}

func TestCheckSees(t *testing.T) {
	source := signed(t)
	r := opened(t, source)
	blob := r.Blobs()[0]
	for name, spoil := range map[string]func(dir string) error{
		"blob": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, blobPath(blob.Digest)), make([]byte, blob.Size), 0o600)
		},
		"blob gone": func(dir string) error { return os.Remove(filepath.Join(dir, blobPath(blob.Digest))) },
		"document": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, blobPath(source.Root().Digest)), []byte("{}"), 0o600)
		},
		"entry": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, indexName), newIndex().marshal(), 0o600)
		},
		"mark":  func(dir string) error { return os.WriteFile(filepath.Join(dir, markName), []byte("{}"), 0o600) },
		"index": func(dir string) error { return os.WriteFile(filepath.Join(dir, indexName), []byte("{}"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			p := loaded(t, dir, r)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			d := NewDestination(dir)
			if err := d.Check(t.Context(), r, p); !errors.Is(err, ErrRejected) {
				t.Errorf("err = %v, want ErrRejected", err)
			}
			p.Present, p.Reads = p.Reads, nil
			if err := d.Check(t.Context(), r, p); !errors.Is(err, ErrRejected) && name != "blob" {
				t.Errorf("found there: err = %v, want ErrRejected", err)
			}
		})
	}
}
