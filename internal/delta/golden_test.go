package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var record = flag.Bool("record", false, "write the frames under testdata anew")

// generator gives the golden contents: Marsaglia's xorshift64, written here
// so that no library can change them.
type generator uint64

func (g *generator) next() uint64 {
	x := uint64(*g)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*g = generator(x)
	return x
}

// code looks like an executable: words of which some point elsewhere.
func (g *generator) code(n int) []byte {
	var b []byte
	for len(b) < n {
		b = binary.LittleEndian.AppendUint32(b, uint32(g.next())&0x0f0f3fff)
	}
	return b[:n]
}

// text looks like prose.
func (g *generator) text(n int) []byte {
	words := []string{"release ", "bundle ", "volume ", "block ", "frame ", "recipe ", "base ", "receipt ", "store ", "principal ", "of ", "the ", "a\n"}
	var b []byte
	for len(b) < n {
		b = append(b, words[g.next()%uint64(len(words))]...)
	}
	return b[:n]
}

// goldenContents are contents in the order in which they are encoded. The
// first one finds nothing.
func goldenContents() []goldenContent {
	g := generator(0x9e3779b97f4a7c15)
	base := slices.Concat(g.code(60_000), g.text(20_000), g.code(PageSize))
	moved := slices.Clone(base)
	for i := 0; i < len(moved)-4; i += 4 * int(1+g.next()%30) {
		binary.LittleEndian.PutUint32(moved[i:], binary.LittleEndian.Uint32(moved[i:])+0x1c40)
	}
	again := slices.Concat(base[1<<20:][:200_000], g.text(3000), moved[PageSize-50_000:][:100_000], base[:40_000])
	return []goldenContent{
		{name: "base", bytes: base, sum: "ede4c37a011aa5e013696500a2a8bc6c41696e385324e09b1c9909a3d5ab3ca4", frames: []string{
			"plain",
			"plain",
		}},
		{name: "unchanged", bytes: base, sum: "ede4c37a011aa5e013696500a2a8bc6c41696e385324e09b1c9909a3d5ab3ca4", frames: []string{
			"5f3fb14fa7336ff3f6e9deba86f530e463f1058f7c5a1230ad7d2cb810633867",
			"eaa984a668e5627dd80aca8ed8ac4fcbd75ad021d2c8f273106d2284f1da922f",
		}},
		{name: "moved", bytes: moved, sum: "8ea20bddebb94e17f34bd29c0726aa2ccd8dbf1fcd4da59da18150e8a7506aaf", frames: []string{
			"7b82f4468d90fe48050698ccae8ddc31823fed7acb8f05949395699eb62b586d",
			"ceb838a8ed4840b5cd3bff0773130a16cb858d45f6cee2e28be6fe6f0c3bd3a0",
		}},
		{name: "again", bytes: again, sum: "292c732ffdbd7c647394ffde8e3d364bf9eb971a6a725cec2f283279a0d93de4", frames: []string{
			"42208b711cefab1314210110f3d8869a06f10fcf0459141ddaae87f6a21a5fbe",
		}},
		{name: "news", bytes: append(g.text(150_000), base[:9_000]...), sum: "ad9d36dc28a41f3b5e5662aabf78158c4305c2b6d79d1e0a26fd835dee2d23a2", frames: []string{
			"404a85cb1fb7023daa2a7af499df52920af1a88e598100ba4af55915cc857070",
		}},
	}
}

type goldenContent struct {
	name   string
	bytes  []byte
	frames []string // SHA-256 of each; "plain" for none
	sum    string   // SHA-256 of bytes
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestGolden holds that frames written by the first version of the format
// decode for ever, and that the Encoder writes them still. Should the second
// alone fail, bundles are no longer the same byte for byte as those that the
// release before made: record anew only if that is meant.
func TestGolden(t *testing.T) {
	a := newArchive(t, Limits{MaxPages: 4})
	decoded := 0
	for _, c := range goldenContents() {
		if got := sum(c.bytes); got != c.sum {
			t.Errorf("%s: the content is %s, want %s", c.name, got, c.sum)
		}
		first := a.next
		for i, frame := range a.add(t, c.bytes) {
			if frame == nil {
				if c.frames[i] != "plain" {
					t.Errorf("%s, page %d: stored plainly", c.name, i)
				}
				continue
			}
			name := filepath.Join("testdata", "v1-"+c.name+"-"+string(rune('0'+i))+".frame")
			if *record {
				if err := os.WriteFile(name, frame, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := sum(frame); got != c.frames[i] {
				t.Errorf("%s, page %d: the Encoder writes %s, want %s", c.name, i, got, c.frames[i])
			}
			kept, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := sum(kept); got != c.frames[i] {
				t.Errorf("%s: the file is %s, want %s", name, got, c.frames[i])
			}
			page := a.bytes[first+int64(i)]
			got, err := a.decoder.Decode(kept, len(page), a.pages)
			if err != nil || !bytes.Equal(got, page) {
				t.Errorf("%s: decodes to other bytes, %v", name, err)
			}
			decoded++
		}
	}
	if decoded == 0 {
		t.Error("no golden frames")
	}
}
