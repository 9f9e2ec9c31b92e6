package volume_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// place is files in memory that can be read back.
type place struct{ bundletest.Files }

func (p place) Open(name string) (io.ReaderAt, error) {
	f, err := p.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	return f.(io.ReaderAt), nil
}

// protected is a bundle with parity.
type protected struct {
	files  fstest.MapFS
	v      *manifest.Verified
	space  []byte
	parity *manifest.Parity
}

// protect writes a space with parity, computed behind the volumes or on the way.
func protect(t testing.TB, size int64, space []byte, percent int, onTheWay bool) *protected {
	t.Helper()
	return protectWith(t, size, space, volume.Protection{Percent: percent}, onTheWay)
}

func protectWith(t testing.TB, size int64, space []byte, parity volume.Protection, onTheWay bool) *protected {
	t.Helper()
	files := newFiles()
	layout := volume.Layout{Stem: "shop-1.0", Size: size}
	w, err := volume.NewWriter(layout, files.Create)
	must(t, err)
	if onTheWay {
		must(t, w.Protect(parity, int64(len(space))))
	} else {
		w.KeepChecks()
	}
	_, err = w.Write(space)
	must(t, err)
	set, err := w.Close()
	must(t, err)
	if !onTheWay {
		must(t, set.Protect(t.Context(), layout, parity, place{files}, progress.Discard))
	}
	v := seal(t, files, set, space)
	return &protected{files.MapFS, v, space, set.Parity}
}

// blocks returns how many blocks the volumes have, and all files.
func (p *protected) blocks() (data, all int64) {
	data = volume.BlocksPer(int64(len(p.space)))
	return data, data + p.parity.Total(data)
}

