package goflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"airlock/internal/gzipexact/sampletest"
	"airlock/internal/gzipexact/segmented"
)

// frozenToolchain skips the test where compress/flate is not the encoder that
// this package reproduces.
func frozenToolchain(t testing.TB) {
	t.Helper()
	m := regexp.MustCompile(`^go1\.(\d+)`).FindStringSubmatch(runtime.Version())
	if m == nil {
		t.Skipf("compress/flate of %q is not known; the golden hashes hold the encoder", runtime.Version())
	}
	if minor, err := strconv.Atoi(m[1]); err != nil || minor > 26 {
		t.Skipf("compress/flate of %s is another encoder; the golden hashes hold this one", runtime.Version())
	}
}

var allLevels = []int{-2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// theirs is what the toolchain's encoder makes of p.
func theirs(t testing.TB, p []byte, level int, flushed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := min(32<<10, len(p))
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if flushed {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// feed writes p in pieces of changing size.
func feed(t testing.TB, e *Encoder, p []byte, seed uint64) {
	t.Helper()
	r := sampletest.Rand(seed)
	for len(p) > 0 {
		n := min(1+r.N(1<<r.N(18)), len(p))
		if _, err := e.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
}

// same compares both encoders on p; e is used again and again.
func same(t testing.TB, e *Encoder, p []byte, level int, flushed bool) {
	t.Helper()
	var b bytes.Buffer
	e.Reset(&b)
	feed(t, e, p, uint64(len(p)))
	if err := e.Close(flushed); err != nil {
		t.Fatal(err)
	}
	want := theirs(t, p, level, flushed)
	if bytes.Equal(b.Bytes(), want) {
		return
	}
	n := 0
	for n < min(b.Len(), len(want)) && b.Bytes()[n] == want[n] {
		n++
	}
	t.Fatalf("level %d, %d bytes of content: got %d bytes, want %d, they differ from byte %d on",
		level, len(p), b.Len(), len(want), n)
}

func TestSameAsToolchain(t *testing.T) {
	frozenToolchain(t)
	levels := allLevels
	if testing.Short() {
		levels = []int{1, 6}
	}
	for _, level := range levels {
		e, err := NewEncoder(nil, level)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range sampletest.All() {
			same(t, e, p, level, i%2 == 0)
		}
		for seed := range uint64(15) {
			r := sampletest.Rand(seed)
			same(t, e, sampletest.Mixed(seed<<32, r.N(1<<(1+r.N(20)))), level, false)
		}
	}
}

// A stream is the same whatever was encoded before it, also once positions
// have been renumbered.
func TestRenumbered(t *testing.T) {
	frozenToolchain(t)
	p := sampletest.Mixed(5, 500000)
	for _, level := range []int{1, 2, 6} {
		e, err := NewEncoder(nil, level)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		e.Reset(&b)
		feed(t, e, p[:200000], 1)
		switch z := e.body.(type) {
		case *fast:
			from := z.base
			z.base = rebaseAt - 1000
			rebase(z.table[:], from, z.base)
		case *greedy:
			from := z.origin
			z.origin = (rebaseAt - 1) &^ (period - 1)
			rebase(z.head[:], from, z.origin)
			rebase(z.prev[:], from, z.origin)
		}
		feed(t, e, p[200000:], 2)
		if err := e.Close(false); err != nil {
			t.Fatal(err)
		}
		if want := theirs(t, p, level, false); !bytes.Equal(b.Bytes(), want) {
			t.Errorf("level %d: got %d bytes, want %d others", level, b.Len(), len(want))
		}
	}
}

// All workers together make what one Encoder makes.
func TestParallel(t *testing.T) {
	contents := append(sampletest.All(),
		sampletest.Mixed(200, 9_000_000), make([]byte, 5_000_000),
		bytes.Repeat(sampletest.Mixed(1, 70), 100_000), bytes.Repeat(sampletest.Mixed(2, 40000), 150),
		sampletest.Mixed(300, 3*segmented.Size), sampletest.Mixed(301, segmented.Size+segmented.Overlap+lookAhead),
		sampletest.Mixed(302, 2*segmented.Size+segmented.Overlap+lookAhead-1))
	levels, workerCounts := []int{4, 6}, []int{1, 3}
	if testing.Short() {
		contents, levels, workerCounts = contents[len(contents)-3:], levels[1:], workerCounts[1:]
	}
	for _, level := range levels {
		for _, workers := range workerCounts {
			p, err := NewParallel(nil, level, workers)
			if err != nil {
				t.Fatal(err)
			}
			e, err := NewEncoder(nil, level)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range contents {
				var got, want bytes.Buffer
				p.Reset(&got)
				e.Reset(&want)
				for q := c; len(q) > 0; {
					n := min(len(q), 100000+i)
					if _, err := p.Write(q[:n]); err != nil {
						t.Fatal(err)
					}
					q = q[n:]
				}
				feed(t, e, c, 1)
				if err := errors.Join(p.Close(i%2 == 0), e.Close(i%2 == 0)); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want.Bytes()) {
					t.Errorf("level %d, %d workers, content %d of %d bytes: got %d bytes, want %d others",
						level, workers, i, len(c), got.Len(), want.Len())
				}
			}
		}
	}
}

// Where the window begins follows from the position alone.
func TestBaseAt(t *testing.T) {
	r := sampletest.Rand(1)
	for _, size := range []int{1000, 65275, 65276, 65536, 65537, 98304, 98305, 200000, 262144, 262145} {
		for range 20 {
			w := window{end: size}
			for pos := 0; pos < size; pos += 1 + r.N(258) {
				w.slide(pos)
				if got := baseAt(pos, size); got != w.base {
					t.Fatalf("position %d of %d: got %d, want %d", pos, size, got, w.base)
				}
			}
		}
	}
}

func TestLevelRefused(t *testing.T) {
	for _, level := range []int{-3, -1, 10} {
		if _, err := NewEncoder(nil, level); err == nil {
			t.Errorf("level %d: want an error", level)
		}
	}
}

func FuzzSameAsToolchain(f *testing.F) {
	frozenToolchain(f)
	f.Add([]byte("abcabcabcabcabcabc"), uint16(20), int8(6))
	f.Add([]byte{0}, uint16(60000), int8(1))
	f.Fuzz(func(t *testing.T, p []byte, repeat uint16, level int8) {
		l := allLevels[int(uint8(level))%len(allLevels)]
		p = bytes.Repeat(p, 1+int(repeat)%(1+400000/(1+len(p))))
		e, err := NewEncoder(nil, l)
		if err != nil {
			t.Fatal(err)
		}
		same(t, e, p, l, repeat%2 == 0)
	})
}
