package daemon

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

func noHold(context.Context) error { return nil }

func TestTarballIsATar(t *testing.T) {
	want := map[string][]byte{"empty": {}, "block": noise(1, 512), "more": noise(2, 100_000), "end.json": []byte("{}")}
	var files []file
	for _, name := range []string{"empty", "block", "more", "end.json"} {
		files = append(files, fileOf(name, want[name]))
	}
	r := tar.NewReader(iotest.OneByteReader(newTarball(t.Context(), files, noHold)))
	for _, f := range files {
		h, err := r.Next()
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		if h.Name != f.name || !bytes.Equal(data, want[f.name]) {
			t.Errorf("%s has %d bytes, want %s with %d", h.Name, len(data), f.name, f.size)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("behind the last file: %v", err)
	}
	whole, err := io.ReadAll(newTarball(t.Context(), files, noHold))
	must(t, err)
	if len(whole)%blockSize != 0 || !bytes.HasSuffix(whole, make([]byte, 2*blockSize)) {
		t.Errorf("%d bytes without two empty blocks at the end", len(whole))
	}
}

func TestTarballBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	long := func(size int64, r io.Reader) file {
		return file{"f", size, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }}
	}
	last := fileOf("manifest.json", []byte("[]"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		file file
		hold func(context.Context) error
		want error
	}{
		"short file":    {t.Context(), long(100, strings.NewReader("short")), noHold, io.ErrUnexpectedEOF},
		"failing file":  {t.Context(), long(100, iotest.ErrReader(broken)), noHold, broken},
		"held":          {t.Context(), long(5, strings.NewReader("right")), func(context.Context) error { return broken }, broken},
		"cancelled":     {cancelled, long(5, strings.NewReader("right")), noHold, context.Canceled},
		"empty or long": {t.Context(), long(0, strings.NewReader("x")), noHold, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTarball(c.ctx, []file{c.file, last}, c.hold)
			sent, err := io.ReadAll(b)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if bytes.Contains(sent, []byte(last.name)) {
				t.Error("the last file was sent")
			}
			if _, again := b.Read(make([]byte, 1)); again != err {
				t.Errorf("read again: %v, want %v", again, err)
			}
		})
	}
}

// inMemory is blobs by digest.
type inMemory map[manifest.Digest][]byte

func (m inMemory) Read(d oci.Descriptor) ([]byte, error) { return m[d.Digest], nil }
func (m inMemory) Open(d oci.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[d.Digest])), nil
}
func (m inMemory) ReadAt(d oci.Descriptor, p []byte, off int64) (int, error) {
	return bytes.NewReader(m[d.Digest]).ReadAt(p, off)
}

func (m inMemory) OpenContent(oci.Descriptor) (io.ReadCloser, int64, bool) { return nil, 0, false }

func inflaterOf(blob []byte) (*inflater, oci.Descriptor) {
	d := oci.Descriptor{Digest: manifest.DigestOf(blob), Size: int64(len(blob))}
	return newInflater(inMemory{d.Digest: blob}), d
}

func TestInflate(t *testing.T) {
	for _, size := range []int{0, 1, 512, aheadSize - 1, aheadSize, aheadSize + 1, 3*aheadChunks*aheadSize + 7} {
		data := bytes.Repeat([]byte("layer "), size/6+1)[:size]
		for name, c := range map[string]struct {
			layer   layer
			guessed bool
		}{
			"gzip":         {gzipLayer(t, data), true},
			"plain":        {plainLayer(data), true},
			"zstd":         {zstdLayer(t, data, true), size > 255}, // shorter ones have no size, but few bytes
			"zstd unsized": {zstdLayer(t, data, false), false},
		} {
			f, d := inflaterOf(c.layer.blob)
			counted, err := f.count(t.Context(), d)
			must(t, err)
			if counted != int64(size) {
				t.Errorf("%s of %d bytes: counted %d", name, size, counted)
			}
			guess, ok, err := f.guess(d)
			must(t, err)
			if c.guessed && !ok || ok && guess != int64(size) {
				t.Errorf("%s of %d bytes: guessed %d, %t", name, size, guess, ok)
			}
			r, err := f.open(t.Context(), d, func(int) {})
			must(t, err)
			got, err := io.ReadAll(judge(r, int64(size), c.layer.diffID))
			must(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("%s of %d bytes: %d other bytes", name, size, len(got))
			}
			r.Close()
		}
	}
}

func TestGuessPast4GiB(t *testing.T) {
	blob := make([]byte, 2000)
	copy(blob, gzipMagic)
	binary.LittleEndian.PutUint32(blob[len(blob)-4:], 100) // too short for 2000 bytes
	f, d := inflaterOf(blob)
	if guess, ok, err := f.guess(d); err != nil || !ok || guess != 1<<32+100 {
		t.Errorf("guessed %d, %t, %v", guess, ok, err)
	}
}

func TestJudge(t *testing.T) {
	data := noise(3, 10_000)
	right := manifest.DigestOf(data)
	for name, c := range map[string]struct {
		size int64
		want manifest.Digest
		err  error
	}{
		"right":            {10_000, right, nil},
		"wrong digest":     {10_000, manifest.DigestOf([]byte("x")), ErrRejected},
		"expected more":    {10_001, right, errSize},
		"expected less":    {9_999, right, errSize},
		"expected nothing": {0, manifest.DigestOf(nil), errSize},
	} {
		got, err := io.ReadAll(judge(io.NopCloser(bytes.NewReader(data)), c.size, c.want))
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if err != nil && int64(len(got)) >= c.size && c.size > 0 {
			t.Errorf("%s: the last byte was handed out", name)
		}
	}
}

func TestDamagedLayer(t *testing.T) {
	data := tarOf(t, "f", noise(4, 300_000))
	for name, l := range map[string]layer{"gzip": gzipLayer(t, data), "zstd": zstdLayer(t, data, true)} {
		f, d := inflaterOf(l.blob[:len(l.blob)-10])
		if n, err := f.count(t.Context(), d); err == nil {
			t.Errorf("%s: counted %d in a truncated layer", name, n)
		}
		f, d = inflaterOf(append(bytes.Clone(l.blob), "more"...))
		if n, err := f.count(t.Context(), d); err == nil {
			t.Errorf("%s: counted %d in a layer with bytes behind it", name, n)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	for answer, want := range map[string]string{
		"": "",
		`{"stream":"Loaded image ID: sha256:1\n"}` + "\n":                                   "",
		`{"stream":"x"}{"errorDetail":{"message":"no space left"},"error":"no space left"}`: "no space left",
		`{"error":"old engine"}`:                           "old engine",
		`{"stream":"Error unpacking image sha256:1: bad"}`: "rejected",
		`{"stream":"x"`:                                    "reading the engine's answer",
		`<html>`:                                           "reading the engine's answer",
	} {
		err := readAnswer(strings.NewReader(answer))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", answer, err, want)
		}
	}
}
