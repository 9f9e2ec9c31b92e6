package gunzip

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"

	"airlock/internal/gzipexact"
	"airlock/internal/gzipexact/sampletest"
)

func zip(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFile reads pages in any order, with room for few points and for many.
func TestFile(t *testing.T) {
	content := bytes.Join([][]byte{sampletest.Mixed(1, 7<<20), make([]byte, 20<<20), sampletest.Mixed(2, 5<<20+77)}, nil)
	stream := append(zip(t, content[:9<<20]), zip(t, content[9<<20:])...)
	for _, most := range []int{1, 5, 1000} {
		points := NewPoints(most)
		files := []*File{NewFile(bytes.NewReader(stream), int64(len(stream)), points), NewFile(bytes.NewReader(stream), int64(len(stream)), points)}
		rng := rand.New(rand.NewPCG(1, uint64(most)))
		for i := range 25 {
			off := rng.Int64N(int64(len(content))/Step+1) * Step
			p := make([]byte, Step+rng.IntN(3))
			want := content[off:min(len(content), int(off)+len(p))]
			n, err := files[i%2].ReadAt(p, off)
			if !bytes.Equal(p[:n], want) || n < len(p) && err != io.EOF || n == len(p) && err != nil {
				t.Fatalf("room for %d: at %d: %d bytes of %d: %v", most, off, n, len(want), err)
			}
			kept := len(files[0].at) + len(files[1].at)
			if kept > most || kept != points.count {
				t.Fatalf("%d points are kept and %d counted, %d are allowed", kept, points.count, most)
			}
		}
		if n, err := files[0].ReadAt(make([]byte, 1), int64(len(content))); n > 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
}

// TestFileGoesOnFromPoints holds that content in front of the nearest point is not inflated again.
func TestFileGoesOnFromPoints(t *testing.T) {
	content := sampletest.Mixed(1, 3*Step)
	stream := zip(t, content)
	counted := &counting{Reader: bytes.NewReader(stream)}
	f := NewFile(counted, int64(len(stream)), NewPoints(10))
	if _, err := f.ReadAt(make([]byte, 10), 2*Step+5); err != nil {
		t.Fatal(err)
	}
	counted.bytes = 0
	if _, err := f.ReadAt(make([]byte, 10), 2*Step+5); err != nil || counted.bytes > 4*gzipexact.ReadSize {
		t.Errorf("read %d bytes again: %v", counted.bytes, err)
	}
}

// TestFileGoesOnWhereItWas holds that pages that are read one behind the other
// are inflated once, however far apart the places are that are kept for long.
func TestFileGoesOnWhereItWas(t *testing.T) {
	stream := zip(t, sampletest.Mixed(1, 5*Step))
	counted := &counting{Reader: bytes.NewReader(stream)}
	points := NewPoints(10)
	points.every = 8
	f := NewFile(counted, int64(len(stream)), points)
	page := make([]byte, Step)
	for at := int64(0); at < 5; at++ {
		counted.bytes = 0
		if _, err := f.ReadAt(page, at*Step); err != nil || counted.bytes > len(stream)/4+4*gzipexact.ReadSize {
			t.Errorf("page %d takes %d bytes of %d: %v", at, counted.bytes, len(stream), err)
		}
	}
}

type counting struct {
	*bytes.Reader
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.bytes += n
	return n, err
}

// TestFileRefuses holds that damage is found on the way to what is read.
func TestFileRefuses(t *testing.T) {
	stream := zip(t, sampletest.Mixed(1, 3*Step))
	for what, c := range map[string]struct {
		stream io.ReaderAt
		want   error
	}{
		"cut":                {bytes.NewReader(stream[:len(stream)/2]), gzipexact.ErrNotGzip},
		"text":               {bytes.NewReader([]byte("no gzip at all, but long enough")), gzipexact.ErrNotGzip},
		"failing":            {failing{nil}, io.ErrClosedPipe},
		"failing on the way": {failing{stream[:len(stream)/2]}, io.ErrClosedPipe},
	} {
		f := NewFile(c.stream, int64(len(stream)), NewPoints(10))
		for range 2 {
			n, err := f.ReadAt(make([]byte, 10), 2*Step+Step/2)
			if n > 0 || !errors.Is(err, c.want) || errors.Is(err, gzipexact.ErrNotGzip) != (c.want == gzipexact.ErrNotGzip) {
				t.Errorf("%s: %d bytes, %v", what, n, err)
			}
		}
	}
}

// failing fails behind its bytes.
type failing struct{ bytes []byte }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, f.bytes[min(off, int64(len(f.bytes))):])
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}
