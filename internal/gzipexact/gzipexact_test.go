package gzipexact

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/flate"

	"airlock/internal/gzipexact/sampletest"
)

func analyze(blob []byte, step int) (Recipe, []byte, error) {
	var content bytes.Buffer
	r, err := Analyze(&inSteps{blob, step}, &content)
	return r, content.Bytes(), err
}

// inSteps gives its bytes in pieces of some size.
type inSteps struct {
	left []byte
	step int
}

func (r *inSteps) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.left)
	r.left = r.left[n:]
	return n, nil
}

// proves checks that blob has a recipe that rebuilds it, also once marshalled.
func proves(t *testing.T, blob []byte) Recipe {
	t.Helper()
	r, content, err := analyze(blob, 10000)
	if err != nil {
		t.Fatal(err)
	}
	m := r.Marshal()
	r2, err := ParseRecipe(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r2.Marshal(), m) {
		t.Fatalf("recipe %x became %x", m, r2.Marshal())
	}
	var out bytes.Buffer
	if err := Rebuild(&out, r2, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), blob) {
		t.Fatalf("%v: rebuilt %d bytes differ from %d", r, out.Len(), len(blob))
	}
	out.Reset()
	if err := RebuildParallel(&out, r2, bytes.NewReader(content), 3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), blob) {
		t.Fatalf("%v: several workers rebuilt %d bytes that differ from %d", r, out.Len(), len(blob))
	}
	return r
}

