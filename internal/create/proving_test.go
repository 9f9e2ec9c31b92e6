package create_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
)

// TestProvenWhilePacked holds that layers are packed right whose contents turn
// out, while they are packed, to be there already, to be another than they
// began as, or to have no recipe; and that the bundle is always the same.
func TestProvenWhilePacked(t *testing.T) {
	kit := bundletest.NewKit(t)
	content := newGeneration(5 << 20).content
	other := bytes.Clone(content)
	for at := 3 << 20; at < len(other); at += 4096 {
		other[at]++
	}
	// No recipe has two levels, which shows behind 6 MiB. Of what was packed until
	// then more is to be dropped than the layer takes as it is.
	late := func(p []byte) []byte { return append(zip(t, 6, p[:6<<20]), zip(t, 1, p[6<<20:])...) }
	unproven := hex.AppendEncode(nil, hex.AppendEncode(nil, newGeneration(3 << 20).content[1<<20:]))
	layers := [][]byte{
		late(unproven), zip(t, 6, content), zip(t, 9, content), zip(t, 6, other),
		late(append(bytes.Clone(content), other...)), zip(t, 6, unproven[:7<<20]), zip(t, 6, unproven[:3<<20]),
	}
	recipes := []string{"as it is", "level 6", "level 9", "level 6", "as it is", "level 6", "level 6"}
	inOrder(layers)
	source := imageOf(t, layers...)
	dir := packSmall(t, kit, 1, source)
	packed := map[manifest.Digest]int64{}
	for _, p := range checkSmall(t, kit, dir, source).Packings() {
		packed[p.Digest] = p.Packed
		for i, data := range layers {
			if p.Digest == manifest.DigestOf(data) && !strings.Contains(p.Recipe, recipes[i]) {
				t.Errorf("layer %d is packed as %s, want %s", i, p.Recipe, recipes[i])
			}
		}
	}
	of := func(i int) int64 { return packed[manifest.DigestOf(layers[i])] }
	if of(1) != of(2) {
		t.Errorf("one content takes %d bytes and %d", of(1), of(2))
	}
	if of(3) > of(1)/10 {
		t.Errorf("a content that differs little takes %d bytes, the one before %d", of(3), of(1))
	}
	if least := int64(len(layers[5])) / 3; of(5) < least {
		t.Errorf("a content takes %d bytes, less than %d: what it copied was not kept", of(5), least)
	}
	if most := of(5) / 10; of(6) > most {
		t.Errorf("a content that is part of another takes %d bytes, want at most %d", of(6), most)
	}
	if testing.Short() {
		return // a second run takes a minute under the race detector; the run without -short has it
	}
	checkSame(t, dir, packSmall(t, kit, 1, source))
}

// inOrder appends zeros to blobs so that they are packed in their order, which
// is that of their digests.
func inOrder(blobs [][]byte) {
	for i, data := range blobs {
		for d := manifest.DigestOf(data); int(d[0])*len(blobs)/256 != i; d = manifest.DigestOf(data) {
			data = append(data, 0)
		}
		blobs[i] = data
	}
}
