package archive_test

import (
	"maps"
	"slices"
	"testing"
)

// FuzzBundle changes one file of the golden bundle. Nothing may panic, and
// whatever blob is handed out whole has its digest (readAll). Only signature
// files may change without the bundle being refused.
func FuzzBundle(f *testing.F) {
	golden := goldenFiles(f)
	names := slices.Sorted(maps.Keys(golden))
	for i, name := range names {
		f.Add(uint8(i), golden[name])
		f.Add(uint8(i), golden[name][:len(golden[name])-1])
	}
	seeds := 2 * len(names)
	for _, v := range readVectors(f) {
		for i, name := range names {
			if data := v.files[name]; len(data) < 1<<16 && !slices.Equal(data, golden[name]) {
				f.Add(uint8(i), data)
				seeds++
			}
		}
	}
	if seeds < 200 {
		f.Fatalf("%d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		files := maps.Clone(golden)
		name := names[int(which)%len(names)]
		files[name] = data
		err := readAll(t, files)
		if same := slices.Equal(data, golden[name]); (err == nil) != same {
			t.Errorf("%s is as it was: %t, yet %v", name, same, err)
		}
	})
}

// FuzzSpace lets a dishonest signer change the space and the manifest of the
// golden bundle: everything is signed and listed rightly. Nothing may panic,
// and whatever blob is handed out whole has its digest.
func FuzzSpace(f *testing.F) {
	seeds := 0
	for _, m := range makers() {
		k := newKit(f)
		m.bend(f, k)
		k.sign = func([]byte) map[string][]byte { return nil }
		files := k.make(f)
		if len(files[vol0]) > 1<<14 || len(files["manifest.json"]) > 1<<14 {
			continue
		}
		f.Add(files[vol0], files["manifest.json"])
		seeds++
	}
	if seeds < 100 {
		f.Fatalf("%d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, space, text []byte) {
		k := newKit(t)
		k.raw = space
		if len(space) == 0 {
			return
		}
		k.bendText = func(string) string { return string(text) }
		readAll(t, k.make(t))
	})
}
