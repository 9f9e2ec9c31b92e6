package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// noise returns n bytes that do not compress.
func noise(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	r.Read(p)
	return p
}

// words returns n bytes that compress.
func words(n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%d words and more words. ", n)), n/10+1)[:n]
}

// packAll adds blobs to a new space.
func packAll(t testing.TB, blobs [][]byte) ([]byte, manifest.Extent) {
	t.Helper()
	var space bytes.Buffer
	w, err := archive.NewWriter(&space)
	must(t, err)
	defer w.Close()
	for _, b := range blobs {
		d := manifest.DigestOf(b)
		if w.Has(d) {
			t.Fatalf("has %s already", d)
		}
		must(t, w.Add(d, int64(len(b)), bytes.NewReader(b)))
		if !w.Has(d) {
			t.Fatalf("has no %s", d)
		}
	}
	where, err := w.Finish()
	must(t, err)
	if where.Offset+where.Size != int64(space.Len()) || where.Digest != manifest.DigestOf(space.Bytes()[where.Offset:]) {
		t.Fatalf("index %+v in %d bytes", where, space.Len())
	}
	return space.Bytes(), where
}

// openSpace returns a reader over a space.
func openSpace(t testing.TB, space []byte, where manifest.Extent) *archive.Reader {
	t.Helper()
	k := newKit(t)
	k.raw, k.rawIndex, k.volumeSize = space, where, 1<<20
	r, err := archive.Open(mapFS(k.make(t)), testAllowed(t), goldenTime)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// sizes are those around the edges of a frame.
func sizes() [][]byte {
	var all [][]byte
	for _, n := range []int{0, 1, 15, 16, 17, 100, 255, 256, 257, 100_000, 128 << 10, 128<<10 + 1, frameBytes - 1, frameBytes, frameBytes + 1, frameBytes + 100, 2*frameBytes - 1, 2 * frameBytes, 3*frameBytes + 17} {
		all = append(all, noise(n))
		if n > 0 {
			all = append(all, words(n))
		}
	}
	return all
}

func TestSizes(t *testing.T) {
	blobs := sizes()
	r := openSpace(t, first(packAll(t, blobs)), second(packAll(t, blobs)))
	must(t, r.Verify(t.Context(), progress.Discard))
	if n := len(r.Packings()); n != len(blobs) {
		t.Errorf("%d packings of %d blobs", n, len(blobs))
	}
	for _, want := range blobs {
		d := manifest.DigestOf(want)
		if size, ok := r.Size(d); !ok || size != int64(len(want)) {
			t.Errorf("%d bytes: size %d, %t", len(want), size, ok)
		}
		b, err := r.Open(d)
		must(t, err)
		if err := iotest.TestReader(b, want); len(want) < 300 && err != nil {
			t.Errorf("%d bytes: %v", len(want), err)
		}
		b.Close()
		b, err = r.Open(d)
		must(t, err)
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came back, %v", len(want), len(got), err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes: after the end %d, %v", len(want), n, err)
		}
		must(t, b.Close())
		must(t, b.Close())
	}
}

func first(space []byte, _ manifest.Extent) []byte           { return space }
func second(_ []byte, where manifest.Extent) manifest.Extent { return where }

// TestFrames holds that what compresses is compressed and what does not is
// stored, without growing.
func TestFrames(t *testing.T) {
	mixed := append(noise(frameBytes), words(frameBytes)...)
	blobs := [][]byte{noise(5 << 20), words(5 << 20), mixed, noise(1000), words(1000), make([]byte, frameBytes)}
	space, where := packAll(t, blobs)
	r := openSpace(t, space, where)
	packed := map[manifest.Digest]archive.Packing{}
	for _, p := range r.Packings() {
		packed[p.Digest] = p
	}
	for i, want := range []struct {
		frames      string
		least, most int64
	}{
		{"stored", 5 << 20, 5 << 20}, {"zstd", 1, 100_000}, {"zstd", frameBytes, frameBytes + 50_000}, {"stored", 1000, 1000}, {"zstd", 1, 100}, {"zstd", 1, 1000},
	} {
		p := packed[manifest.DigestOf(blobs[i])]
		if !strings.Contains(p.Frames, want.frames) || p.Packed < want.least || p.Packed > want.most || p.Size != int64(len(blobs[i])) || p.Recipe != "as it is" {
			t.Errorf("blob %d: %+v, want %+v", i, p, want)
		}
	}
	if gaps := where.Offset - sum(r.Packings()); gaps < 0 || gaps > 63*int64(len(blobs)-1) {
		t.Errorf("frames of %d bytes before an index at %d", sum(r.Packings()), where.Offset)
	}
}

