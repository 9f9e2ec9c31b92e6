package layout

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// sketch is a layout in memory.
type sketch struct {
	fstest.MapFS
	entries []map[string]any
}

func newSketch() *sketch {
	return &sketch{MapFS: fstest.MapFS{markName: {Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)}}}
}

// blob adds bytes and returns their descriptor.
func (s *sketch) blob(mediaType string, data []byte) map[string]any {
	d := manifest.DigestOf(data)
	s.MapFS[blobPath(d)] = &fstest.MapFile{Data: data}
	return map[string]any{"mediaType": mediaType, "digest": d.String(), "size": len(data)}
}

func (s *sketch) document(mediaType string, doc map[string]any) map[string]any {
	doc["schemaVersion"], doc["mediaType"] = 2, mediaType
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return s.blob(mediaType, raw)
}

// image adds an image whose config says text; subject may be nil.
func (s *sketch) image(text string, subject map[string]any) map[string]any {
	doc := map[string]any{
		"config": s.blob(oci.TypeConfig, []byte(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"x":"`+text+`"}`)),
		"layers": []any{s.blob(oci.TypeLayer, []byte("layer of "+text))},
	}
	if subject != nil {
		doc["subject"] = subject
	}
	return s.document(oci.TypeManifest, doc)
}

func (s *sketch) index(manifests ...map[string]any) map[string]any {
	return s.document(oci.TypeIndex, map[string]any{"manifests": manifests})
}

// list puts descriptors into index.json, with annotations given as key, value.
func (s *sketch) list(d map[string]any, annotations ...string) {
	entry := map[string]any{}
	for key, value := range d {
		entry[key] = value
	}
	notes := map[string]any{}
	for i := 0; i < len(annotations); i += 2 {
		notes[annotations[i]] = annotations[i+1]
	}
	if len(notes) > 0 {
		entry["annotations"] = notes
	}
	s.entries = append(s.entries, entry)
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": s.entries})
	if err != nil {
		panic(err)
	}
	s.MapFS[indexName] = &fstest.MapFile{Data: raw}
}

func digestOf(t *testing.T, d map[string]any) manifest.Digest {
	t.Helper()
	digest, err := manifest.ParseDigest(d["digest"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func descriptorOf(t *testing.T, d map[string]any) oci.Descriptor {
	t.Helper()
	return oci.Descriptor{MediaType: d["mediaType"].(string), Digest: digestOf(t, d), Size: int64(d["size"].(int))}
}

func TestOpenByReference(t *testing.T) {
	s := newSketch()
	a, b, child := s.image("a", nil), s.image("b", nil), s.image("child", nil)
	multi := s.index(child)
	s.list(a, RefName, "1.4")
	s.list(b, RefName, "registry.example/shop/web:2")
	s.list(b, RefName, "docker.io/library/web:2")
	s.list(multi, RefName, "latest", ContainerdName, "docker.io/library/multi:latest")
	s.list(a, RefName, "twice")
	s.list(b, RefName, "twice")
	s.list(map[string]any{"mediaType": "application/xml", "digest": a["digest"], "size": 1}, RefName, "xml")
	at := func(d map[string]any) string { return "@" + d["digest"].(string) }
	for reference, want := range map[string]map[string]any{
		"1.4": a, "registry.example/shop/web:2": b, "docker.io/library/web:2": b, "web:2": b,
		"multi": multi, "multi:latest": multi, "docker.io/multi": multi, "latest": multi,
		at(a): a, at(multi): multi, at(child): child, "1.4" + at(a): a, "multi" + at(multi): multi,
	} {
		source, err := Open(s, reference)
		if err != nil {
			t.Errorf("%q: %v", reference, err)
			continue
		}
		got, err := source.Resolve(t.Context())
		if err != nil || got.Digest != digestOf(t, want) || got.MediaType != want["mediaType"] || got.Size != int64(want["size"].(int)) {
			t.Errorf("%q = %+v, %v; want %v", reference, got, err, want)
		}
	}
	for reference, want := range map[string]string{
		"":                           `which of several images? There is "1.4", "registry.example/shop/web:2", "latest"`,
		"1.5":                        `there is no image "1.5"; there is "1.4"`,
		"web":                        `there is no image "web"`,
		"xml":                        `there is no image "xml"`,
		"twice":                      "names several images: " + a["digest"].(string) + ", " + b["digest"].(string),
		"@sha256:00":                 "64 lower-case",
		"@sha512:00":                 "only sha256",
		"@" + strings.Repeat("@", 3): "only sha256",
		at(map[string]any{"digest": manifest.DigestOf(nil).String()}): "there is no image sha256:e3b0",
	} {
		if _, err := Open(s, reference); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err = %v, want %q", reference, err, want)
		}
	}
	if _, err := Open(s, "1.4"+at(b)); !errors.Is(err, ErrRejected) {
		t.Errorf("name with another's digest: err = %v, want ErrRejected", err)
	}
}

func TestSingleImage(t *testing.T) {
	s := newSketch()
	a := s.image("a", nil)
	s.list(a, RefName, "one")
	s.list(a, RefName, "registry.example/a:two")
	s.list(s.image("by subject", a))
	s.list(s.image("by tag", nil), RefName, "registry.example/a:"+tagOf(digestOf(t, a))+".sig")
	source, err := Open(s, "")
	if err != nil {
		t.Fatal(err)
	}
	if root, _ := source.Resolve(t.Context()); root.Digest != digestOf(t, a) {
		t.Errorf("root = %v, want %v", root, a)
	}
	if got := source.Names(); !slices.Equal(got, []string{"registry.example/a:two"}) {
		t.Errorf("Names = %q", got)
	}
	empty := newSketch()
	empty.list(map[string]any{"mediaType": "application/xml", "digest": a["digest"], "size": 1})
	if _, err := Open(empty, ""); err == nil {
		t.Error("a layout without images: no error")
	}
}

func TestNotALayout(t *testing.T) {
	good := func() *sketch {
		s := newSketch()
		s.list(s.image("a", nil))
		return s
	}
	if _, err := Open(good(), ""); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(s *sketch){
		"version":    func(s *sketch) { s.MapFS[markName].Data = []byte(`{"imageLayoutVersion":"2.0.0"}`) },
		"no version": func(s *sketch) { s.MapFS[markName].Data = []byte(`{}`) },
		"mark":       func(s *sketch) { s.MapFS[markName].Data = []byte(`1.0.0`) },
		"large mark": func(s *sketch) {
			s.MapFS[markName].Data = append(s.MapFS[markName].Data, strings.Repeat(" ", maxMark)...)
		},
		"index":          func(s *sketch) { s.MapFS[indexName].Data = []byte(`{"schemaVersion":2}`) },
		"twice the key":  func(s *sketch) { s.MapFS[indexName].Data = []byte(`{"schemaVersion":2,"manifests":[],"manifests":[]}`) },
		"large index":    func(s *sketch) { s.MapFS[indexName].Data = make([]byte, oci.MaxDocument+1) },
		"link for index": func(s *sketch) { s.link(indexName) },
		"link for mark":  func(s *sketch) { s.link(markName) },
	} {
		s := good()
		spoil(s)
		if _, err := Open(s, ""); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: err = %v, want ErrRejected", name, err)
		}
	}
	for _, name := range []string{markName, indexName} {
		s := good()
		delete(s.MapFS, name)
		if _, err := Open(s, ""); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: err = %v, want fs.ErrNotExist", name, err)
		}
	}
}

// link moves a file and puts a symbolic link in its place.
func (s *sketch) link(name string) {
	s.MapFS["elsewhere"] = s.MapFS[name]
	up := strings.Repeat("../", strings.Count(name, "/"))
	s.MapFS[name] = &fstest.MapFile{Data: []byte(up + "elsewhere"), Mode: fs.ModeSymlink}
}

func TestDocumentIsProven(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *sketch, name string)
		want  error
	}{
		"flipped bit": {func(s *sketch, name string) { s.MapFS[name].Data[20] ^= 1 }, ErrRejected},
		"truncated":   {func(s *sketch, name string) { f := s.MapFS[name]; f.Data = f.Data[:len(f.Data)-1] }, ErrRejected},
		"longer":      {func(s *sketch, name string) { f := s.MapFS[name]; f.Data = append(f.Data, ' ') }, ErrRejected},
		"huge":        {func(s *sketch, name string) { s.MapFS[name].Data = make([]byte, oci.MaxDocument+1) }, ErrRejected},
		"link":        {func(s *sketch, name string) { s.link(name) }, ErrRejected},
		"missing":     {func(s *sketch, name string) { delete(s.MapFS, name) }, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSketch()
			a := s.image("a", nil)
			s.list(a)
			d := descriptorOf(t, a)
			source, err := Open(s, "")
			if err != nil {
				t.Fatal(err)
			}
			whole := slices.Clone(s.MapFS[blobPath(d.Digest)].Data)
			if raw, err := source.Document(t.Context(), d); err != nil || !slices.Equal(raw, whole) {
				t.Fatalf("Document = %q, %v", raw, err)
			}
			wrong := d
			wrong.Size++
			if _, err := source.Document(t.Context(), wrong); !errors.Is(err, ErrRejected) {
				t.Errorf("said to be longer: err = %v, want ErrRejected", err)
			}
			c.spoil(s, blobPath(d.Digest))
			if raw, err := source.Document(t.Context(), d); !errors.Is(err, c.want) || raw != nil {
				t.Errorf("Document = %q, %v; want %v", raw, err, c.want)
			}
		})
	}
}

func TestOpenRange(t *testing.T) {
	s := newSketch()
	s.list(s.image("a", nil))
	d := descriptorOf(t, s.blob(oci.TypeLayer, []byte("0123456789")))
	source, err := Open(s, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int64{{0, 10}, {3, 7}, {9, 10}, {10, 10}, {0, 0}} {
		r, err := source.Open(t.Context(), d, c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != "0123456789"[c[0]:c[1]] {
			t.Errorf("[%d,%d) = %q, %v", c[0], c[1], got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range [][2]int64{{-1, 3}, {4, 3}, {0, 11}} {
		if _, err := source.Open(t.Context(), d, c[0], c[1]); err == nil {
			t.Errorf("[%d,%d): no error", c[0], c[1])
		}
	}
	for _, size := range []int64{9, 11} {
		wrong := d
		wrong.Size = size
		if _, err := source.Open(t.Context(), wrong, 0, 1); !errors.Is(err, ErrRejected) {
			t.Errorf("said to have %d bytes: err = %v, want ErrRejected", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := source.Open(ctx, d, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: err = %v", err)
	}
}

// On a real directory: a blob that is a link, a fifo or gets shorter.
func TestDirectory(t *testing.T) {
	s, dir := newSketch(), t.TempDir()
	a := s.image("a", nil)
	s.list(a)
	if err := os.CopyFS(dir, s.MapFS); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	source, err := Open(root.FS(), "")
	if err != nil {
		t.Fatal(err)
	}
	d := descriptorOf(t, a)
	path := filepath.Join(dir, blobPath(d.Digest))
	r, err := source.Open(t.Context(), d, 0, d.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(path, d.Size-1); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("blob that got shorter: %d bytes, err = %v; want io.ErrUnexpectedEOF", len(got), err)
	}
	for name, put := range map[string]func() error{
		"link inside":  func() error { return os.Symlink("../../index.json", path) },
		"link outside": func() error { return os.Symlink("/etc/hostname", path) },
		"fifo":         func() error { return syscall.Mkfifo(path, 0o600) },
		"directory":    func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if _, err := source.Document(t.Context(), d); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Document: err = %v, want ErrRejected", name, err)
		}
		if _, err := source.Open(t.Context(), d, 0, d.Size); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Open: err = %v, want ErrRejected", name, err)
		}
	}
}

func TestReferrers(t *testing.T) {
	s := newSketch()
	child := s.image("child", nil)
	multi := s.index(child)
	tag := tagOf(digestOf(t, multi))
	bySubject, ofChild := s.image("by subject", multi), s.image("of child", child)
	listed, sig, other := s.image("listed", nil), s.image("sig", nil), s.image("other sig", nil)
	fallback := s.index(listed, bySubject)
	att := s.image("att", nil)
	s.list(multi, RefName, "registry.example/shop:1")
	s.list(bySubject)
	s.list(s.index(ofChild)) // below an index
	s.list(fallback, RefName, tag)
	s.list(other, RefName, "elsewhere.example/shop:"+tag+".sig")
	s.list(sig, RefName, "registry.example/shop:"+tag+".sig")
	s.list(att, RefName, "elsewhere.example/shop:"+tag+".att")
	source, err := Open(s, "registry.example/shop:1")
	if err != nil {
		t.Fatal(err)
	}
	check := func(of map[string]any, want ...string) {
		t.Helper()
		found, err := source.Referrers(t.Context(), descriptorOf(t, of))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range found {
			if r.Subject != digestOf(t, of) || r.Size == 0 || r.MediaType == "" {
				t.Errorf("referrer %+v", r)
			}
			got = append(got, r.Tag+" "+r.Digest.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("referrers:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	as := func(tag string, d map[string]any) string { return tag + " " + d["digest"].(string) }
	check(multi, as("", bySubject), as("", listed), as(tag, fallback), as(tag+".sig", sig), as(tag+".att", att))
	check(child, as("", ofChild))
	check(ofChild)

	s.list(s.image("second sig", nil), RefName, "registry.example/shop:"+tag+".sig")
	if source, err = Open(s, "registry.example/shop:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Referrers(t.Context(), descriptorOf(t, multi)); err == nil {
		t.Error("two documents under one tag: no error")
	}
}

// A document that could be a signature must be readable; a platform of an
// index may be missing.
func TestReferrersFailClosed(t *testing.T) {
	s := newSketch()
	a, gone, other := s.image("a", nil), s.image("gone", nil), s.image("other", nil)
	s.list(a, RefName, "a")
	s.list(s.index(gone))
	delete(s.MapFS, blobPath(digestOf(t, gone)))
	source, err := Open(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := source.Referrers(t.Context(), descriptorOf(t, a)); err != nil || len(found) != 0 {
		t.Errorf("missing child of an index: %v, %v", found, err)
	}
	s.list(other)
	s.MapFS[blobPath(digestOf(t, other))].Data[3] ^= 1
	if source, err = Open(s, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Referrers(t.Context(), descriptorOf(t, a)); !errors.Is(err, ErrRejected) {
		t.Errorf("damaged document: err = %v, want ErrRejected", err)
	}
	delete(s.MapFS, blobPath(digestOf(t, other)))
	if _, err := source.Referrers(t.Context(), descriptorOf(t, a)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("document of index.json missing: err = %v, want fs.ErrNotExist", err)
	}
}

func TestIndexesTooDeep(t *testing.T) {
	s := newSketch()
	d := s.image("a", nil)
	for range oci.MaxDepth + 1 {
		d = s.index(d)
	}
	s.list(d)
	source, err := Open(s, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Referrers(t.Context(), descriptorOf(t, d)); !errors.Is(err, ErrRejected) {
		t.Errorf("err = %v, want ErrRejected", err)
	}
}

// Whatever index.json says, opening a layout answers with an entry that is
// listed or an error.
func FuzzOpen(f *testing.F) {
	s := newSketch()
	a := s.image("a", nil)
	s.list(a, RefName, "1.4")
	f.Add(s.MapFS[indexName].Data, "1.4")
	s.list(s.index(a), ContainerdName, "docker.io/library/x:1", RefName, "1")
	f.Add(s.MapFS[indexName].Data, "x:1@"+a["digest"].(string))
	f.Add(s.MapFS[indexName].Data, "")
	f.Fuzz(func(t *testing.T, index []byte, reference string) {
		s.MapFS[indexName].Data = index
		source, err := Open(s, reference)
		if err != nil {
			return
		}
		root, err := source.Resolve(t.Context())
		doc, parseErr := oci.Parse(index, oci.TypeIndex)
		if err != nil || parseErr != nil || !root.IsDocument() {
			t.Fatalf("root %+v, %v, %v", root, err, parseErr)
		}
		listed := slices.ContainsFunc(doc.Manifests, func(d oci.Descriptor) bool { return d.Digest == root.Digest })
		if !listed && !strings.HasPrefix(reference, "@") {
			t.Fatalf("root %+v is not in index.json", root)
		}
		if _, digest, pinned := strings.Cut(reference, "@"); pinned && root.Digest.String() != digest {
			t.Fatalf("%q gave %s", reference, root.Digest)
		}
	})
}
