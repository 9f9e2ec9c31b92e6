package volume_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

func TestReadAt(t *testing.T) {
	space := pattern(5*block + 77)
	for _, size := range []int64{block, 2 * block, 3 * block, 8 * block} {
		files, v := bundle(t, size, space)
		r := open(t, v, files)
		if r.Size() != int64(len(space)) || r.Verified() != v {
			t.Errorf("%d bytes", r.Size())
		}
		edges := []int64{0, 1, 100, block - 1, block, block + 1, 2*block - 1, 2 * block, 3 * block, 5*block - 1, 5 * block, 5*block + 76, 5*block + 77}
		for _, from := range edges {
			for _, to := range edges {
				if from > to {
					continue
				}
				p := make([]byte, to-from)
				n, err := r.ReadAt(p, from)
				if n != len(p) || err != nil {
					t.Errorf("volumes of %d: bytes %d to %d: %d, %v", size, from, to, n, err)
				}
				equal(t, fmt.Sprintf("bytes %d to %d", from, to), p, space[from:to])
			}
			p := make([]byte, 3*block)
			n, err := r.ReadAt(p, from)
			want := min(len(p), len(space)-int(from))
			if n != want || (n < len(p)) != errors.Is(err, io.EOF) {
				t.Errorf("3 MiB from %d: %d, %v", from, n, err)
			}
			equal(t, "3 MiB", p[:n], space[from:int(from)+want])
		}
		for _, off := range []int64{-1, -1 << 62, int64(len(space)) + 1, 1 << 62} {
			if n, err := r.ReadAt(make([]byte, 1), off); n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("offset %d: %d, %v", off, n, err)
			}
		}
	}
}

// TestReadAtByMany reads from several goroutines more blocks than are kept.
func TestReadAtByMany(t *testing.T) {
	space := pattern(40*block + 5)
	files, v := bundle(t, 16*block, space)
	r := open(t, v, files)
	var group sync.WaitGroup
	for seed := range uint64(8) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 100 {
				from := random.Int64N(int64(len(space)))
				p := make([]byte, random.Int64N(min(2*block, int64(len(space))-from)))
				if n, err := r.ReadAt(p, from); n != len(p) || err != nil {
					t.Errorf("%d bytes at %d: %d, %v", len(p), from, n, err)
				}
				if !bytes.Equal(p, space[from:from+int64(len(p))]) {
					t.Errorf("%d bytes at %d differ", len(p), from)
				}
			}
		})
	}
	group.Wait()
}

// TestReaderMemory holds that no more than 32 blocks are kept.
func TestReaderMemory(t *testing.T) {
	space := pattern(100 * block)
	files, v := bundle(t, 128*block, space)
	r := open(t, v, files)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	p := make([]byte, 1)
	for i := range int64(100) {
		_, err := r.ReadAt(p, i*block)
		must(t, err)
	}
	if grown := int64(heap()) - int64(before); grown > 34*block {
		t.Errorf("keeps %d MiB", grown>>20)
	}
	runtime.KeepAlive(r)
}

// TestMediumThatChanges reads from a medium that gives the right bytes once,
// and others from then on: they are never handed out.
func TestMediumThatChanges(t *testing.T) {
	space := pattern(40 * block)
	files, v := bundle(t, 64*block, space)
	var mu sync.Mutex
	seen := map[int64]int{}
	bad := badFS{files, func(_ string, p []byte, off int64, n int, err error) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if seen[off/block]++; seen[off/block] > 1 {
			p[n/2] ^= 1
		}
		return n, err
	}}
	r := open(t, v, bad)
	must(t, r.Verify(t.Context(), progress.Discard, func([]byte) error { return nil }))
	for off := int64(0); off < int64(len(space)); off += block {
		p := make([]byte, 10)
		if n, err := r.ReadAt(p, off); n != 0 || !errors.Is(err, volume.ErrDamaged) || len(bytes.Trim(p, "\x00")) > 0 {
			t.Errorf("block %d on its second reading: %d bytes, %v", off/block, n, err)
		}
	}
}

