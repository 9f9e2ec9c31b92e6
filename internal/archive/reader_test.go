package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"airlock/internal/archive"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

func TestReadAt(t *testing.T) {
	blobs := [][]byte{noise(2*frameBytes + 9), words(2*frameBytes + 9), noise(1), {}}
	r := openSpace(t, first(packAll(t, blobs)), second(packAll(t, blobs)))
	edges := []int{0, 1, 100, frameBytes - 1, frameBytes, frameBytes + 1, 2*frameBytes - 1, 2 * frameBytes, 2*frameBytes + 8, 2*frameBytes + 9, 2*frameBytes + 10, 5 * frameBytes}
	for _, blob := range blobs {
		d := manifest.DigestOf(blob)
		for _, from := range edges {
			for _, n := range []int{0, 1, 9, frameBytes, 3 * frameBytes} {
				p := make([]byte, n)
				got, err := r.ReadAt(d, p, int64(from))
				want := blob[min(from, len(blob)):min(from+n, len(blob))]
				if got != len(want) || !bytes.Equal(p[:got], want) {
					t.Errorf("%d bytes at %d of %d: %d, %v", n, from, len(blob), got, err)
				}
				if wantErr := len(want) < n; (err == io.EOF) != wantErr || (err != nil) != wantErr {
					t.Errorf("%d bytes at %d of %d: %v", n, from, len(blob), err)
				}
			}
		}
	}
}

func TestReadAtNegative(t *testing.T) {
	blob := noise(100)
	r := openSpace(t, first(packAll(t, [][]byte{blob})), second(packAll(t, [][]byte{blob})))
	for _, off := range []int64{-1, -frameBytes, -1 << 62} {
		if n, err := r.ReadAt(manifest.DigestOf(blob), make([]byte, 4), off); n != 0 || err == nil || err == io.EOF {
			t.Errorf("offset %d: %d, %v", off, n, err)
		}
	}
}

func TestUnknownBlob(t *testing.T) {
	r := openSpace(t, first(packAll(t, [][]byte{{1}})), second(packAll(t, [][]byte{{1}})))
	d := manifest.DigestOf([]byte("elsewhere"))
	if size, ok := r.Size(d); ok || size != 0 {
		t.Errorf("size %d, %t", size, ok)
	}
	if b, err := r.Open(d); b != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", b, err)
	}
	if n, err := r.ReadAt(d, make([]byte, 1), 0); n != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestCloseEarly holds that closing a blob that was not read, or not to its
// end, ends its goroutine, and that nothing is handed out afterwards.
func TestCloseEarly(t *testing.T) {
	blob := noise(10 << 20)
	r := openSpace(t, first(packAll(t, [][]byte{blob})), second(packAll(t, [][]byte{blob})))
	before := runtime.NumGoroutine()
	for i := range 20 {
		b, err := r.Open(manifest.DigestOf(blob))
		must(t, err)
		if i%2 == 0 {
			_, err := io.ReadFull(b, make([]byte, frameBytes))
			must(t, err)
		}
		must(t, b.Close())
		if n, err := b.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("after Close: %d, %v", n, err)
		}
	}
	settle(t, before)
}

// TestReadersSideBySide reads one blob from many goroutines.
func TestReadersSideBySide(t *testing.T) {
	blobs := [][]byte{words(5 << 20), noise(5 << 20)}
	r := openSpace(t, first(packAll(t, blobs)), second(packAll(t, blobs)))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			b, err := r.Open(manifest.DigestOf(blobs[i%2]))
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, blobs[i%2]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	group.Wait()
}

// TestLastBytesAreHeld holds that of a blob whose bytes have another digest
// what stands in the last block is not handed out.
func TestLastBytesAreHeld(t *testing.T) {
	blob := noise(2*frameBytes + 9)
	k := newKit(t)
	k.add(t, blob)
	k.keepBlobs()
	c := &k.contents[len(k.contents)-1]
	c.frames[0].data = bytes.Clone(c.frames[0].data)
	c.frames[0].data[77] ^= 1
	r, err := archive.Open(mapFS(k.make(t)), testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	b, err := r.Open(manifest.DigestOf(blob))
	must(t, err)
	defer b.Close()
	got, err := io.ReadAll(b)
	if len(got) < frameBytes || len(got) >= len(blob) || !errors.Is(err, archive.ErrMismatch) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, archive.ErrMismatch) {
		t.Errorf("then %v", err)
	}
}

