package diff_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/diff"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// file is an entry of a layer. Without more it is a regular file.
type file struct {
	name, body, link string
	mode             int64
	uid              int
	kind             byte
	later            bool // modified later
	xattr            string
}

// tarOf returns a layer's tar.
func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Linkname: f.link, Mode: f.mode, Uid: f.uid, Typeflag: f.kind, Size: int64(len(f.body)), ModTime: bundletest.Created}
		if f.later {
			h.ModTime = h.ModTime.Add(time.Hour)
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if f.xattr != "" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": f.xattr}
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write([]byte(f.body))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// step is a layer and what made it.
type step struct {
	createdBy string
	content   []byte // packed with gzip
	level     int    // of gzip; 0: 6
	mediaType string // default: gzip; of another one, content is the blob
}

type descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    manifest.Digest `json:"digest"`
	Size      int64           `json:"size"`
	Platform  map[string]any  `json:"platform,omitempty"`
}

// image adds an image of these layers to a source, and makes it the root.
func image(t testing.TB, s *bundletest.Source, arch, env string, steps ...step) descriptor {
	t.Helper()
	add := func(mediaType string, data []byte) descriptor {
		return descriptor{MediaType: mediaType, Digest: s.Add(data), Size: int64(len(data))}
	}
	layers, diffIDs, history := []descriptor{}, []manifest.Digest{}, []map[string]any{{"created_by": "ENV", "empty_layer": true}}
	for _, one := range steps {
		blob := one.content
		if one.mediaType == "" {
			one.mediaType = oci.TypeLayer + "+gzip"
			blob = zip(t, one.level, one.content)
		}
		layers = append(layers, add(one.mediaType, blob))
		diffIDs = append(diffIDs, manifest.DigestOf(one.content))
		history = append(history, map[string]any{"created_by": one.createdBy})
	}
	config := add(oci.TypeConfig, encode(t, map[string]any{
		"os": "linux", "architecture": arch, "config": map[string]any{"Env": []string{env}}, "history": history,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	}))
	d := add(oci.TypeManifest, encode(t, map[string]any{"schemaVersion": 2, "mediaType": oci.TypeManifest, "config": config, "layers": layers}))
	d.Platform = map[string]any{"os": "linux", "architecture": arch}
	s.SetRoot(oci.TypeManifest, d.Digest)
	return d
}

// index adds an index of images and makes it the root.
func index(t testing.TB, s *bundletest.Source, children ...descriptor) {
	t.Helper()
	s.SetRoot(oci.TypeIndex, s.Add(encode(t, map[string]any{"schemaVersion": 2, "mediaType": oci.TypeIndex, "manifests": children})))
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

func zip(t testing.TB, level int, content []byte) []byte {
	t.Helper()
	if level == 0 {
		level = 6
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	must(t, err)
	_, err = w.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// one is a release with one image of one platform.
func one(t testing.TB, steps ...step) create.Release {
	t.Helper()
	s := bundletest.NewSource()
	image(t, s, "amd64", "A=1", steps...)
	return bundletest.Release(s)
}

// pack writes a small bundle on bases, and returns its folder.
func pack(t testing.TB, kit *bundletest.Kit, r create.Release, bases ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	sink, err := transfer.NewDir(dir)
	must(t, err)
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	var readers []*archive.Reader
	for _, base := range bases {
		readers = append(readers, open(t, kit, base, bases...))
	}
	_, err = contents.Write(t.Context(), sink, create.Options{
		Pack: create.Small, Bases: archive.NewBases(readers...), Spool: t.TempDir(), Progress: progress.Discard,
		Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}},
	})
	must(t, err)
	return dir
}

// open opens a bundle in a folder on bases.
func open(t testing.TB, kit *bundletest.Kit, dir string, bases ...string) *archive.Reader {
	t.Helper()
	var offered []fs.FS
	for _, base := range bases {
		offered = append(offered, os.DirFS(base))
	}
	blobs, err := archive.OpenOn(os.DirFS(dir), offered, kit.Allowed, bundletest.Created)
	must(t, err)
	t.Cleanup(func() { blobs.Close() })
	return blobs
}

// fast returns a bundle of a release, packed as it is.
func fast(t testing.TB, kit *bundletest.Kit, r create.Release) *archive.Reader {
	t.Helper()
	blobs, err := archive.Open(kit.Bundle(t, r, 0), kit.Allowed, bundletest.Created)
	must(t, err)
	t.Cleanup(func() { blobs.Close() })
	return blobs
}

// compare compares two releases.
func compare(t testing.TB, from, to create.Release, all bool) *diff.Report {
	t.Helper()
	kit := bundletest.NewKit(t)
	r, err := diff.Of(t.Context(), fast(t, kit, from), fast(t, kit, to), diff.Options{AllFiles: all, Progress: progress.Discard})
	must(t, err)
	return r
}

// text returns a report as it is printed.
func text(t testing.TB, r *diff.Report) string {
	t.Helper()
	var b strings.Builder
	must(t, r.Print(&b))
	return b.String()
}

// noise returns n bytes that do not compress, others for each seed.
func noise(seed string, n int) string {
	p := make([]byte, n)
	key := [32]byte{}
	copy(key[:], seed)
	rand.NewChaCha8(key).Read(p)
	return string(p)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