// without opens the bundle on a medium on which some blocks are bad: they
// cannot be read, are cut short or have a wrong bit, in turn.
func (p *protected) without(t testing.TB, bad ...int64) *volume.Reader {
	t.Helper()
	lost := map[int64]bool{}
	for _, number := range bad {
		lost[number] = true
	}
	first := map[string]int64{}
	var next int64
	for _, f := range p.v.Manifest().Large() {
		first[f.Name] = next
		next += volume.BlocksPer(f.Size)
	}
	r, err := volume.NewHurtReader(p.v, badFS{p.files, func(name string, b []byte, off int64, n int, err error) (int, error) {
		number := first[name] + off/block
		switch {
		case !lost[number]:
			return n, err
		case number%3 == 0:
			return 0, errors.New("input/output error")
		case number%3 == 1:
			return n / 2, io.ErrUnexpectedEOF
		}
		b[n-1] ^= 1
		return n, err
	}})
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// TestParityErasures loses random blocks, up to as many of every stripe as
// there is parity, and reads everything.
func TestParityErasures(t *testing.T) {
	for name, p := range map[string]*protected{
		"behind":     protect(t, 8*block, pattern(33*block+77), 50, false),
		"on the way": protect(t, 8*block, pattern(101*block+1), 50, true),
		"one block":  protect(t, 8*block, pattern(5), 5, false),
		"three":      protect(t, 8*block, pattern(3*block), 1, true),
		"all again":  protect(t, 4*block, pattern(13*block-1), 100, false),
	} {
		data, all := p.blocks()
		random := rand.New(rand.NewPCG(uint64(len(name)), 2))
		for range 2 {
			stripes := map[int64]int64{}
			var bad []int64
			for _, i := range random.Perm(int(all)) {
				if s := stripeOf(p.parity, data, int64(i)); stripes[s] < p.parity.Blocks {
					stripes[s]++
					bad = append(bad, int64(i))
				}
			}
			mends(t, name, p, bad)
		}
	}
}

// stripeOf is FORMAT.md's rule, by itself.
func stripeOf(p *manifest.Parity, data, number int64) int64 {
	if number < data {
		group, inside := number/(p.Data*p.Stripes), number%(p.Data*p.Stripes)
		return group*p.Stripes + inside%p.Stripes
	}
	number -= data
	group, inside := number/(p.Blocks*p.Stripes), number%(p.Blocks*p.Stripes)
	return group*p.Stripes + inside%p.Stripes
}

// mends holds that with these blocks lost everything is read as it was, that
// it is told, and that a repair makes just these blocks.
func mends(t *testing.T, what string, p *protected, bad []int64) {
	t.Helper()
	r := p.without(t, bad...)
	got := make([]byte, len(p.space))
	if n, err := r.ReadAt(got, 0); n != len(got) || (err != nil && err != io.EOF) || !bytes.Equal(got, p.space) {
		t.Errorf("%s without %v: %d bytes, %v", what, bad, n, err)
	}
	data, _ := p.blocks()
	lost := 0
	for _, number := range bad {
		if number < data {
			lost++
		}
	}
	if told := len(r.Repaired()); told != lost {
		t.Errorf("%s without %v: %d repaired blocks are told of, want %d", what, bad, told, lost)
	}
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	if !d.Any() || !d.Mendable() || len(d.Bad) != len(bad) || !errors.Is(d, volume.ErrDamaged) {
		t.Errorf("%s without %v: surveyed %+v", what, bad, d)
	}
	made := map[int64]bool{}
	must(t, r.Mend(t.Context(), d, progress.Discard, func(b volume.Block, data []byte) error {
		made[b.Number] = true
		want := p.files[b.File].Data[b.Index*block:]
		if !bytes.Equal(data, want[:min(block, len(want))]) {
			t.Errorf("%s: %s is made otherwise than it was", what, b)
		}
		return nil
	}))
	if len(made) != len(bad) {
		t.Errorf("%s without %v: %d blocks are made", what, bad, len(made))
	}
}

// TestParityBursts loses every run of blocks as long as can be mended.
func TestParityBursts(t *testing.T) {
	p := protect(t, 8*block, pattern(33*block+77), 50, false)
	data, _ := p.blocks()
	longest := p.parity.Blocks * p.parity.Stripes
	if p.parity.Stripes < 2 {
		t.Fatalf("stripes are not interleaved: %+v", p.parity)
	}
	for from := int64(0); from+longest <= data; from += 4 {
		var bad []int64
		for i := range longest {
			bad = append(bad, from+i)
		}
		mends(t, "a burst", p, bad)
	}
}

// TestBeyondParity loses a block more of one stripe than can be mended: other
// stripes are read, this one is not, and what is lost is named.
func TestBeyondParity(t *testing.T) {
	p := protect(t, 8*block, pattern(33*block+77), 50, false)
	data, _ := p.blocks()
	var bad []int64
	for number := int64(1); number < data && int64(len(bad)) <= p.parity.Blocks; number += p.parity.Stripes {
		bad = append(bad, number)
	}
	bad = append(bad, 0)
	r := p.without(t, bad...)
	b := make([]byte, block)
	if _, err := r.ReadAt(b, 0); err != nil || !bytes.Equal(b, p.space[:block]) {
		t.Errorf("block 0 of another stripe: %v", err)
	}
	n, err := r.ReadAt(b, block)
	if n != 0 || !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("%d, %v", n, err)
	}
	for _, number := range bad[:p.parity.Blocks+1] {
		if name := fmt.Sprintf("block %d of shop-1.0.%03d.vol", number%8, number/8); !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	if d.Repairable() || int64(len(d.Lost)) != p.parity.Blocks+1 || len(d.Bad) != len(bad) {
		t.Errorf("lost %v of %v", d.Lost, d.Bad)
	}
	err = r.Mend(t.Context(), d, progress.Discard, func(volume.Block, []byte) error {
		t.Error("a block is written though others are lost")
		return nil
	})
	if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), "cannot be made again") {
		t.Errorf("mending: %v", err)
	}
	// With one of them from elsewhere the rest can be mended.
	r.Supply(func(number int64, data []byte) bool {
		copy(data, p.space[number*block:])
		return number == bad[0]
	})
	if n, err := r.ReadAt(b, bad[1]*block); n != block || err != nil || !bytes.Equal(b, p.space[bad[1]*block:][:block]) {
		t.Errorf("with one block supplied: %d, %v", n, err)
	}
}

