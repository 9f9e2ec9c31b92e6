package intake_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"airlock/internal/bundletest"
	"airlock/internal/intake"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/repair"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// kit is a bundle, and its streams as they are created and sent.
type kit struct {
	*bundletest.Kit
	files         fstest.MapFS
	created, sent []byte
}

func newKit(t testing.TB, parity volume.Protection) *kit {
	t.Helper()
	image, err := random.Image(3<<20, 2)
	must(t, err)
	k := &kit{Kit: bundletest.NewKit(t)}
	k.files = k.Protected(t, bundletest.Release(bundletest.FromImage(t, image)), 2<<20, parity).MapFS
	texts, err := manifest.Read(k.files)
	must(t, err)
	var created, sent bytes.Buffer
	must(t, (&journey.Bundle{Texts: texts, Files: k.files}).Stream(&sent, progress.Discard))
	w := transfer.NewTar(&created)
	for _, name := range []string{
		"shop-1.0.000.vol", "shop-1.0.001.vol", "shop-1.0.002.vol", "shop-1.0.003.vol", "shop-1.0.p00.par", "shop-1.0.p01.par",
		"blocks.bin", "manifest.json", "README.txt", "SHA256SUMS.ana.sig", "copy.tar", "SHA256SUMS",
	} {
		if f, ok := k.files[name]; ok {
			must(t, w.Put(name, f.Data))
		}
	}
	must(t, w.Close())
	k.created, k.sent = created.Bytes(), sent.Bytes()
	return k
}

// receive takes a stream as unbundle receive does.
func (k *kit) receive(t testing.TB, dir string, stream []byte) error {
	t.Helper()
	f, err := intake.Open(dir, k.Allowed, bundletest.Created)
	must(t, err)
	if err := f.Take(t.Context(), bytes.NewReader(stream), progress.Discard); err != nil || f.Complete() {
		return err
	}
	files, err := f.Files()
	must(t, err)
	v, err := manifest.Open(files, k.Allowed, bundletest.Created)
	if err != nil {
		return err
	}
	r, err := volume.NewHurtReader(v, files)
	must(t, err)
	defer r.Close()
	if _, err := repair.InPlace(t.Context(), r, f.Aside(), progress.Discard); err != nil {
		return err
	}
	return f.Finish(v)
}

// same holds that a folder has just the bundle's files.
func (k *kit) same(t testing.TB, what, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		if f := k.files[e.Name()]; f == nil || !bytes.Equal(f.Data, got) {
			t.Errorf("%s: %s differs", what, e.Name())
		}
	}
	if len(entries) != len(k.files) {
		t.Errorf("%s: %d files, want %d", what, len(entries), len(k.files))
	}
}

// TestCutStreams cuts streams anywhere, several times, and then sends them
// whole: each cut is incomplete, and the last try completes.
func TestCutStreams(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, parity := range []volume.Protection{{}, {Percent: 5}} {
		k := newKit(t, parity)
		for range 12 {
			for _, stream := range [][]byte{k.created, k.sent} {
				dir := t.TempDir()
				for range 1 + rng.IntN(2) {
					cut := rng.IntN(len(stream) - 2048)
					if err := k.receive(t, dir, stream[:cut]); !errors.Is(err, manifest.ErrIncomplete) {
						t.Fatalf("cut at %d of %d: %v", cut, len(stream), err)
					}
					if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err == nil {
						t.Fatal("it stands as if it were complete")
					}
				}
				must(t, k.receive(t, dir, stream))
				k.same(t, "whole", dir)
				must(t, k.receive(t, dir, stream))
				k.same(t, "again", dir)
			}
		}
	}
}

// TestWhatCameIsNotWrittenAgain holds that a second try leaves the files alone
// that came whole, and goes on in the one that did not.
func TestWhatCameIsNotWrittenAgain(t *testing.T) {
	k, dir, old := newKit(t, volume.Protection{}), t.TempDir(), time.Unix(1e9, 0)
	at := bytes.Index(k.created, []byte("shop-1.0.001.vol")) + 512 + 1<<20 + 77
	if err := k.receive(t, dir, k.created[:at]); !errors.Is(err, manifest.ErrIncomplete) {
		t.Fatal(err)
	}
	first, second := filepath.Join(dir, ".incoming", "shop-1.0.000.vol"), filepath.Join(dir, ".incoming", "shop-1.0.001.vol")
	for path, size := range map[string]int64{first: 2 << 20, second: 1<<20 + 77} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Size() != size {
			t.Errorf("%s has %d bytes, want %d", path, info.Size(), size)
		}
		must(t, os.Chtimes(path, old, old))
	}
	must(t, k.receive(t, dir, k.created))
	for name, want := range map[string]bool{"shop-1.0.000.vol": true, "shop-1.0.001.vol": false} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.ModTime().Equal(old) != want {
			t.Errorf("%s was written at %s", name, info.ModTime())
		}
	}
	k.same(t, "whole", dir)
}

