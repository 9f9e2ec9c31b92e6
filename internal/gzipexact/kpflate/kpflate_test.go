package kpflate

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/flate"

	"airlock/internal/gzipexact/sampletest"
)

// theirs is what the module in go.mod makes of p, at level 5.
func theirs(t testing.TB, p, dict []byte, flushed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 5)
	if err != nil {
		t.Fatal(err)
	}
	w.ResetDict(&b, dict)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
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

func encode(t testing.TB, e *Encoder, p, dict []byte, flushed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	e.ResetDict(&b, dict)
	r := sampletest.Rand(len(p))
	for len(p) > 0 {
		n := min(1+r.N(1<<r.N(18)), len(p))
		if _, err := e.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if err := e.Close(flushed); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSameAsModule(t *testing.T) {
	e := NewEncoder(nil, Era1_18)
	check := func(p, dict []byte, flushed bool) {
		t.Helper()
		if got, want := encode(t, e, p, dict, flushed), theirs(t, p, dict, flushed); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of content, %d of dictionary: got %d bytes, want %d others",
				len(p), len(dict), len(got), len(want))
		}
	}
	for i, p := range sampletest.All() {
		check(p, nil, i%2 == 0)
		check(p, sampletest.Mixed(9, 16<<10), i%2 == 1)
	}
	for seed := range uint64(300) {
		r := sampletest.Rand(seed)
		check(sampletest.Mixed(seed<<32, r.N(1<<(1+r.N(20)))), sampletest.Mixed(seed, r.N(20000)), seed%2 == 0)
	}
}

// The eras share all matches; they differ in what headers of blocks describe.
func TestErasDiffer(t *testing.T) {
	p := make([]byte, 200000)
	r := sampletest.Rand(1)
	for i := range p {
		p[i] = "aaaabc"[r.N(6)] // has no match of 258 bytes
	}
	a := encode(t, NewEncoder(nil, Era1_15), p, nil, false)
	b := encode(t, NewEncoder(nil, Era1_18), p, nil, false)
	if bytes.Equal(a, b) {
		t.Fatal("both eras gave the same bytes")
	}
}

func TestRenumbered(t *testing.T) {
	p := sampletest.Mixed(5, 500000)
	e := NewEncoder(nil, Era1_18)
	var b bytes.Buffer
	e.Reset(&b)
	if _, err := e.Write(p[:200000]); err != nil {
		t.Fatal(err)
	}
	m := &e.match
	up := uint32(rebaseAt - 1000 - m.base)
	for i := range m.short {
		m.short[i] += up
		m.long[i][0] += up
		m.long[i][1] += up
	}
	m.base += up
	for q := p[200000:]; len(q) > 0; q = q[min(30000, len(q)):] {
		if _, err := e.Write(q[:min(30000, len(q))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(false); err != nil {
		t.Fatal(err)
	}
	if m.base >= rebaseAt-1000 {
		t.Error("positions were not renumbered")
	}
	if want := theirs(t, p, nil, false); !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got %d bytes, want %d others", b.Len(), len(want))
	}
}

func FuzzSameAsModule(f *testing.F) {
	f.Add([]byte("abcabcabcabcabcabc"), uint16(20), []byte("bcabc"))
	f.Fuzz(func(t *testing.T, p []byte, repeat uint16, dict []byte) {
		p = bytes.Repeat(p, 1+int(repeat)%(1+400000/(1+len(p))))
		dict = dict[:min(len(dict), 32<<10)]
		got := encode(t, NewEncoder(nil, Era1_18), p, dict, repeat%2 == 0)
		if want := theirs(t, p, dict, repeat%2 == 0); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d others", len(got), len(want))
		}
	})
}