// TestBlocksAreNotTrustedOnceEvicted reads a block, then more than are kept,
// and then that block from a medium that has changed.
func TestBlocksAreNotTrustedOnceEvicted(t *testing.T) {
	space := pattern(40 * block)
	files, v := bundle(t, 64*block, space)
	var changed atomic.Bool
	r := open(t, v, badFS{files, func(_ string, p []byte, _ int64, n int, err error) (int, error) {
		if changed.Load() {
			p[0] ^= 1
		}
		return n, err
	}})
	p := make([]byte, 1)
	for off := int64(0); off < int64(len(space)); off += block {
		_, err := r.ReadAt(p, off)
		must(t, err)
	}
	changed.Store(true)
	if _, err := r.ReadAt(p, 39*block); err != nil {
		t.Errorf("a block that is kept: %v", err)
	}
	if n, err := r.ReadAt(p, 0); n != 0 || !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("a block that is not kept any more: %d, %v", n, err)
	}
}

func TestReaderNamesWhatIsWrong(t *testing.T) {
	space := pattern(3*block + 9)
	const second = "shop-1.0.001.vol"
	for name, c := range map[string]struct {
		bend func(fstest.MapFS)
		says string
	}{
		"missing":   {func(f fstest.MapFS) { delete(f, second) }, "is missing"},
		"short":     {func(f fstest.MapFS) { f[second].Data = f[second].Data[:100] }, "has 100 bytes, want 1048576"},
		"long":      {func(f fstest.MapFS) { f[second].Data = append(f[second].Data, 0) }, "has 1048577 bytes"},
		"directory": {func(f fstest.MapFS) { f[second].Mode |= fs.ModeDir }, "has 1048576 bytes"},
		"link":      {func(f fstest.MapFS) { f[second].Mode |= fs.ModeNamedPipe }, "has 1048576 bytes"},
	} {
		files, v := bundle(t, block, space)
		c.bend(files)
		r, err := volume.NewReader(v, files)
		if r != nil || !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), second) {
			t.Errorf("%s: %v, %v", name, r, err)
			continue
		}
		if name != "directory" && name != "link" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
	files, v := bundle(t, block, space)
	delete(files, second)
	delete(files, "shop-1.0.003.vol")
	if _, err := volume.NewReader(v, files); err == nil || !strings.Contains(err.Error(), second) || !strings.Contains(err.Error(), "003.vol") {
		t.Errorf("two are missing, but: %v", err)
	}
}

// TestReadErrors holds that a medium's own errors are not called damage.
func TestReadErrors(t *testing.T) {
	files, v := bundle(t, 4*block, pattern(6*block))
	errMedium := errors.New("input/output error")
	r := open(t, v, badFS{files, func(name string, _ []byte, off int64, n int, err error) (int, error) {
		if name == "shop-1.0.001.vol" && off == block {
			return n / 2, errMedium
		}
		return n, err
	}})
	p := make([]byte, 2*block)
	n, err := r.ReadAt(p, 4*block)
	if n != block || !errors.Is(err, errMedium) || errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), "block 1 of volume shop-1.0.001.vol") {
		t.Errorf("%d, %v", n, err)
	}
	short := open(t, v, badFS{files, func(_ string, _ []byte, _ int64, n int, _ error) (int, error) { return n - 1, io.EOF }})
	if n, err := short.ReadAt(p, 0); n != 0 || err == nil {
		t.Errorf("a short reading: %d, %v", n, err)
	}
	// A full reading may come with io.EOF (io.ReaderAt).
	ended := open(t, v, badFS{files, func(_ string, _ []byte, _ int64, n int, _ error) (int, error) { return n, io.EOF }})
	if n, err := ended.ReadAt(p, 0); n != len(p) || err != nil {
		t.Errorf("a full reading with io.EOF: %d, %v", n, err)
	}
}

func TestVerify(t *testing.T) {
	space := pattern(13*block + 9)
	files, v := bundle(t, 4*block, space)
	var got bytes.Buffer
	r := open(t, v, files)
	must(t, r.Verify(t.Context(), progress.Discard, func(p []byte) error {
		got.Write(p)
		return nil
	}))
	equal(t, "the space", got.Bytes(), space)
}

