package goflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"os"
	"time"
)

func std(t testing.TB, p []byte, level int, flush bool) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for q := p; len(q) > 0; {
		n := min(32<<10, len(q))
		w.Write(q[:n])
		q = q[n:]
	}
	if flush {
		w.Flush()
	}
	w.Close()
	return b.Bytes()
}

func ours(t testing.TB, p []byte, level int, flush bool) []byte {
	var b bytes.Buffer
	e, err := NewEncoder(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for q := p; len(q) > 0; {
		n := min(1+rand.IntN(100000), len(q))
		e.Write(q[:n])
		q = q[n:]
	}
	e.Close(flush)
	return b.Bytes()
}

func mixed(r *rand.Rand, n int) []byte {
	p := make([]byte, 0, n+1000)
	for len(p) < n {
		k := 1 + r.IntN(600)
		switch r.IntN(6) {
		case 0:
			p = append(p, bytes.Repeat([]byte{byte(r.IntN(3))}, k)...)
		case 1:
			for range k {
				p = append(p, byte(r.Uint32()))
			}
		case 2:
			for range k {
				p = append(p, "etaoin shrdlu\n"[r.IntN(14)])
			}
		case 3, 4:
			if len(p) > 0 {
				from := len(p) - 1 - r.IntN(min(len(p), 1<<r.IntN(18)))
				for i := range k {
					p = append(p, p[from+i])
				}
			}
		case 5:
			for range k / 8 {
				p = append(p, 0, 0, byte(r.IntN(4)), 0, byte(r.Uint32()), 0x48, 0x8b, byte(r.IntN(16)))
			}
		}
	}
	return p[:n]
}

func TestDiff(t *testing.T) {
	if v := runtime.Version(); !strings.HasPrefix(v, "go1.26") {
		t.Skip(v)
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 300 {
		n := r.IntN(1 << (1 + r.IntN(20)))
		p := mixed(r, n)
		for level := -2; level <= 9; level++ {
			if level == -1 {
				continue
			}
			fl := i%2 == 0
			if g, w := ours(t, p, level, fl), std(t, p, level, fl); !bytes.Equal(g, w) {
				k := 0
				for k < len(g) && k < len(w) && g[k] == w[k] {
					k++
				}
				t.Fatalf("seed %d case %d n %d level %d: %d vs %d, differ at %d", seed, i, n, level, len(g), len(w), k)
			}
		}
	}
}

func BenchmarkX(b *testing.B) {
	p, err := os.ReadFile("/tmp/airlock/gzipexact/mix.tar")
	if err != nil {
		b.Skip(err)
	}
	for _, level := range []int{6} {
		b.Run(fmt.Sprint("ours/", level), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for range b.N {
				e, _ := NewEncoder(discard{}, level)
				e.Write(p)
				e.Close(false)
			}
		})
		b.Run(fmt.Sprint("std/", level), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for range b.N {
				e, _ := flate.NewWriter(discard{}, level)
				e.Write(p)
				e.Close()
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