// gzipped makes a member with the toolchain's encoder, which is known here up to
// Go 1.26 as one encoder and from Go 1.27 on as another.
func gzipped(t testing.TB, p []byte, level int, flush bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Name, w.Comment, w.Extra, w.ModTime = "name", "comment", []byte("extra"), time.Unix(1e9, 0)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if flush {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLevels(t *testing.T) {
	p := sampletest.Mixed(1, 1<<20)
	for level := gzip.BestSpeed; level <= gzip.BestCompression; level++ {
		for _, n := range []int{0, 1, 100, 1 << 20} {
			blob := append(gzipped(t, p[:n], level, false), 0, 0)
			r := proves(t, blob)
			if want := fmt.Sprintf("flate level %d, 2 trailing bytes", level); n > 100 && !strings.HasSuffix(r.String(), want) {
				t.Errorf("level %d: got %q", level, r)
			}
		}
	}
}

// proves rebuilds streams as large as this one with several workers too.
func TestLarge(t *testing.T) {
	r := proves(t, gzipped(t, sampletest.Mixed(8, 5<<20), 6, false))
	if want := "flate level 6"; !strings.HasSuffix(r.String(), want) {
		t.Errorf("got %q, want %q at the end", r, want)
	}
}

// pgzipped makes a stream of blocks from the pinned module, as pgzip does.
func pgzipped(t testing.TB, p []byte, level, block int) []byte {
	t.Helper()
	b := bytes.NewBufferString("\x1f\x8b\x08\x00\x00\x09\x6e\x88\x00\xff")
	w, err := flate.NewWriter(b, level)
	if err != nil {
		t.Fatal(err)
	}
	sum, size := crc32.ChecksumIEEE(p), len(p)
	var tail []byte
	for {
		n := min(block, len(p))
		w.ResetDict(b, tail)
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if n < block {
			break
		}
		tail, p = p[n-16384:n], p[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), trailer(sum, int64(size))...)
}

func TestPgzip(t *testing.T) {
	p := sampletest.Mixed(1, 4<<20)
	for _, level := range []int{2, 5, 6} {
		for _, n := range []int{4 << 20, 4<<20 - 1, 3<<20 + 7} {
			r := proves(t, pgzipped(t, p[:n], level, 1<<20))
			// Both eras of level 5 agree on some content.
			if want := fmt.Sprintf("level %d, 1024 KiB blocks", level); !strings.HasSuffix(r.String(), want) {
				t.Errorf("got %q, want %q at the end", r, want)
			}
		}
	}
}

// Hundreds of members, as in an eStargz layer: most flushed before their end.
func TestMembers(t *testing.T) {
	rnd := sampletest.Rand(3)
	var blob []byte
	for i := range 500 {
		blob = append(blob, gzipped(t, sampletest.Mixed(uint64(i), rnd.N(5000)), 6, i%5 > 0)...)
	}
	r := proves(t, blob)
	if want := "flate level 6, 500 members"; !strings.HasSuffix(r.String(), want) {
		t.Errorf("got %q, want %q at the end", r, want)
	}
	if n := len(r.Marshal()); n > 4*500+100 {
		t.Errorf("recipe of %d bytes for 500 members", n)
	}
}

func TestRefused(t *testing.T) {
	good := gzipped(t, sampletest.Mixed(1, 500000), 6, false)
	for name, c := range map[string]struct {
		blob []byte
		want error
	}{
		"empty":    {nil, ErrNotGzip},
		"text":     {[]byte("hello world, this is no gzip"), ErrNotGzip},
		"cut":      {good[:len(good)-1], ErrNotGzip},
		"cut half": {good[:len(good)/2], ErrNotGzip},
		"crc":      {append(bytes.Clone(good[:len(good)-8]), make([]byte, 8)...), ErrNotGzip},
		"tail":     {append(bytes.Clone(good), make([]byte, MaxTrailing+1)...), ErrUnknown},
	} {
		if _, _, err := analyze(c.blob, 1000); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestRebuildRefuses(t *testing.T) {
	r, content, err := analyze(gzipped(t, sampletest.Mixed(1, 500000), 6, false), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := Rebuild(io.Discard, r, bytes.NewReader(content[1:])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short content: got %v", err)
	}
	if err := Rebuild(io.Discard, r, io.MultiReader(bytes.NewReader(content), strings.NewReader("x"))); err == nil {
		t.Error("long content: want an error")
	}
	if err := Rebuild(io.Discard, Recipe{}, strings.NewReader("")); err == nil {
		t.Error("zero recipe: want an error")
	}
	if err := Rebuild(fullDisk{}, r, bytes.NewReader(content)); !errors.Is(err, errDisk) {
		t.Errorf("failing writer: got %v", err)
	}
}

var errDisk = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write(p []byte) (int, error) { return 0, errDisk }

func TestContentWriterFails(t *testing.T) {
	blob := gzipped(t, sampletest.Mixed(1, 500000), 6, false)
	if _, err := Analyze(bytes.NewReader(blob), fullDisk{}); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
}

// A source's own error says nothing of the stream.
func TestStreamReaderFails(t *testing.T) {
	blob := gzipped(t, sampletest.Mixed(1, 500000), 6, false)
	for _, n := range []int{0, 5, 1000, len(blob) - 3} {
		_, err := Analyze(io.MultiReader(bytes.NewReader(blob[:n]), iotest.ErrReader(errDisk)), io.Discard)
		if !errors.Is(err, errDisk) || errors.Is(err, ErrNotGzip) || errors.Is(err, ErrUnknown) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
	}
}

// Of a stream that its encoder makes only at first, just that much content is
// written, and always the same.
func TestWritesWhatIsConfirmed(t *testing.T) {
	p := sampletest.Mixed(5, 6<<20)
	half := len(p) / 2
	blob := gzipped(t, p[:half], 6, false)
	blob = append(blob, gzipped(t, p[half:], 1, false)...) // no recipe has two levels
	_, first, err := analyze(blob, 10000)
	if !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v, want %v", err, ErrUnknown)
	}
	if !bytes.HasPrefix(p, first) || len(first) < half || len(first) > half+2*copySize {
		t.Fatalf("%d bytes of content were written of %d that level 6 makes", len(first), half)
	}
	for range 3 {
		if _, again, _ := analyze(blob, 1<<20); !bytes.Equal(again, first) {
			t.Errorf("%d bytes of content were written, and then %d", len(first), len(again))
		}
	}
}

// Content that starts with what cannot be compressed, or with nothing but
// zeros, comes out the same at many levels; the encoder shows later.
func TestTellsLate(t *testing.T) {
	r := sampletest.Rand(1)
	noise := make([]byte, 600_000)
	for i := range noise {
		noise[i] = byte(r.Next())
	}
	tail := sampletest.Mixed(4, 300_000)
	for _, start := range [][]byte{noise, make([]byte, 600_000)} {
		p := append(bytes.Clone(start), tail...)
		for _, level := range []int{4, 2, 8} {
			if underRace && level != 4 {
				continue
			}
			got := proves(t, gzipped(t, p, level, false))
			if want := fmt.Sprintf("flate level %d", level); !strings.HasSuffix(got.String(), want) {
				t.Errorf("got %q, want %q at the end", got, want)
			}
		}
	}
}