// TestGaps holds that each content begins at a multiple of 64, behind zeros and
// as near as can be to what comes before it, and that one without bytes takes no room.
func TestGaps(t *testing.T) {
	blobs := [][]byte{noise(1), {}, noise(64), noise(65), noise(63), noise(frameBytes + 1), noise(128)}
	space, where := packAll(t, blobs)
	var want []byte
	for _, blob := range blobs {
		for len(blob) > 0 && len(want)%64 > 0 {
			want = append(want, 0)
		}
		want = append(want, blob...)
	}
	if where.Offset != int64(len(want)) || !bytes.Equal(space[:where.Offset], want) {
		t.Errorf("%d bytes before the index that differ from the %d wanted", where.Offset, len(want))
	}
}

func sum(all []archive.Packing) int64 {
	var n int64
	for _, p := range all {
		n += p.Packed
	}
	return n
}

// TestSameBytes holds that neither the number of processors nor the pieces in
// which bytes arrive change the space.
func TestSameBytes(t *testing.T) {
	blobs := sizes()
	want, _ := packAll(t, blobs)
	for _, procs := range []int{1, 4} {
		old := runtime.GOMAXPROCS(procs)
		var space bytes.Buffer
		w, err := archive.NewWriter(&space)
		must(t, err)
		for i, b := range blobs {
			r := io.Reader(bytes.NewReader(b))
			if i%2 == 0 {
				r = iotest.HalfReader(iotest.DataErrReader(r))
			}
			must(t, w.Add(manifest.DigestOf(b), int64(len(b)), r))
		}
		_, err = w.Finish()
		must(t, err)
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(space.Bytes(), want) {
			t.Errorf("with %d processors: %d bytes that differ from %d", procs, space.Len(), len(want))
		}
	}
}

func TestAddRefuses(t *testing.T) {
	errSource := errors.New("connection reset")
	for _, n := range []int{0, 1, 1000, frameBytes, frameBytes + 1, 5 << 20} {
		good := noise(n)
		d := manifest.DigestOf(good)
		for name, c := range map[string]struct {
			size int
			r    io.Reader
			want error
		}{
			"wrong":        {n, bytes.NewReader(noise(n + 1)[:n]), archive.ErrMismatch},
			"short":        {n, bytes.NewReader(good[:max(n-1, 0)]), archive.ErrMismatch},
			"long":         {n, bytes.NewReader(append(bytes.Clone(good), 0)), archive.ErrMismatch},
			"larger size":  {n + 1, bytes.NewReader(good), archive.ErrMismatch},
			"smaller size": {n - 1, bytes.NewReader(good), archive.ErrMismatch},
			"error":        {n, io.MultiReader(bytes.NewReader(good[:n/2]), iotest.ErrReader(errSource)), errSource},
			"late error":   {n, io.MultiReader(bytes.NewReader(good), iotest.ErrReader(errSource)), errSource},
		} {
			if n == 0 && (name == "wrong" || name == "short" || name == "smaller size") {
				continue
			}
			w, err := archive.NewWriter(io.Discard)
			must(t, err)
			err = w.Add(d, int64(c.size), c.r)
			if !errors.Is(err, c.want) {
				t.Errorf("%s with %d bytes: %v, want %v", name, n, err, c.want)
			}
			if c.want == errSource && errors.Is(err, archive.ErrMismatch) {
				t.Errorf("%s with %d bytes: %v is called a mismatch", name, n, err)
			}
			w.Close()
		}
	}
	w, err := archive.NewWriter(io.Discard)
	must(t, err)
	defer w.Close()
	must(t, w.Add(manifest.DigestOf([]byte("x")), 1, bytes.NewReader([]byte("x"))))
	if err := w.Add(manifest.DigestOf([]byte("x")), 1, bytes.NewReader([]byte("x"))); err == nil {
		t.Error("a blob is added twice")
	}
}

type failing struct{ left int }

var errSpace = errors.New("volume is gone")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errSpace
	}
	return len(p), nil
}

// TestSpaceErrors holds that an error of the space surfaces from Add or from
// Finish, wherever it happens, and that nothing hangs.
func TestSpaceErrors(t *testing.T) {
	blob := noise(40 << 20)
	for _, left := range []int{0, 1, frameBytes, 5 << 20, 40<<20 - 1, 40 << 20, 40<<20 + 10} {
		w, err := archive.NewWriter(&failing{left})
		must(t, err)
		err = w.Add(manifest.DigestOf(blob), int64(len(blob)), bytes.NewReader(blob))
		if err == nil {
			_, err = w.Finish()
		} else if left >= 40<<20 {
			t.Errorf("Add says %v though there is room", err)
		}
		if !errors.Is(err, errSpace) {
			t.Errorf("with room for %d bytes: %v", left, err)
		}
		w.Close()
	}
}

// TestWriterEnds holds that Close after anything leaves no goroutine behind.
func TestWriterEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		w, err := archive.NewWriter(io.Discard)
		must(t, err)
		if i%2 == 0 {
			w.Add(manifest.DigestOf([]byte("y")), 3<<20, bytes.NewReader(noise(3<<20)))
		}
		w.Close()
		w.Close()
	}
	settle(t, before)
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