// TestLostFiles removes and cuts whole files.
func TestLostFiles(t *testing.T) {
	p := protect(t, 8*block, pattern(33*block+77), 50, false)
	for name, bend := range map[string]func(fstest.MapFS){
		"a volume":        func(f fstest.MapFS) { delete(f, "shop-1.0.001.vol") },
		"the last volume": func(f fstest.MapFS) { delete(f, "shop-1.0.004.vol") },
		"a short volume": func(f fstest.MapFS) {
			f["shop-1.0.002.vol"] = &fstest.MapFile{Data: f["shop-1.0.002.vol"].Data[:block+3]}
		},
		"a longer volume": func(f fstest.MapFS) {
			f["shop-1.0.002.vol"] = &fstest.MapFile{Data: append(bytes.Clone(f["shop-1.0.002.vol"].Data), 1)}
		},
		"a parity file": func(f fstest.MapFS) { delete(f, p.parity.Files[1].Name) },
		"all parity files": func(f fstest.MapFS) {
			for _, file := range p.parity.Files {
				delete(f, file.Name)
			}
		},
	} {
		files := fstest.MapFS{}
		for name, file := range p.files {
			files[name] = file
		}
		bend(files)
		r := open(t, p.v, files)
		got := make([]byte, len(p.space))
		if n, err := r.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, p.space) {
			t.Errorf("without %s: %d bytes, %v", name, n, err)
		}
		err := r.Verify(t.Context(), progress.Discard, func([]byte) error { return nil })
		damage := (*volume.Damage)(nil)
		if !errors.As(err, &damage) || !damage.Mendable() || len(damage.Files)+len(damage.Cut) == 0 {
			t.Errorf("without %s, verified: %v", name, err)
		}
	}
}

// TestParityIsTheSame holds that parity does not depend on timing, and that
// no parity means no change.
func TestParityIsTheSame(t *testing.T) {
	space := pattern(33*block + 77)
	for _, onTheWay := range []bool{false, true} {
		one, two := protect(t, 8*block, space, 20, onTheWay), protect(t, 8*block, space, 20, onTheWay)
		for _, f := range one.v.Manifest().Large() {
			equal(t, f.Name, two.files[f.Name].Data, one.files[f.Name].Data)
		}
		equal(t, "blocks.bin", two.files["blocks.bin"].Data, one.files["blocks.bin"].Data)
		bare := newFiles()
		set := write(t, bare, 8*block, space, 0)
		equal(t, "the volumes' part of blocks.bin", one.files["blocks.bin"].Data[:len(set.Blocks)], set.Blocks)
	}
}

// TestParityGolden holds the bytes of parity to what they have always been,
// and to FORMAT.md's rule, computed byte by byte.
func TestParityGolden(t *testing.T) {
	for onTheWay, want := range map[bool]string{
		false: "d7a9f7d61b97608a",
		true:  "1e523b5b0a23d529",
	} {
		p := protect(t, 8*block, pattern(75*block+1234), 50, onTheWay)
		data, _ := p.blocks()
		var parity []byte
		for _, f := range p.parity.Files {
			parity = append(parity, p.files[f.Name].Data...)
		}
		sum := sha256.Sum256(parity)
		if got := hex.EncodeToString(sum[:8]); got != want {
			t.Errorf("on the way %t: parity has SHA-256 %s…, want %s…, with %+v", onTheWay, got, want, p.parity)
		}
		padded := append(bytes.Clone(p.space), make([]byte, block)...)
		group := p.parity.Data * p.parity.Stripes
		for i := int64(0); i < int64(len(parity)); i += 65537 {
			q, at := i/block, i%block
			g, row, s := q/(p.parity.Blocks*p.parity.Stripes), q/p.parity.Stripes%p.parity.Blocks, q%p.parity.Stripes
			var sum byte
			for k := range p.parity.Data {
				if n := g*group + k*p.parity.Stripes + s; n < min(data, (g+1)*group) {
					sum ^= slowMul(slowInverse(byte(p.parity.Data+row)^byte(k)), padded[n*block+at])
				}
			}
			if sum != parity[i] {
				t.Fatalf("on the way %t: byte %d of parity is %#x, want %#x", onTheWay, i, parity[i], sum)
			}
		}
	}
}

// slowMul multiplies polynomials over GF(2) modulo x^8+x^4+x^3+x^2+1.
func slowMul(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		if a&0x80 != 0 {
			a = a<<1 ^ 0x1d
		} else {
			a <<= 1
		}
	}
	return product
}

