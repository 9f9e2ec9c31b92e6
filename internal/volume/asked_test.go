package volume_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"airlock/internal/progress"
	"airlock/internal/volume"
)

// TestAskedIsJustEnough loses more of some stripes than parity can mend: of each
// stripe just as many blocks are asked for as parity falls short, and with the
// answer everything is made again as it was.
func TestAskedIsJustEnough(t *testing.T) {
	rows := protect(t, 8*block, pattern(33*block+77), 50, false)
	spare := protectWith(t, 4*block, pattern(18*block+7), volume.Protection{Spare: 1}, false)
	two := protectWith(t, 4*block, pattern(18*block+7), volume.Protection{Spare: 2, Percent: 20}, true)
	groups := protectWith(t, 2*block, pattern(30*block), volume.Protection{Percent: 50}, true)
	span := func(from, to int64) (all []int64) {
		for n := from; n < to; n++ {
			all = append(all, n)
		}
		return all
	}
	for name, c := range map[string]struct {
		p    *protected
		bad  []int64
		runs int // of blocks asked for; 0: any number
	}{
		"a burst":                        {rows, span(3, 3+(rows.parity.Blocks+2)*rows.parity.Stripes), 1},
		"two volumes, one spare":         {spare, span(4, 12), 1},
		"a volume and the spare one":     {spare, append(span(8, 12), span(19, 23)...), 1},
		"the last volume and the first":  {spare, append(span(0, 4), span(16, 19)...), 1},
		"the other way about, one block": {spare, append(span(0, 4), 9), 1},
		"all volumes, two spare":         {two, span(0, 19), 0},
		"random, two spare":              {two, scattered(two, 1), 0},
		"random":                         {rows, scattered(rows, 2), 0},
		"random, of groups":              {groups, scattered(groups, 3), 0},
		"everything":                     {groups, span(0, 30), 0},
	} {
		t.Run(name, func(t *testing.T) { asksJustEnough(t, c.p, c.bad, c.runs) })
	}
}

// scattered returns half of all blocks.
func scattered(p *protected, seed uint64) []int64 {
	_, all := p.blocks()
	var bad []int64
	for _, i := range rand.New(rand.NewPCG(seed, 5)).Perm(int(all))[:all/2] {
		bad = append(bad, int64(i))
	}
	slices.Sort(bad)
	return bad
}

func asksJustEnough(t *testing.T, p *protected, bad []int64, runs int) {
	r := p.without(t, bad...)
	d := survey(t, r)
	data, _ := p.blocks()
	short, lost, asked := map[int64]int64{}, int64(0), map[int64]int64{}
	for _, number := range bad {
		short[stripeOf(p.parity, data, number)]++
	}
	for _, number := range bad {
		if number < data && short[stripeOf(p.parity, data, number)] > p.parity.Blocks {
			lost++
		}
	}
	for _, number := range d.Asked {
		asked[stripeOf(p.parity, data, number)]++
		if !slices.Contains(d.Lost, number) {
			t.Errorf("block %d is asked for and not lost", number)
		}
	}
	for s, n := range short {
		if want := max(0, n-p.parity.Blocks); asked[s] != want {
			t.Errorf("stripe %d: %d blocks are asked for, want %d", s, asked[s], want)
		}
	}
	if d.Repairable() || int64(len(d.Lost)) != lost || len(d.Asked) == 0 || !slices.IsSorted(d.Asked) {
		t.Fatalf("lost %v, want %d of them; asked for %v", d.Lost, lost, d.Asked)
	}
	q := volume.Request{Root: p.v.Root(), Blocks: d.Asked}
	if got := bytes.Count(q.Marshal(), []byte("\n")) - 2; runs > 0 && got != runs {
		t.Errorf("%d runs are asked for, want %d: %s", got, runs, q.Marshal())
	}
	mendsWithAnswer(t, p, r, &q, bad)
}

// mendsWithAnswer answers a request, and holds that all is made again with that;
// and not with one block less.
func mendsWithAnswer(t *testing.T, p *protected, r *volume.Reader, q *volume.Request, bad []int64) {
	var answer bytes.Buffer
	must(t, open(t, p.v, p.files).Answer(q, &answer))
	must(t, r.SupplyAnswer(bytes.NewReader(answer.Bytes()), int64(answer.Len())))
	d := survey(t, r)
	if !d.Repairable() || len(d.Bad) != len(bad) || len(d.Asked) > 0 {
		t.Fatalf("with the answer %v are lost, and %v asked for", d.Lost, d.Asked)
	}
	made := map[int64]bool{}
	must(t, r.Mend(t.Context(), d, progress.Discard, func(b volume.Block, data []byte) error {
		made[b.Number] = true
		want := p.files[b.File].Data[b.Index*block:]
		equal(t, b.String(), data, want[:min(block, len(want))])
		return nil
	}))
	if len(made) != len(bad) {
		t.Errorf("%d blocks are made, want %d", len(made), len(bad))
	}
	got := make([]byte, len(p.space))
	if n, err := r.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, p.space) {
		t.Errorf("reading with the answer: %d bytes, %v", n, err)
	}
	r.Supply(func(number int64, data []byte) bool {
		i, found := slices.BinarySearch(q.Blocks, number)
		return found && i > 0 && copy(data, p.space[number*block:]) == len(data)
	})
	if less := survey(t, r); less.Repairable() || len(less.Asked) != 1 {
		t.Errorf("with a block less %v are asked for", less.Asked)
	}
}

func survey(t *testing.T, r *volume.Reader) *volume.Damage {
	t.Helper()
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	return d
}
