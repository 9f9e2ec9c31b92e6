package zlibflate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

// tool returns the path of a real tool, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatalf("%s is required: %v", name, err)
	}
	t.Skipf("%s is not installed: %v", name, err)
	return ""
}

// script compresses what it is sent, one piece after the other.
const script = `
import sys, zlib, struct
i, o = sys.stdin.buffer, sys.stdout.buffer
while True:
    h = i.read(12)
    if not h: break
    level, mem, flush, n = struct.unpack("<BBHQ", h)
    p = i.read(n)
    c = zlib.compressobj(level, zlib.DEFLATED, -15, mem)
    d = c.compress(p)
    if flush: d += c.flush(zlib.Z_SYNC_FLUSH)
    d += c.flush()
    o.write(struct.pack("<Q", len(d)) + d)
    o.flush()
`

// A realZlib is the zlib of the system's Python.
type realZlib struct {
	in  *bufio.Writer
	out *bufio.Reader
}

func newRealZlib(t testing.TB) *realZlib {
	t.Helper()
	cmd := exec.Command(tool(t, "python3"), "-c", script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &realZlib{bufio.NewWriter(in), bufio.NewReader(out)}
}

func (z *realZlib) deflate(t testing.TB, p []byte, v Variant, level int, flushed bool) []byte {
	t.Helper()
	mem := map[Variant]byte{Zlib8: 8, Zlib9: 9}[v]
	h := []byte{byte(level), mem, 0, 0}
	if flushed {
		h[2] = 1
	}
	h = binary.LittleEndian.AppendUint64(h, uint64(len(p)))
	_, _ = z.in.Write(h)
	_, _ = z.in.Write(p)
	if err := z.in.Flush(); err != nil {
		t.Fatal(err)
	}
	var size [8]byte
	if _, err := io.ReadFull(z.out, size[:]); err != nil {
		t.Fatal(err)
	}
	d := make([]byte, binary.LittleEndian.Uint64(size[:]))
	if _, err := io.ReadFull(z.out, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// feed writes p in pieces of changing size.
func feed(t testing.TB, e io.Writer, p []byte, seed uint64) {
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

// encode makes a stream with an encoder that is used again and again.
func encode(t testing.TB, e *Encoder, p []byte, flushed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	e.Reset(&b)
	feed(t, e, p, uint64(len(p)))
	if err := e.Close(flushed); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func same(t testing.TB, got, want []byte, what string) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	t.Fatalf("%s: got %d bytes, want %d, they differ from byte %d on", what, len(got), len(want), n)
}

func contents(n int) [][]byte {
	all := sampletest.All()
	for seed := range uint64(n) {
		r := sampletest.Rand(seed)
		all = append(all, sampletest.Mixed(seed<<32, r.N(1<<(1+r.N(20)))))
	}
	// Ends at which the window moves, or just does not.
	mixed := sampletest.Mixed(3, 200_000)
	for _, at := range []int{65274, 65275, 65276, 65300, 65536, 65537, 98042, 98043, 98044, 98304, 98305} {
		all = append(all, mixed[:at])
	}
	// The same where blocks are stored.
	return append(all, noise(65400), noise(3*half+65400))
}

func TestSameAsZlib(t *testing.T) {
	real := newRealZlib(t)
	all := contents(15)
	for _, v := range []Variant{Zlib8, Zlib9} {
		for level := 1; level <= 9; level++ {
			e, err := NewEncoder(nil, v, level)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range all {
				if level > 7 && len(p) > 300_001 && i%2 == 0 || underRace && i%27 != level-1 {
					continue
				}
				flushed := i%2 == 0
				same(t, encode(t, e, p, flushed), real.deflate(t, p, v, level, flushed),
					fmt.Sprintf("variant %d, level %d, content %d of %d bytes", v, level, i, len(p)))
			}
		}
	}
}

func FuzzParallel(f *testing.F) {
	f.Add([]byte("abcabcabcabcabcabc"), uint16(20), uint32(65280), byte(6))
	f.Add([]byte{0}, uint16(60000), uint32(2<<20), byte(3))
	f.Fuzz(func(t *testing.T, p []byte, repeat uint16, size uint32, kind byte) {
		if len(p) == 0 {
			return
		}
		p = bytes.Repeat(p, 1+int(repeat)%(1+400000/len(p)))
		for len(p) < int(size)%(1<<21+1<<17) {
			p = append(p, p...)
		}
		p = p[:min(len(p), int(size)%(1<<21+1<<17))]
		v, level := Variant(1+kind%3), 4+int(kind/3)%6
		e, err := NewEncoder(nil, v, level)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		par, err := NewParallel(&b, v, level, 2)
		if err != nil {
			t.Fatal(err)
		}
		feed(t, par, p, 1)
		if err := par.Close(false); err != nil {
			t.Fatal(err)
		}
		same(t, b.Bytes(), encode(t, e, p, false), fmt.Sprintf("variant %d, level %d, %d bytes", v, level, len(p)))
	})
}

// Whatever is fed, zlib makes the same of it.
func FuzzSameAsZlib(f *testing.F) {
	real := newRealZlib(f)
	f.Add([]byte("abcabcabcabcabcabc"), uint16(20), byte(6))
	f.Add([]byte{0}, uint16(60000), byte(1))
	f.Fuzz(func(t *testing.T, p []byte, repeat uint16, kind byte) {
		p = bytes.Repeat(p, 1+int(repeat)%(1+400000/(1+len(p))))
		v, level, flushed := Zlib8+Variant(kind&1), 1+int(kind>>1)%9, kind&64 != 0
		e, err := NewEncoder(nil, v, level)
		if err != nil {
			t.Fatal(err)
		}
		same(t, encode(t, e, p, flushed), real.deflate(t, p, v, level, flushed),
			fmt.Sprintf("variant %d, level %d, %d bytes", v, level, len(p)))
	})
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		v     Variant
		level int
	}{{0, 6}, {GNU + 1, 6}, {Zlib8, 0}, {Zlib8, 10}} {
		if _, err := NewEncoder(nil, c.v, c.level); err == nil {
			t.Errorf("variant %d, level %d: want an error", c.v, c.level)
		}
	}
	if _, err := NewParallel(nil, Zlib8, lastFast, 1); err == nil {
		t.Errorf("several workers of level %d: want an error", lastFast)
	}
	e, err := NewEncoder(io.Discard, GNU, 6)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(true); !errors.Is(err, ErrNeverFlushed) {
		t.Errorf("got %v", err)
	}
}