func slowInverse(a byte) byte {
	for b := range 256 {
		if slowMul(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	return 0
}

// TestParityShapes holds what plans look like: whatever the size, stripes are
// within the limits and files cover all of them, as manifest.json's check says.
func TestParityShapes(t *testing.T) {
	for _, percent := range []int{1, 5, 33, 50, 100} {
		for _, blocks := range []int64{1, 2, 20, 21} {
			for _, onTheWay := range []bool{false, true} {
				p := protect(t, 3*block, make([]byte, blocks*block-1), percent, onTheWay)
				if size, most := p.parity.Size(), (volume.Protection{Percent: percent}).MaxParity(blocks*block, volume.Layout{Size: 3 * block}); size > most {
					t.Errorf("%d%% of %d blocks: %d bytes, and at most %d were told of", percent, blocks, size, most)
				}
				if p.parity.Blocks > 10 {
					t.Errorf("%d%% of %d blocks: %+v", percent, blocks, p.parity)
				}
			}
		}
	}
}

// zeros is a place with endless zeros to read that forgets what is written.
type zeros struct{ created atomic.Int64 }

func (z *zeros) Create(string) (io.WriteCloser, error) {
	z.created.Add(1)
	return nowhere{}, nil
}
func (z *zeros) Open(string) (io.ReaderAt, error) { return nowhere{}, nil }

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error)           { return len(p), nil }
func (nowhere) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }
func (nowhere) Close() error                          { return nil }

// TestParityMemory holds that parity takes bounded memory, whichever way it is
// computed.
func TestParityMemory(t *testing.T) {
	const size = 700 * block
	zero := make([]byte, block)
	for _, onTheWay := range []bool{false, true} {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var peak atomic.Uint64
		done := make(chan struct{})
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak.Store(max(peak.Load(), m.HeapAlloc))
				}
			}
		}()
		z, layout := &zeros{}, volume.Layout{Stem: "s", Size: volume.DefaultSize}
		w, err := volume.NewWriter(layout, z.Create)
		must(t, err)
		if onTheWay {
			must(t, w.Protect(volume.Protection{Percent: 5}, size))
		} else {
			w.KeepChecks()
		}
		for range size / block {
			_, err := w.Write(zero)
			must(t, err)
		}
		set, err := w.Close()
		must(t, err)
		if !onTheWay {
			must(t, set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, z, progress.Discard))
		}
		close(done)
		if grown := int64(peak.Load()) - int64(before.HeapAlloc); grown > 160<<20 {
			t.Errorf("on the way %t: %d MiB", onTheWay, grown>>20)
		} else {
			t.Logf("on the way %t: %d MiB for %+v", onTheWay, grown>>20, len(set.Parity.Files))
		}
	}
}

// TestProtectNoticesOtherBytes holds that parity is not computed of bytes that
// the medium gives back otherwise.
func TestProtectNoticesOtherBytes(t *testing.T) {
	files, layout := newFiles(), volume.Layout{Stem: "s", Size: 4 * block}
	w, err := volume.NewWriter(layout, files.Create)
	must(t, err)
	w.KeepChecks()
	_, err = w.Write(pattern(9 * block))
	must(t, err)
	set, err := w.Close()
	must(t, err)
	files.MapFS["s.001.vol"].Data[block] ^= 4
	err = set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, place{files}, progress.Discard)
	if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), "block 1 of volume s.001.vol") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	files.MapFS["s.001.vol"].Data[block] ^= 4
	if err := set.Protect(ctx, layout, volume.Protection{Percent: 5}, place{files}, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestProtectErrors has parity files that cannot be created, written or closed.
func TestProtectErrors(t *testing.T) {
	for _, step := range []string{"create", "write", "close"} {
		for _, onTheWay := range []bool{false, true} {
			files, layout := failing{newFiles(), step}, volume.Layout{Stem: "s", Size: 4 * block}
			w, err := volume.NewWriter(layout, files.Create)
			must(t, err)
			if onTheWay {
				must(t, w.Protect(volume.Protection{Percent: 5}, 9*block))
			} else {
				w.KeepChecks()
			}
			_, err = w.Write(pattern(9 * block))
			must(t, err)
			set, err := w.Close()
			if err == nil && !onTheWay {
				err = set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, files, progress.Discard)
			}
			if !errors.Is(err, errFull) {
				t.Errorf("%s, on the way %t: %v", step, onTheWay, err)
			}
		}
	}
}

