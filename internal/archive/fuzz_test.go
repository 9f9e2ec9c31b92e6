package archive_test

import (
	"maps"
	"slices"
	"testing"

	"airlock/internal/manifest"
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

// FuzzSpace lets a dishonest signer change the frames and the index of the
// golden bundle: all hashes are listed and signed as they are. Nothing may
// panic, and whatever blob is handed out whole has its digest.
func FuzzSpace(f *testing.F) {
	seeds := 0
	for _, m := range makers() {
		k := newKit(f)
		m.bend(f, k)
		frames, index := k.space()
		if len(frames) < 1<<14 {
			f.Add(frames, bend(k.bendIndex, index))
			seeds++
		}
	}
	if seeds < 100 {
		f.Fatalf("%d seeds", seeds)
	}
	golden := newKit(f)
	f.Fuzz(func(t *testing.T, frames, index []byte) {
		if len(index) == 0 {
			return
		}
		k := *golden
		k.raw = slices.Concat(frames, index)
		k.rawIndex = manifest.Extent{Offset: int64(len(frames)), Size: int64(len(index)), Digest: manifest.DigestOf(index)}
		readAll(t, k.make(t))
	})
}
