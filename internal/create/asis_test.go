package create_test

import (
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
)

// unpacked returns what a bundle lists of its bases' gzip blobs.
func unpacked(r *archive.Reader) []manifest.Unpacked {
	var all []manifest.Unpacked
	for _, b := range r.Manifest().Bases {
		all = append(all, b.Unpacked...)
	}
	return all
}

// TestFastBase holds that deltas on a base that was packed as it is are as small
// as on one that was packed small, and so is what is based on these.
func TestFastBase(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 20)
	source := g.image(t)
	fast := []string{packAs(t, kit, 1, source, create.Options{Pack: create.Fast})}
	small := []string{packSmall(t, kit, 1, source)}
	for version := 2; version <= 4; version++ {
		g.next()
		source := g.image(t)
		fast = append(fast, packSmall(t, kit, version, source, fast...))
		small = append(small, packSmall(t, kit, version, source, small...))
		got, want := size(t, fast[version-1]), size(t, small[version-1])
		if got > want+want/20 {
			t.Errorf("version %d takes %d bytes, with a small base %d", version, got, want)
		}
		blobs := checkSmall(t, kit, fast[version-1], source, fast[:version-1]...)
		if list := unpacked(blobs); len(list) != 2 {
			t.Errorf("version %d: unpacked are %v, want the 2 layers of the first version that are all gzip and hold something", version, list)
		}
	}
}
