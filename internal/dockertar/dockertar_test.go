package dockertar

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/tarfs"
)

// member is a file of an archive; with a link, a symbolic link.
type member struct {
	name, body, link string
}

func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(m.body))}
		if m.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, m.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func files(t testing.TB, members ...member) fs.FS {
	t.Helper()
	data := pack(t, members...)
	fsys, err := tarfs.NewWithLinks(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func config(layers ...string) string {
	var ids []string
	for _, layer := range layers {
		ids = append(ids, manifest.DigestOf([]byte(layer)).String())
	}
	raw, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func hexOf(s string) string { return manifest.DigestOf([]byte(s)).Hex() }

// old is what Docker 1.10 to 24 wrote: two images that share a layer, which
// the second has as a symbolic link to the first's.
func old(t testing.TB) (fs.FS, string, string) {
	one, two := config("base", "one"), config("base", "two")
	list := fmt.Sprintf(`[{"Config":"%s.json","RepoTags":["alpine:3.11","registry.example/os/alpine:3"],"Layers":["aa/layer.tar","bb/layer.tar"]},
		{"Config":"%s.json","RepoTags":null,"Layers":["cc/layer.tar","dd/layer.tar"],"Parent":"x"}]`, hexOf(one), hexOf(two))
	return files(t,
		member{name: "aa/VERSION", body: "1.0"}, member{name: "aa/layer.tar", body: "base"}, member{name: "bb/layer.tar", body: "one"},
		member{name: "cc/layer.tar", link: "../aa/layer.tar"}, member{name: "dd/layer.tar", body: "two"},
		member{name: hexOf(one) + ".json", body: one}, member{name: hexOf(two) + ".json", body: two},
		member{name: "manifest.json", body: list}, member{name: "repositories", body: "{}"},
	), one, two
}

// readAll returns the image as its documents and blobs, each of which must
// have its digest.
func readAll(t *testing.T, s *Source) (*oci.Closure, map[manifest.Digest]string) {
	t.Helper()
	root, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closure, err := oci.Walk(t.Context(), root, s.Document)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[manifest.Digest]string{}
	for _, d := range closure.Blobs {
		body := readBlob(t, s, d, 0, d.Size)
		if got := manifest.DigestOf([]byte(body)); got != d.Digest {
			t.Errorf("blob %s has the digest %s", d.Digest, got)
		}
		if half := d.Size / 2; readBlob(t, s, d, half, d.Size) != body[half:] || readBlob(t, s, d, 0, half) != body[:half] {
			t.Errorf("blob %s: halves differ from the whole", d.Digest)
		}
		blobs[d.Digest] = body
	}
	if len(blobs) == 0 {
		t.Fatal("no blobs")
	}
	return closure, blobs
}

func readBlob(t *testing.T, s *Source, d oci.Descriptor, from, to int64) string {
	t.Helper()
	r, err := s.Open(t.Context(), d, from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOldForm(t *testing.T) {
	fsys, one, two := old(t)
	s, err := Open(fsys, "alpine:3.11")
	if err != nil {
		t.Fatal(err)
	}
	closure, blobs := readAll(t, s)
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + hexOf(one) + `","size":` + fmt.Sprint(len(one)) + `},` +
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:` + hexOf("base") + `","size":4},` +
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:` + hexOf("one") + `","size":3}]}`
	if got := string(closure.Nodes[0].Raw); got != want || len(closure.Nodes) != 1 {
		t.Errorf("manifest\n%s\nwant\n%s", got, want)
	}
	if len(blobs) != 3 {
		t.Errorf("%d blobs, want 3", len(blobs))
	}
	if got := s.Names(); !slices.Equal(got, []string{"docker.io/library/alpine:3.11", "registry.example/os/alpine:3"}) {
		t.Errorf("Names = %q", got)
	}
	if found, err := s.Referrers(t.Context(), closure.Nodes[0].Descriptor); err != nil || len(found) != 0 {
		t.Errorf("Referrers = %v, %v", found, err)
	}
	for _, d := range append(closure.Blobs, closure.Nodes[0].Descriptor) {
		d.Size++
		if _, err := s.Document(t.Context(), d); d.IsDocument() && !errors.Is(err, ErrRejected) {
			t.Errorf("document said to be longer: err = %v, want ErrRejected", err)
		}
		if _, err := s.Open(t.Context(), d, 0, 1); !d.IsDocument() && !errors.Is(err, ErrRejected) {
			t.Errorf("blob said to be longer: err = %v, want ErrRejected", err)
		}
	}
	other := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("other")), Size: 5}
	if _, err := s.Document(t.Context(), other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another document: err = %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Open(t.Context(), other, 0, 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another blob: err = %v, want fs.ErrNotExist", err)
	}
	// The second image's shared layer is a link.
	if s, err = Open(fsys, "@sha256:"+hexOf(two)); err != nil {
		t.Fatal(err)
	}
	if _, blobs = readAll(t, s); blobs[manifest.DigestOf([]byte("base"))] != "base" {
		t.Errorf("blobs %q", blobs)
	}
	if got := s.Names(); len(got) != 0 {
		t.Errorf("Names = %q of an image without tags", got)
	}
}

func TestReferences(t *testing.T) {
	fsys, one, two := old(t)
	id := func(config string) string { return "@sha256:" + hexOf(config) }
	roots := map[string]string{}
	for _, c := range []string{one, two} {
		s, err := Open(fsys, id(c))
		if err != nil {
			t.Fatal(err)
		}
		root, err := s.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		roots[c] = "@" + root.Digest.String()
	}
	for reference, want := range map[string]string{
		"alpine:3.11": one, "docker.io/library/alpine:3.11": one, "docker.io/alpine:3.11": one, "registry.example/os/alpine:3": one,
		"alpine:3.11" + id(one): one, "alpine:3.11" + roots[one]: one, roots[one]: one, roots[two]: two,
	} {
		s, err := Open(fsys, reference)
		if err != nil {
			t.Errorf("%q: %v", reference, err)
			continue
		}
		root, err := s.Resolve(t.Context())
		if err != nil || "@"+root.Digest.String() != roots[want] {
			t.Errorf("%q = %s, %v; want %s", reference, root.Digest, err, roots[want])
		}
	}
	for reference, want := range map[string]string{
		"":              `which of several images? There is "alpine:3.11", "registry.example/os/alpine:3", ` + id(two),
		"alpine":        `there is no image "alpine"`,
		"3.11":          `there is no image "3.11"`,
		"@sha256:abc":   "64 lower-case",
		"alpine:3.11@x": "only sha256",
	} {
		if _, err := Open(fsys, reference); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err = %v, want %q", reference, err, want)
		}
	}
	for _, reference := range []string{"@sha256:" + hexOf("other"), "alpine:3.11" + id(two), "alpine:3.11" + roots[two]} {
		s, err := Open(fsys, reference)
		if err == nil {
			_, err = s.Resolve(t.Context())
		}
		if !errors.Is(err, ErrRejected) {
			t.Errorf("%q: err = %v, want ErrRejected", reference, err)
		}
	}
}

func gzipOf(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func zstdOf(t testing.TB, s string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

func TestCompressedLayers(t *testing.T) {
	c := config("plain", "gzip", "zstd")
	layers := []string{"plain", gzipOf("gzip"), zstdOf(t, "zstd")}
	fsys := files(t,
		member{name: "sha256:" + hexOf(c), body: c}, member{name: "a.tar", body: layers[0]},
		member{name: "b.tar.gz", body: layers[1]}, member{name: "c", body: layers[2]},
		member{name: "manifest.json", body: `[{"Config":"sha256:` + hexOf(c) + `","RepoTags":["a:1"],"Layers":["a.tar","b.tar.gz","c"]}]`},
	)
	s, err := Open(fsys, "")
	if err != nil {
		t.Fatal(err)
	}
	closure, _ := readAll(t, s)
	for i, suffix := range []string{"", "+gzip", "+zstd"} {
		d := closure.Nodes[0].Doc.Layers[i]
		if d.MediaType != oci.TypeLayer+suffix || d.Digest.Hex() != hexOf(layers[i]) || d.Size != int64(len(layers[i])) {
			t.Errorf("layer %d: %+v", i, d)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err = Open(fsys, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("hashing with a cancelled context: err = %v", err)
	}
}

// A layer with other bytes than diff_ids say keeps the digest that they say,
// so that whoever hashes it finds out.
func TestWrongLayerKeepsTheDigestItShouldHave(t *testing.T) {
	c := config("right")
	s, err := Open(files(t, member{name: "c.json", body: c}, member{name: "l", body: "wrong"},
		member{name: "manifest.json", body: `[{"Config":"c.json","Layers":["l"]}]`}), "")
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closure, err := oci.Walk(t.Context(), root, s.Document)
	if err != nil {
		t.Fatal(err)
	}
	d := closure.Nodes[0].Doc.Layers[0]
	if body := readBlob(t, s, d, 0, d.Size); d.Digest.Hex() != hexOf("right") || body != "wrong" {
		t.Errorf("%s: %q", d.Digest, body)
	}
}

func TestRefusedLists(t *testing.T) {
	c := config("l")
	for name, list := range map[string]string{
		"empty":             ``,
		"not JSON":          `hello`,
		"number":            `1`,
		"object":            `{"Config":"c.json","Layers":["l"]}`,
		"no images":         `[]`,
		"null":              `null`,
		"trailing":          `[{"Config":"c.json","Layers":["l"]}] x`,
		"two texts":         `[{"Config":"c.json","Layers":["l"]}][]`,
		"key twice":         `[{"Config":"c.json","Layers":["l"],"Config":"c.json"}]`,
		"inner key twice":   `[{"Config":"c.json","Layers":["l"],"LayerSources":{"a":{"b":1,"b":2}}}]`,
		"no config":         `[{"Layers":["l"]}]`,
		"other case":        `[{"config":"c.json","Layers":["l"]}]`,
		"layers a string":   `[{"Config":"c.json","Layers":"l"}]`,
		"layer missing out": `[{"Config":"c.json","Layers":[]}]`,
		"one layer more":    `[{"Config":"c.json","Layers":["l","l"]}]`,
		"wrong name":        `[{"Config":"` + hexOf("other") + `.json","Layers":["l"]}]`,
		"wrong blob name":   `[{"Config":"blobs/sha256/` + hexOf("other") + `","Layers":["l"]}]`,
		"config not JSON":   `[{"Config":"l","Layers":[]}]`,
		"path outside":      `[{"Config":"../c.json","Layers":["l"]}]`,
		"config a folder":   `[{"Config":"d","Layers":["l"]}]`,
		"many layers":       `[{"Config":"c.json","Layers":["l"` + strings.Repeat(`,"l"`, maxLayers) + `]}]`,
		"not UTF-8":         "[{\"Config\":\"c.json\",\"Layers\":[\"l\"],\"x\":\"\xff\"}]",
		"too large":         `[{"Config":"c.json","Layers":["l"]}]` + strings.Repeat(" ", maxManifest),
	} {
		fsys := files(t, member{name: "c.json", body: c}, member{name: "l", body: "l"}, member{name: "d/x", body: ""},
			member{name: hexOf("other") + ".json", body: c}, member{name: "blobs/sha256/" + hexOf("other"), body: c},
			member{name: "manifest.json", body: list})
		if _, err := Open(fsys, ""); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: err = %v, want ErrRejected", name, err)
		}
	}
	for name, list := range map[string]string{"config": `[{"Config":"none.json","Layers":["l"]}]`, "layer": `[{"Config":"c.json","Layers":["none"]}]`} {
		s, err := Open(files(t, member{name: "c.json", body: c}, member{name: "manifest.json", body: list}), "")
		if err == nil {
			_, err = s.Resolve(t.Context())
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s missing: err = %v, want fs.ErrNotExist", name, err)
		}
	}
	if _, err := Open(files(t, member{name: "x", body: "y"}), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tar file of something else: err = %v", err)
	}
}

func TestOpenFileCompressed(t *testing.T) {
	c := config("l")
	data := string(pack(t, member{name: "c.json", body: c}, member{name: "l", body: "l"},
		member{name: "manifest.json", body: `[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l"]}]`}))
	for name, body := range map[string]string{"plain": data, "gzip": gzipOf(data), "zstd": zstdOf(t, data), "two gzip members": gzipOf(data[:700]) + gzipOf(data[700:])} {
		t.Run(name, func(t *testing.T) {
			path, spool := filepath.Join(t.TempDir(), "x.tar"), t.TempDir()
			if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			fsys, closer, err := OpenFile(t.Context(), path, spool)
			if err != nil {
				t.Fatal(err)
			}
			defer closer.Close()
			s, err := Open(fsys, "a:1")
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, s)
			wantEmpty(t, spool)
			for _, cut := range []int{len(body) - 1, len(body) / 2, 20} {
				if err := os.WriteFile(path, []byte(body[:cut]), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, _, err := OpenFile(t.Context(), path, spool); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("cut at %d: err = %v, want io.ErrUnexpectedEOF", cut, err)
				}
				wantEmpty(t, spool)
			}
		})
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%d files left in the spool folder, %v", len(entries), err)
	}
}

func TestOpenFileStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(path, []byte(gzipOf("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := OpenFile(ctx, path, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	if _, _, err := OpenFile(t.Context(), filepath.Join(t.TempDir(), "none"), t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v, want fs.ErrNotExist", err)
	}
	if err := checkSpace(t.TempDir(), 1<<61); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a file of 2 EiB: err = %v, want ENOSPC", err)
	}
}

// What is accepted says the same to encoding/json's own reader.
func FuzzParseList(f *testing.F) {
	f.Add([]byte(`[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l"],"LayerSources":{"a":{"size":1}}}]`))
	f.Add([]byte(`[{"Config":"c","RepoTags":null,"Layers":[]},{"Config":"d","Layers":["x","y"]}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseList(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseList(again)
		if err != nil {
			t.Fatal(err)
		}
		third, err := json.Marshal(second)
		if err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s\n%s", again, third)
		}
	})
}