// TestVerifyListsAllDamage holds that every damaged block of every volume is
// named, that bytes before the first are handed out, and none from there on.
func TestVerifyListsAllDamage(t *testing.T) {
	space := pattern(13*block + 9)
	files, v := bundle(t, 4*block, space)
	for _, at := range []int64{5*block + 7, 6 * block, 13*block + 8} {
		files[fmt.Sprintf("shop-1.0.%03d.vol", at/(4*block))].Data[at%(4*block)] ^= 0x80
	}
	var got bytes.Buffer
	err := open(t, v, files).Verify(t.Context(), progress.Discard, func(p []byte) error {
		got.Write(p)
		return nil
	})
	equal(t, "the space up to the damage", got.Bytes(), space[:5*block])
	for _, want := range []string{"block 1 of volume shop-1.0.001.vol (bytes 1048576 to 2097151)", "block 2 of volume shop-1.0.001.vol", "block 1 of volume shop-1.0.003.vol (bytes 1048576 to 1048584)"} {
		if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d lines: %v", n, err)
	}
}

func TestVerifyStopsAtAHundred(t *testing.T) {
	files, v := bundle(t, 64*block, pattern(160*block))
	for _, f := range files {
		if len(f.Data) < block {
			continue
		}
		for at := 0; at < len(f.Data); at += block {
			f.Data[at] ^= 1
		}
	}
	err := open(t, v, files).Verify(t.Context(), progress.Discard, func([]byte) error { return nil })
	if lines := strings.Split(err.Error(), "\n"); len(lines) < 101 || len(lines) > 161 || !strings.Contains(lines[len(lines)-1], "perhaps more") {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// TestVerifyErrors holds that the error of each and a cancelled context end it.
func TestVerifyErrors(t *testing.T) {
	files, v := bundle(t, 4*block, pattern(9*block))
	r := open(t, v, files)
	stop := errors.New("stop")
	calls := 0
	if err := r.Verify(t.Context(), progress.Discard, func([]byte) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err := r.Verify(ctx, progress.Discard, func([]byte) error {
		if calls++; calls == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, but: %v", err)
	}
}

// counter is a progress.Sink.
type counter struct {
	total, added atomic.Int64
	started      atomic.Int64
	done         atomic.Int64
}

func (c *counter) Start(_ string, total int64) progress.Task {
	c.total.Add(total)
	c.started.Add(1)
	return c
}
func (c *counter) Add(n int64) { c.added.Add(n) }
func (c *counter) Done()       { c.done.Add(1) }

func TestVerifyProgress(t *testing.T) {
	files, v := bundle(t, 4*block, pattern(9*block+1))
	var c counter
	must(t, open(t, v, files).Verify(t.Context(), &c, func([]byte) error { return nil }))
	if c.total.Load() != 9*block+1 || c.added.Load() != c.total.Load() || c.started.Load() != 3 || c.done.Load() != 3 {
		t.Errorf("%d of %d bytes in %d tasks, %d done", c.added.Load(), c.total.Load(), c.started.Load(), c.done.Load())
	}
}

func TestBlocksPer(t *testing.T) {
	for size, want := range map[int64]int64{0: 0, 1: 1, block: 1, block + 1: 2, manifest.MaxSpace: manifest.MaxSpace / block} {
		if got := volume.BlocksPer(size); got != want {
			t.Errorf("%d bytes: %d blocks, want %d", size, got, want)
		}
	}
}

// TestNoRegularVolume has a folder, a link or a device where a volume should be.
func TestNoRegularVolume(t *testing.T) {
	files, v := bundle(t, block, pattern(3*block))
	name := v.Manifest().Volumes[1].Name
	_, err := volume.NewReader(v, irregular{files, name})
	if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
}

// irregular refuses to open a file as package transfer does.
type irregular struct {
	fs.FS
	name string
}

func (f irregular) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return f.FS.Open(name)
}
