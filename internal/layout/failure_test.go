package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

func TestRefusedFolders(t *testing.T) {
	r := opened(t, bundletest.FromImage(t, randomImage(t, 100, 1)))
	for name, make := range map[string]func(dir string) error{
		"foreign files": func(dir string) error { return os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600) },
		"blobs alone":   func(dir string) error { return os.MkdirAll(filepath.Join(dir, blobsDir), 0o700) },
		"other version": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, markName), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600)
		},
		"malformed index": func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, markName), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600),
				os.WriteFile(filepath.Join(dir, indexName), []byte(`{"schemaVersion":1}`), 0o600))
		},
		"index alone": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, indexName), newIndex().marshal(), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			before := state(t, dir)
			d := NewDestination(dir)
			if _, err := d.Plan(t.Context(), r); err == nil {
				t.Error("Plan: no error")
			}
			if err := d.Load(t.Context(), r, &load.Plan{}, progress.Discard); err == nil {
				t.Error("Load: no error")
			}
			if !equal(before, state(t, dir)) {
				t.Errorf("%v became %v", before, state(t, dir))
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(t.TempDir(), "none", "none")} {
		if _, err := NewDestination(dir).Plan(t.Context(), r); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}

// damaged is a release one of whose blobs cannot be read from the bundle.
func damaged(t *testing.T, source *bundletest.Source) *load.Release {
	t.Helper()
	kit := bundletest.NewKit(t)
	files := kit.Bundle(t, bundletest.Release(source), 0)
	var flipped int
	for name, file := range files.MapFS {
		if strings.HasSuffix(name, ".vol") {
			file.Data[len(file.Data)/2] ^= 1
			flipped++
		}
	}
	if flipped != 1 {
		t.Fatalf("%d volumes", flipped)
	}
	return kit.Open(t, files)
}

// stopper stops the work when it is told of some.
type stopper struct {
	progress.Sink
	stop func()
}

func (s stopper) Start(name string, total int64) progress.Task {
	s.stop()
	return s.Sink.Start(name, total)
}

func TestFailedLoadLeavesNothing(t *testing.T) {
	source := bundletest.FromImage(t, randomImage(t, 5<<20, 1))
	r := damaged(t, source)
	for name, exists := range map[string]bool{"no folder": false, "empty folder": true} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			if exists {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			d := NewDestination(dir)
			p := must[*load.Plan](t)(d.Plan(t.Context(), r))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := d.Load(ctx, r, p, progress.Discard); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: err = %v", err)
			}
			entries, err := os.ReadDir(dir)
			if exists != (err == nil) || len(entries) != 0 {
				t.Errorf("left: %v, %v", entries, err)
			}
			// The same a little later, when the layout is begun.
			ctx, cancel = context.WithCancel(t.Context())
			if err := d.Load(ctx, r, p, stopper{progress.Discard, cancel}); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: err = %v", err)
			}
			entries, err = os.ReadDir(dir)
			if exists != (err == nil) || len(entries) != 0 {
				t.Errorf("left: %v, %v", entries, err)
			}
			if err := d.Load(t.Context(), r, p, progress.Discard); err == nil {
				t.Fatal("a damaged bundle was loaded")
			}
			for file := range state(t, dir) {
				if base := filepath.Base(file); base != markName && len(base) != 64 {
					t.Errorf("%s is left", file)
				}
			}
			if _, err := Open(os.DirFS(dir), ""); err == nil {
				t.Error("there is an image")
			}
			// What arrived is taken up again.
			good := opened(t, source)
			loaded(t, dir, good)
			sameImage(t, openDir(t, dir, ""), source)
		})
	}
}

func TestFailedLoadKeepsTheOldIndex(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	loaded(t, dir, opened(t, signed(t)))
	before := must[[]byte](t)(os.ReadFile(filepath.Join(dir, indexName)))
	r := damaged(t, bundletest.FromImage(t, randomImage(t, 5<<20, 1)))
	d := NewDestination(dir)
	p := must[*load.Plan](t)(d.Plan(t.Context(), r))
	if err := d.Load(t.Context(), r, p, progress.Discard); err == nil {
		t.Fatal("a damaged bundle was loaded")
	}
	if after := must[[]byte](t)(os.ReadFile(filepath.Join(dir, indexName))); !bytes.Equal(before, after) {
		t.Errorf("index.json was\n%s\nand is\n%s", before, after)
	}
	wantClean(t, dir)
}