var errFull = errors.New("no space left")

// failing fails at a step of parity files.
type failing struct {
	bundletest.Files
	step string
}

func (f failing) Open(name string) (io.ReaderAt, error) { return place{f.Files}.Open(name) }

func (f failing) Create(name string) (io.WriteCloser, error) {
	w, err := f.Files.Create(name)
	if !strings.HasSuffix(name, ".par") || err != nil {
		return w, err
	}
	if f.step == "create" {
		return nil, errFull
	}
	return failingFile{w, f.step}, nil
}

type failingFile struct {
	io.WriteCloser
	step string
}

func (f failingFile) Write(p []byte) (int, error) {
	if f.step == "write" {
		return 0, errFull
	}
	return f.WriteCloser.Write(p)
}

func (f failingFile) Close() error {
	if f.step == "close" {
		return errFull
	}
	return f.WriteCloser.Close()
}

// BenchmarkParity writes a space nowhere: without parity, with parity computed
// on the way, and behind.
func BenchmarkParity(b *testing.B) {
	const size = 256 * block
	space := pattern(block)
	for _, c := range []struct {
		name     string
		percent  int
		onTheWay bool
	}{{"none", 0, false}, {"5% on the way", 5, true}, {"5% behind", 5, false}, {"10% behind", 10, false}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				z, layout := &repeated{space: space}, volume.Layout{Stem: "s", Size: volume.DefaultSize}
				w, err := volume.NewWriter(layout, z.Create)
				must(b, err)
				if c.onTheWay {
					must(b, w.Protect(volume.Protection{Percent: c.percent}, size))
				} else if c.percent > 0 {
					w.KeepChecks()
				}
				for range size / block {
					_, err := w.Write(space)
					must(b, err)
				}
				set, err := w.Close()
				must(b, err)
				if c.percent > 0 && !c.onTheWay {
					must(b, set.Protect(b.Context(), layout, volume.Protection{Percent: c.percent}, z, progress.Discard))
				}
			}
		})
	}
}

// repeated is a place that reads as one block again and again.
type repeated struct {
	zeros
	space []byte
}

func (r *repeated) Open(string) (io.ReaderAt, error) { return r, nil }

func (r *repeated) ReadAt(p []byte, _ int64) (int, error) { return copy(p, r.space), nil }

// TestDamageListsRunsOnce holds that a burst takes two lines.
func TestDamageListsRunsOnce(t *testing.T) {
	p := protect(t, 8*block, pattern(20*block), 50, false)
	r := p.without(t, 1, 4, 5, 7, 8, 9, 10, 11, 15)
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	var lines []string
	for _, line := range strings.Split(d.Error(), "\n") {
		line, _, _ = strings.Cut(line, " (bytes")
		line, _, _ = strings.Cut(line, ": unexpected")
		line, _, _ = strings.Cut(line, ": input")
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(line, "damaged: "), "reading "))
	}
	want := []string{
		"block 1 of volume shop-1.0.000.vol",
		"block 4 of volume shop-1.0.000.vol", "so is the block behind it, up to block 5 of it",
		"block 7 of volume shop-1.0.000.vol",
		"block 0 of volume shop-1.0.001.vol", "so are the 3 blocks behind it, up to block 3 of it",
		"block 7 of volume shop-1.0.001.vol",
		"9 blocks are bad, and all can be repaired",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("listed:\n%s", strings.Join(lines, "\n"))
	}
}

