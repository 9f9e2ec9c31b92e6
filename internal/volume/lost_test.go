package volume_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"airlock/internal/progress"
	"airlock/internal/volume"
)

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
			glance := r.Glance()
			runs, _ := glance.Runs(glance.Bad, 9)
			if want, _ := d.Runs(d.Bad, 9); len(want) == 0 || !slices.Equal(runs, want) {
				t.Errorf("%s without %q: at a glance %v are bad, want %v", name, lost, runs, want)
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

// TestRuns holds that bad blocks come as runs that end with their file, and that
// those that are left out are counted.
func TestRuns(t *testing.T) {
	p := protectWith(t, 4*block, pattern(11*block+7), volume.Protection{Spare: 1}, false)
	r := p.without(t, 0, 5, 6, 8, 11)
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	name := func(i int) string { return p.v.Manifest().Volumes[i].Name }
	all := []volume.Run{{File: name(0), First: 0, Last: 0}, {File: name(1), First: 1, Last: 2}, {File: name(2), First: 0, Last: 0}, {File: name(2), First: 3, Last: 3}}
	for most, left := range []int{5, 4, 2, 1, 0, 0} {
		runs, more := d.Runs(d.Bad, most)
		if want := all[:min(most, len(all))]; !slices.Equal(runs, want) || more != left {
			t.Errorf("at most %d runs: %v and %d blocks more, want %v and %d", most, runs, more, want, left)
		}
	}
}
