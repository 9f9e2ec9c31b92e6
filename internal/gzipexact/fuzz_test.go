package gzipexact

import (
	"bytes"
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

func FuzzParseRecipe(f *testing.F) {
	blob := append(gzipped(f, sampletest.Mixed(1, 1000), 6, false), gzipped(f, nil, 6, true)...)
	r, _, err := analyze(append(blob, 0), 100)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Marshal())
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := ParseRecipe(p)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), p) {
			t.Fatalf("%x was accepted, but is %x", p, r.Marshal())
		}
		if r.Size() > 1<<20 || len(r.members) > 1000 {
			return
		}
		var out bytes.Buffer
		if err := Rebuild(&out, r, bytes.NewReader(make([]byte, r.Size()))); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzAnalyze(f *testing.F) {
	blob := gzipped(f, sampletest.Mixed(1, 1000), 6, false)
	f.Add(blob)
	f.Add(append(bytes.Clone(blob), blob...))
	f.Add(gzipped(f, sampletest.Mixed(2, 300), 1, true))
	f.Add(append(bytes.Clone(blob), 0, 0))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, content, err := analyze(p, 100)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Rebuild(&out, r, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), p) {
			t.Fatalf("%v: rebuilt other bytes", r)
		}
	})
}