func TestKilledLoadIsSwept(t *testing.T) {
	source, dir := bundletest.FromImage(t, randomImage(t, 500, 1)), t.TempDir()
	r := opened(t, source)
	for _, name := range []string{".airlock.lock", ".airlock-oci-layout.partial", ".airlock-index.json.partial"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded(t, dir, r)
	blob := r.Blobs()[0]
	if err := errors.Join(os.WriteFile(filepath.Join(dir, blobsDir, ".airlock-"+blob.Digest.Hex()+".partial"), []byte("half"), 0o600),
		os.Remove(filepath.Join(dir, blobPath(blob.Digest)))); err != nil {
		t.Fatal(err)
	}
	loaded(t, dir, r)
	sameImage(t, openDir(t, dir, ""), source)
}

func TestNamesMovedMeanwhile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	r := opened(t, signed(t))
	d := NewDestination(dir)
	p := must[*load.Plan](t)(d.Plan(t.Context(), r))
	other := bundletest.FromImage(t, randomImage(t, 500, 1))
	loaded(t, dir, opened(t, other))
	if err := d.Load(t.Context(), r, p, progress.Discard); err == nil || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("err = %v", err)
	}
	sameImage(t, openDir(t, dir, "registry.example/app/0:1.0"), other)
}

func TestTwoDocumentsForOneName(t *testing.T) {
	r := opened(t, signed(t), signed(t))
	r.Images[1].Names = r.Images[0].Names
	if _, err := NewDestination(filepath.Join(t.TempDir(), "out")).Plan(t.Context(), r); err == nil {
		t.Error("no error")
	}
}

func TestLoadsSideBySide(t *testing.T) {
	const loads = 4
	dir := filepath.Join(t.TempDir(), "out")
	shared := randomImage(t, 100000, 2)
	var sources []*bundletest.Source
	var releases []*load.Release
	for i := range loads {
		release := bundletest.Release(bundletest.FromImage(t, must[v1.Image](t)(mutate.AppendLayers(shared, must[v1.Layer](t)(random.Layer(5000, "application/vnd.oci.image.layer.v1.tar"))))))
		release.Images[0].Names = []string{fmt.Sprintf("registry.example/side:%d", i)}
		sources = append(sources, release.Images[0].Source.(*bundletest.Source))
		releases = append(releases, openedAs(t, release))
	}
	var group sync.WaitGroup
	for _, r := range releases {
		group.Go(func() {
			d := NewDestination(dir)
			p, err := d.Plan(t.Context(), r)
			if err == nil {
				err = d.Load(t.Context(), r, p, progress.Discard)
			}
			if err == nil {
				err = d.Check(t.Context(), r, p)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantClean(t, dir)
	for i, source := range sources {
		sameImage(t, openDir(t, dir, fmt.Sprintf("registry.example/side:%d", i)), source)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	root := must[*os.Root](t)(os.OpenRoot(dir))
	defer root.Close()
	held := must[*lock](t)(acquire(t.Context(), root, progress.Discard))
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	if _, err := acquire(ctx, root, progress.Discard); !errors.Is(err, errLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	done := make(chan error)
	go func() {
		l, err := acquire(t.Context(), root, progress.Discard)
		if err == nil {
			err = l.release()
		}
		done <- err
	}()
	time.Sleep(lockPoll)
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantClean(t, dir)
}

// The lock's file goes with each release; nobody may hold one that is gone.
func TestLockExcludes(t *testing.T) {
	root := must[*os.Root](t)(os.OpenRoot(t.TempDir()))
	defer root.Close()
	var holders, held atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for held.Load() < 2000 && !t.Failed() {
				l, err := try(root)
				if errors.Is(err, errLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				held.Add(1)
				holders.Add(-1)
				if err := l.release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// Whatever index.json was, what is written in its place is read again, has
// what is wanted, and keeps every entry that has none of the names.
func FuzzIndexWith(f *testing.F) {
	s := newSketch()
	s.list(s.image("a", nil), RefName, "registry.example/app:1", "note", "x")
	s.list(s.image("b", nil), ContainerdName, "registry.example/app:1")
	s.list(s.image("c", nil), RefName, "other")
	f.Add(s.MapFS[indexName].Data, false)
	f.Add(s.MapFS[indexName].Data, true)
	f.Add(newIndex().marshal(), true)
	want := wish{Descriptor: oci.Descriptor{MediaType: oci.TypeIndex, Digest: manifest.DigestOf([]byte("x")), Size: 7}, name: "registry.example/app:1", image: true}
	f.Fuzz(func(t *testing.T, raw []byte, list bool) {
		old, err := parseIndex(raw)
		if err != nil {
			return
		}
		want := want
		want.list = list
		next, err := old.with([]wish{want})
		if err != nil {
			return
		}
		again, err := parseIndex(next.marshal())
		if err != nil {
			t.Fatalf("%v\n%s", err, next.marshal())
		}
		if !again.has(want) || again.standsFor(want) != want.Digest {
			t.Fatalf("not in %s", next.marshal())
		}
		if same, err := again.with([]wish{want}); err != nil || same != again {
			t.Fatalf("changed again: %v", err)
		}
		for _, e := range old.entries {
			kept := slices.ContainsFunc(again.entries, func(k entry) bool { return bytes.Equal(k.raw, e.raw) })
			if !e.named(want.name) && !kept {
				t.Fatalf("%s is lost from %s", e.raw, next.marshal())
			}
			listed := slices.ContainsFunc(again.entries, func(k entry) bool { return k.Digest == e.Digest })
			if list && !listed {
				t.Fatalf("%s is not listed any more in %s", e.Digest, next.marshal())
			}
		}
	})
}