// TestLostVolumes loses as many whole files, volumes and spare ones, as can be
// borne, and one more.
func TestLostVolumes(t *testing.T) {
	for name, c := range map[string]struct {
		p     *protected
		spare int
	}{
		"one of three":            {protectWith(t, 2*block, pattern(5*block+7), volume.Protection{Spare: 1}, false), 1},
		"two of five":             {protectWith(t, 2*block, pattern(9*block+7), volume.Protection{Spare: 2}, false), 2},
		"two of five, on the way": {protectWith(t, 2*block, pattern(9*block+7), volume.Protection{Spare: 2}, true), 2},
		"one, and 30 %":           {protectWith(t, 2*block, pattern(6*block), volume.Protection{Spare: 1, Percent: 30}, true), 2},
		"the only one":            {protectWith(t, 8*block, pattern(3*block+1), volume.Protection{Spare: 1}, false), 1},
		"groups":                  {protectWith(t, 13*block, pattern(3*13*block+1), volume.Protection{Spare: 1, Percent: 100}, true), 2},
	} {
		var names []string
		for _, f := range c.p.v.Manifest().Large() {
			names = append(names, f.Name)
		}
		all := subsets(names, c.spare)
		rand.New(rand.NewPCG(1, uint64(len(all)))).Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		for _, lost := range all[:min(len(all), 6)] {
			r := open(t, c.p.v, c.p.lack(lost))
			d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
			must(t, err)
			if !d.Mendable() || len(d.Files) != len(lost) {
				t.Errorf("%s without %q: %v", name, lost, d)
			}
			got := make([]byte, len(c.p.space))
			if n, err := r.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, c.p.space) {
				t.Errorf("%s without %q: %d bytes, %v", name, lost, n, err)
			}
		}
		if c.p.parity.Groups(volume.BlocksPer(int64(len(c.p.space)))) > 1 {
			continue // the loss of one more may fall on two groups
		}
		for _, lost := range subsets(names, c.spare+1)[:1] {
			r := open(t, c.p.v, c.p.lack(lost))
			d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
			must(t, err)
			if d.Repairable() {
				t.Errorf("%s without %q could be repaired", name, lost)
			}
		}
	}
}

// lack returns the files without some.
func (p *protected) lack(names []string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, file := range p.files {
		if !slices.Contains(names, name) {
			files[name] = file
		}
	}
	return files
}

// subsets returns the subsets of n names.
func subsets(names []string, n int) [][]string {
	if n == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for i := range names {
		for _, rest := range subsets(names[i+1:], n-1) {
			all = append(all, append([]string{names[i]}, rest...))
		}
	}
	return all
}

// TestSpareVolumesFitInMemory holds that what cannot be computed on the way is
// refused before anything is written.
func TestSpareVolumesFitInMemory(t *testing.T) {
	p := volume.Protection{Spare: 3}
	for _, over := range []int64{0, block} {
		w, err := volume.NewWriter(volume.Layout{Stem: "s", Size: p.StreamVolume() + over}, (&zeros{}).Create)
		must(t, err)
		if err := w.Protect(p, 100*block); (err == nil) != (over == 0) {
			t.Errorf("volumes of %d bytes: %v", p.StreamVolume()+over, err)
		}
		w.Close()
	}
}

// TestAnyLossUpToParity loses blocks, bursts and whole files of bundles of any
// shape, as much of each stripe as can be borne, and then a block more.
func TestAnyLossUpToParity(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 6
	}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 9))
		shape := volume.Protection{Percent: 5 + random.IntN(60), Spare: random.IntN(3)}
		p := protectWith(t, (1+random.Int64N(6))*block, pattern(1+random.Int64N(24*block)), shape, random.IntN(2) == 0)
		data, all := p.blocks()
		stripes, lost := map[int64]int64{}, map[int64]bool{}
		lose := func(number int64) {
			if s := stripeOf(p.parity, data, number); number < all && !lost[number] && stripes[s] < p.parity.Blocks {
				stripes[s]++
				lost[number] = true
			}
		}
		for range 1 + random.IntN(4) {
			from, length := random.Int64N(all), 1
			if random.IntN(2) == 0 {
				length = 1 + random.IntN(int(p.parity.Blocks*p.parity.Stripes))
			}
			for i := range length {
				lose(from + int64(i))
			}
		}
		what := fmt.Sprintf("seed %d, %+v", seed, shape)
		mends(t, what, p, slices.Sorted(maps.Keys(lost)))

		// All that the first block's stripe can bear, and one more.
		one, first := stripeOf(p.parity, data, 0), []int64{}
		for number := range all {
			if stripeOf(p.parity, data, number) == one && int64(len(first)) <= p.parity.Blocks {
				first = append(first, number)
			}
		}
		r := p.without(t, first...)
		d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
		must(t, err)
		beyond := int64(len(first)) > p.parity.Blocks
		if d.Repairable() == beyond || beyond && (len(d.Lost) == 0 || d.Lost[0] != 0 || len(d.Bad) != len(first)) {
			t.Errorf("%s without %v: lost %v of %v", what, first, d.Lost, d.Bad)
		}
	}
}