// TestDamageWhileReading damages a block after the archive was opened.
func TestDamageWhileReading(t *testing.T) {
	blob := noise(8 << 20)
	space, where := packAll(t, [][]byte{blob})
	k := newKit(t)
	k.raw, k.rawIndex = space, where
	files := mapFS(k.make(t))
	r, err := archive.Open(files, testAllowed(t), goldenTime)
	must(t, err)
	defer r.Close()
	files[vol0].Data[5<<20] ^= 1
	b, err := r.Open(manifest.DigestOf(blob))
	must(t, err)
	defer b.Close()
	got, err := io.ReadAll(b)
	if len(got) != 5<<20 || !bytes.Equal(got, blob[:5<<20]) || !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), "block 5 of volume "+vol0) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, err := r.ReadAt(manifest.DigestOf(blob), make([]byte, 10), 5<<20); n != 0 || !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if err := r.Verify(t.Context(), progress.Discard); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("Verify: %v", err)
	}
}

// TestVerifyOtherBytes has one byte of a content be another than its digest says,
// in blocks and volumes that are as signed: wherever it stands, the content is named.
func TestVerifyOtherBytes(t *testing.T) {
	blobs := [][]byte{noise(64), noise(3<<20 + 5), words(100_000), noise(4<<20 - 64), noise(1<<20 + 1), noise(5 << 20)}
	for i, blob := range blobs {
		for _, at := range []int{0, len(blob) / 2, len(blob) - 1} {
			space, where := packAll(t, blobs)
			begin := bytes.Index(space, blob)
			if begin < 0 { // compressed
				continue
			}
			must(t, openSpace(t, space, where).Verify(t.Context(), progress.Discard))
			space[begin+at] ^= 1
			err := openSpace(t, space, where).Verify(t.Context(), progress.Discard)
			if !errors.Is(err, archive.ErrMismatch) || !strings.Contains(err.Error(), manifest.DigestOf(blob).String()) {
				t.Errorf("byte %d of blob %d: %v", at, i, err)
			}
		}
	}
}

func TestVerifyCancelled(t *testing.T) {
	blob := noise(30 << 20)
	r := openSpace(t, first(packAll(t, [][]byte{blob})), second(packAll(t, [][]byte{blob})))
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Verify(ctx, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	settle(t, before)
}

// largeFS says that the volume has as many bytes as the manifest says; nobody
// may read them.
type largeFS struct {
	fstest.MapFS
	t *testing.T
}

func (f largeFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if name == vol0 {
		return largeFile{file, f.t}, err
	}
	return file, err
}

type largeFile struct {
	fs.File
	t *testing.T
}

type largeInfo struct{ fs.FileInfo }

const overIndex = archive.MaxIndex + 1

func (largeInfo) Size() int64 { return overIndex }
func (f largeFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return largeInfo{info}, err
}
func (f largeFile) ReadAt([]byte, int64) (int, error) {
	f.t.Error("the index is read")
	return 0, io.EOF
}

func TestIndexOverTheLimit(t *testing.T) {
	k := newKit(t)
	k.bendManifest = func(m *manifest.Manifest) {
		m.Volumes[0].Size = overIndex
		m.Index.Offset, m.Index.Size = 0, overIndex
	}
	k.bendBlocks = func([]byte) []byte { return make([]byte, 257*32) }
	_, err := archive.Open(largeFS{mapFS(k.make(t)), t}, testAllowed(t), goldenTime)
	if !errors.Is(err, archive.ErrMalformed) || !strings.Contains(err.Error(), "index of 268435457 bytes") {
		t.Error(err)
	}
}
