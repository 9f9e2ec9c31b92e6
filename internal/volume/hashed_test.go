package volume_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"airlock/internal/twosum"
	"airlock/internal/volume"
)

// readHashed reads bytes [from, to) of a space in random pieces, a piece that fails
// once more, and holds that the sum is of what was read at every moment.
func readHashed(t *testing.T, what string, r *volume.Reader, space []byte, from, to int64) error {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(from), uint64(to)))
	var sum twosum.Hash
	var failed error
	for at := from; at < to; {
		p := make([]byte, min(to-at, 64*(1+random.Int64N(3*block/64))))
		n, err := r.ReadHashed(p, at, &sum)
		equal(t, fmt.Sprintf("%s: bytes %d to %d", what, at, at+int64(n)), p[:n], space[at:at+int64(n)])
		at += int64(n)
		if got := sum.Sum(); got != sha256.Sum256(space[from:at]) {
			t.Errorf("%s: bytes %d to %d have another hash than %x", what, from, at, got)
		}
		if err != nil && failed != nil {
			return err
		}
		failed = err
	}
	return nil
}

func TestReadHashed(t *testing.T) {
	space := pattern(7*block + 77)
	for _, size := range []int64{block, 3 * block, 8 * block} {
		files, v := bundle(t, size, space)
		r := open(t, v, files)
		for _, from := range []int64{0, 64, block - 64, block, block + 64, 5 * block} {
			for _, to := range []int64{5*block + 1, 6 * block, 6*block + 63, 7*block + 77} {
				must(t, readHashed(t, fmt.Sprintf("volumes of %d", size), r, space, from, to))
			}
		}
		if n, err := r.ReadHashed(make([]byte, 64), 65, new(twosum.Hash)); n != 0 || err == nil {
			t.Errorf("at 65: %d, %v", n, err)
		}
	}
}

// TestReadHashedOfBadBlocks holds that a block that is bad at first, and made
// again or read again, is hashed once, and one that stays bad not at all.
func TestReadHashedOfBadBlocks(t *testing.T) {
	space := pattern(5*block + 77)
	p := protect(t, 2*block, space, 100, false)
	for _, bad := range [][]int64{{0}, {1}, {2}, {3, 4, 5}, {0, 1, 2, 3, 4, 5}} {
		r := p.without(t, bad...)
		for _, from := range []int64{0, 64, block + 640} {
			must(t, readHashed(t, fmt.Sprintf("without %d", bad), r, space, from, int64(len(space))))
		}
		if len(r.Repaired()) == 0 {
			t.Errorf("without %d: nothing was made again", bad)
		}
	}
	files, v := bundle(t, 2*block, space)
	for number := range int64(6) {
		for _, badly := range []int{1, 1000} {
			left := badly
			r := open(t, v, badFS{files, func(name string, b []byte, off int64, n int, err error) (int, error) {
				if name == fmt.Sprintf("shop-1.0.%03d.vol", number/2) && off/block == number%2 && left > 0 {
					left--
					b[n-1] ^= 1
				}
				return n, err
			}})
			err := readHashed(t, fmt.Sprintf("block %d bad %d times", number, badly), r, space, 64, int64(len(space)))
			if badly == 1 && err != nil || badly > 1 && !errors.Is(err, volume.ErrDamaged) || left == badly {
				t.Errorf("block %d bad %d times: %v", number, badly, err)
			}
		}
	}
}

// TestWriteHashed writes runs that begin at multiples of 64, some with a sum, and
// holds that each sum is of its run once Hashed has passed its end or Settle was
// called, and that volumes and blocks are what they would be without.
func TestWriteHashed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 3))
	space := pattern(23*block + 77)
	type summed struct {
		sum      twosum.Hash
		from, to int
	}
	for _, size := range []int64{block, 4 * block, 64 * block} {
		files := newFiles()
		w, err := volume.NewWriter(volume.Layout{Stem: "shop-1.0", Size: size}, files.Create)
		must(t, err)
		var runs []*summed
		checked := 0
		check := func() {
			for ; checked < len(runs) && int64(runs[checked].to) <= w.Hashed(); checked++ {
				if r := runs[checked]; r.sum.Sum() != sha256.Sum256(space[r.from:r.to]) {
					t.Errorf("volumes of %d: bytes %d to %d have another hash", size, r.from, r.to)
				}
			}
		}
		for at := 0; at < len(space); {
			check()
			r := &summed{from: at, to: min(at+1+random.IntN([]int{100, 3 * block}[random.IntN(2)]), len(space))}
			for at < r.to {
				n := min(64*(1+random.IntN(2*block/64)), r.to-at)
				_, err := w.WriteHashed(space[at:at+n], &r.sum)
				must(t, err)
				at += n
			}
			runs = append(runs, r)
			gap := min((64-at%64)%64, len(space)-at)
			_, err := w.Write(space[at : at+gap])
			must(t, err)
			at += gap
			if len(runs)%20 == 0 {
				w.Settle()
				if check(); checked != len(runs) {
					t.Errorf("volumes of %d: %d of %d sums are complete", size, checked, len(runs))
				}
			}
		}
		w.Settle()
		if check(); checked != len(runs) || checked < 10 {
			t.Errorf("volumes of %d: %d of %d sums are complete at the end", size, checked, len(runs))
		}
		set, err := w.Close()
		must(t, err)
		want := write(t, newFiles(), size, space, 0)
		equal(t, "blocks.bin", set.Blocks, want.Blocks)
		for name, sum := range want.Sums {
			if set.Sums[name] != sum {
				t.Errorf("volumes of %d: %s has another hash", size, name)
			}
		}
	}
}