// TestDamagedStreams sends a stream with bad blocks twice, other ones each
// time: what came whole the first time is kept, and both together are whole.
func TestDamagedStreams(t *testing.T) {
	for _, parity := range []volume.Protection{{}, {Percent: 5}} {
		k, dir := newKit(t, parity), t.TempDir()
		hurt := func(names ...string) []byte {
			stream := bytes.Clone(k.sent)
			for _, name := range names {
				stream[bytes.Index(stream, []byte(name+"\x00"))+512+1000] ^= 1
			}
			return stream
		}
		damage := (*volume.Damage)(nil)
		err := k.receive(t, dir, hurt("shop-1.0.001.vol", "shop-1.0.002.vol"))
		if !errors.As(err, &damage) || len(damage.Lost) != 2 || errors.Is(err, manifest.ErrIncomplete) {
			t.Fatalf("two bad blocks: %v", err)
		}
		must(t, k.receive(t, dir, hurt("shop-1.0.000.vol", "shop-1.0.003.vol")))
		k.same(t, "of two damaged streams", dir)
	}
	k, dir := newKit(t, volume.Protection{Percent: 5}), t.TempDir()
	stream := bytes.Clone(k.created)
	stream[bytes.Index(stream, []byte("shop-1.0.001.vol"))+512+9] ^= 1
	stream[bytes.Index(stream, []byte("SHA256SUMS.ana.sig"))+512+100] ^= 1
	must(t, k.receive(t, dir, stream))
	k.same(t, "mended", dir)
}

// TestOtherStreams holds that a folder takes one bundle, and no file that is
// none of a bundle.
func TestOtherStreams(t *testing.T) {
	k, other, dir := newKit(t, volume.Protection{}), newKit(t, volume.Protection{Spare: 1}), t.TempDir()
	must(t, k.receive(t, dir, k.created))
	if err := k.receive(t, dir, other.created); !errors.Is(err, intake.ErrOther) {
		t.Error(err)
	}
	k.same(t, "after another", dir)

	dir = t.TempDir()
	if err := k.receive(t, dir, k.sent[:len(k.sent)/2]); !errors.Is(err, manifest.ErrIncomplete) {
		t.Fatal(err)
	}
	if err := k.receive(t, dir, other.sent); !errors.Is(err, intake.ErrOther) {
		t.Error(err)
	}
	must(t, k.receive(t, dir, k.sent))
	k.same(t, "with another in between", dir)

	var b bytes.Buffer
	w := transfer.NewTar(&b)
	must(t, w.Put("shop-1.0.000.vol", []byte("x")))
	must(t, w.Put("shop-1.0.000.vol", []byte("y")))
	must(t, w.Close())
	for what, c := range map[string]struct {
		stream []byte
		is     error
	}{
		"nothing":      {nil, manifest.ErrIncomplete},
		"no tar":       {[]byte(strings.Repeat("x", 2000)), tarfs.ErrMalformed},
		"twice":        {b.Bytes(), tarfs.ErrMalformed},
		"up and away":  {rename(t, "../evil"), manifest.ErrIncomplete},
		"in a folder":  {rename(t, "a/b"), manifest.ErrIncomplete},
		"the aside":    {rename(t, ".incoming"), manifest.ErrIncomplete},
		"no signature": {rename(t, "SHA256SUMS"), nil},
	} {
		dir := t.TempDir()
		if err := k.receive(t, dir, c.stream); err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", what, err)
		}
		if entries, _ := filepath.Glob(filepath.Join(dir, "..", "evil*")); len(entries) > 0 {
			t.Errorf("%s: %q", what, entries)
		}
	}
}

// rename returns a stream with one file.
func rename(t *testing.T, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 5, Mode: 0o644}))
	_, err := w.Write([]byte("text\n"))
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// TestNoRoom holds that a file for which there is no room is refused at its header.
func TestNoRoom(t *testing.T) {
	k, dir := newKit(t, volume.Protection{}), t.TempDir()
	free, err := transfer.FreeSpace(dir)
	must(t, err)
	f, err := intake.Open(dir, k.Allowed, bundletest.Created)
	must(t, err)
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "shop-1.0.000.vol", Size: free + 1<<30, Mode: 0o644, Typeflag: tar.TypeReg}))
	err = f.Take(t.Context(), &b, progress.Discard)
	if !errors.Is(err, transfer.ErrFull) || !regexp.MustCompile(`B free, and "shop-1\.0\.000\.vol" of the stream takes \d+\.\d [MGT]B$`).MatchString(err.Error()) {
		t.Errorf("no room: %v", err)
	}
}

// TestTakeEndsWithItsContext holds that a stream that says nothing does not
// hold up an interrupt.
func TestTakeEndsWithItsContext(t *testing.T) {
	k := newKit(t, volume.Protection{})
	f, err := intake.Open(t.TempDir(), k.Allowed, bundletest.Created)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	silent, w := io.Pipe()
	defer w.Close()
	go cancel()
	if err := f.Take(ctx, silent, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
