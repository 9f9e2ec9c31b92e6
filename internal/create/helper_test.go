package create_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// source is a source whose blobs come the way that open says.
type source struct {
	*bundletest.Source
	open func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) // nil: at once
	asks atomic.Int64                                                                       // calls of Open
}

func (s *source) Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
	s.asks.Add(1)
	if s.open == nil {
		return s.Source.Open(ctx, d, from, to)
	}
	return s.open(ctx, d, from, to)
}

func newSource() *source { return &source{Source: bundletest.NewSource()} }

// noise returns n bytes that do not compress, others for each seed.
func noise(seed string, n int) []byte {
	p := make([]byte, n)
	key := [32]byte{}
	copy(key[:], seed)
	rand.NewChaCha8(key).Read(p)
	return p
}

// image adds an image for a platform with these layers and returns its manifest.
func (s *source) image(platform string, layers ...[]byte) oci.Descriptor {
	os, arch, _ := strings.Cut(platform, "/")
	config := s.blob(oci.TypeConfig, fmt.Appendf(nil, `{"os":%q,"architecture":%q,"rootfs":{"type":"layers","diff_ids":[]}}`, os, arch))
	var list []string
	for _, data := range layers {
		list = append(list, describe(s.blob(oci.TypeLayer, data)))
	}
	d := s.blob(oci.TypeManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}`, oci.TypeManifest, describe(config), strings.Join(list, ",")))
	p, err := oci.ParsePlatform(platform)
	if err == nil {
		d.Platform = &p
	}
	s.SetRoot(oci.TypeManifest, d.Digest)
	return d
}

func (s *source) blob(mediaType string, data []byte) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: s.Add(data), Size: int64(len(data))}
}

func (s *source) index(children ...oci.Descriptor) oci.Descriptor {
	var list []string
	for _, d := range children {
		list = append(list, describe(d))
	}
	d := s.blob(oci.TypeIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}`, oci.TypeIndex, strings.Join(list, ",")))
	s.SetRoot(oci.TypeIndex, d.Digest)
	return d
}

func describe(d oci.Descriptor) string {
	platform := ""
	if d.Platform != nil {
		platform = fmt.Sprintf(`,"platform":{"os":%q,"architecture":%q}`, d.Platform.OS, d.Platform.Architecture)
	}
	return fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":%d%s}`, d.MediaType, d.Digest, d.Size, platform)
}

// release is a release of these sources' images.
func release(sources ...create.Source) create.Release {
	r := bundletest.Release()
	for i, s := range sources {
		r.Images = append(r.Images, create.Image{Source: s, Names: []string{fmt.Sprintf("registry.example/app/%d:1.0", i)}})
	}
	return r
}

// sink keeps files, and the order in which they were whole.
type sink struct {
	bundletest.Files
	mu    sync.Mutex
	order []string
	fail  map[string]error
	write func(n int) // is told of every write to a volume
}

func newSink() *sink { return &sink{Files: bundletest.Files{MapFS: fstest.MapFS{}}} }

func (s *sink) note(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, name)
}

func (s *sink) Create(name string) (io.WriteCloser, error) {
	if err := s.fail[name]; err != nil {
		return nil, err
	}
	f, err := s.Files.Create(name)
	return &sinkFile{f, s, name}, err
}

func (s *sink) Put(name string, data []byte) error {
	if err := s.fail[name]; err != nil {
		return err
	}
	s.note(name)
	return s.Files.Put(name, data)
}

type sinkFile struct {
	io.WriteCloser
	sink *sink
	name string
}

func (f *sinkFile) Write(p []byte) (int, error) {
	if f.sink.write != nil {
		f.sink.write(len(p))
	}
	return f.WriteCloser.Write(p)
}

func (f *sinkFile) Close() error {
	f.sink.note(f.name)
	return f.WriteCloser.Close()
}

// pack collects and writes a release.
func pack(ctx context.Context, t testing.TB, kit *bundletest.Kit, r create.Release, to create.Sink) (*create.Result, error) {
	t.Helper()
	contents, err := create.Collect(ctx, r)
	if err != nil {
		return nil, err
	}
	return contents.Write(ctx, to, create.Options{
		VolumeSize: 4 << 20,
		Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}},
		Progress:   progress.Discard,
	})
}

// check opens what was written, and proves and reads all of it.
func check(t testing.TB, kit *bundletest.Kit, files bundletest.Files) *load.Release {
	t.Helper()
	blobs, err := archive.Open(files, kit.Allowed, bundletest.Created)
	must(t, err)
	t.Cleanup(func() { blobs.Close() })
	must(t, blobs.Verify(t.Context(), progress.Discard))
	r, err := load.NewRelease(t.Context(), blobs)
	must(t, err)
	return r
}

// noSums holds that a bundle was not sealed.
func noSums(t testing.TB, s *sink) {
	t.Helper()
	if _, sealed := s.MapFS[manifest.SumsName]; sealed {
		t.Error("the bundle was sealed")
	}
}

// settle waits for goroutines to end.
func settle(t testing.TB, want int) {
	t.Helper()
	for range 100 {
		if runtime.NumGoroutine() <= want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines, want %d", runtime.NumGoroutine(), want)
}

var errSource = errors.New("connection reset")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sameFiles(t testing.TB, got, want bundletest.Files) {
	t.Helper()
	if len(got.MapFS) != len(want.MapFS) || len(want.MapFS) == 0 {
		t.Errorf("%d files, want %d", len(got.MapFS), len(want.MapFS))
	}
	for name, file := range want.MapFS {
		if other := got.MapFS[name]; other == nil || !bytes.Equal(other.Data, file.Data) {
			t.Errorf("%s differs", name)
		}
	}
}
