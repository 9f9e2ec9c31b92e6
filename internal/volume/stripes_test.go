package volume

import (
	"math/rand/v2"
	"testing"

	"airlock/internal/manifest"
)

// TestStripes holds of many layouts that every block is in one stripe, that a
// stripe is what numbers it, that bursts and whole files are spread as the plan
// promises, and that manifest.json can say it.
func TestStripes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		p := Protection{Percent: random.IntN(101), Spare: max(random.IntN(2*MaxSpare)-MaxSpare, 0)}
		if !p.Any() {
			p.Percent = 1
		}
		layout := Layout{Stem: "s", Size: 1 + random.Int64N(40)<<20}
		layout.Size = BlocksPer(layout.Size) * manifest.BlockSize
		blocks := 1 + random.Int64N(1500)
		most := bounds{1 + random.Int64N(50), manifest.MaxStripeParity}
		plan := p.plan(blocks, layout, most)
		if plan.Data < 1 || plan.Blocks < 1 || plan.Blocks > manifest.MaxStripeParity || plan.Data+plan.Blocks > manifest.MaxStripe || plan.Stripes < 1 {
			t.Fatalf("%+v over %d blocks: %+v", p, blocks, plan)
		}
		if plan.Data*int64(p.Percent) > 100*(plan.Blocks-int64(p.Spare)) {
			t.Fatalf("%+v over %d blocks: %+v is less", p, blocks, plan)
		}
		l := stripes{plan, blocks}
		checkStripes(t, l)
		checkBursts(t, l)
		if p.Spare > 0 {
			checkVolumes(t, l, layout)
		}
	}
}

// checkStripes holds that stripes have every block once.
func checkStripes(t *testing.T, l stripes) {
	t.Helper()
	seen := map[int64]stripe{}
	for s := stripe(0); s < l.count(); s++ {
		all := l.data(s)
		if int64(len(all)) > l.Data {
			t.Fatalf("%+v: stripe %d has %d data blocks", l, s, len(all))
		}
		for row := range int(l.Blocks) {
			all = append(all, l.parity(s, row))
		}
		for _, number := range all {
			if other, twice := seen[number]; twice || l.of(number) != s {
				t.Fatalf("%+v: block %d is in stripes %d and %d, and said to be in %d", l, number, other, s, l.of(number))
			}
			seen[number] = s
		}
	}
	if want := l.blocks + l.Total(l.blocks); int64(len(seen)) != want {
		t.Fatalf("%+v: %d blocks, want %d", l, len(seen), want)
	}
}

// checkBursts holds that a run of Blocks × Stripes data blocks of one group can
// be lost.
func checkBursts(t *testing.T, l stripes) {
	t.Helper()
	group := l.Data * l.Stripes
	for from := int64(0); from < l.blocks; from += 1 + l.Stripes/2 {
		end := min(from+l.Blocks*l.Stripes, l.blocks, (from/group+1)*group)
		lost := map[stripe]int64{}
		for number := from; number < end; number++ {
			if lost[l.of(number)]++; lost[l.of(number)] > l.Blocks {
				t.Fatalf("%+v: blocks %d to %d are too many of stripe %d", l, from, end, l.of(number))
			}
		}
	}
}

// checkVolumes holds that no volume has two blocks of a stripe.
func checkVolumes(t *testing.T, l stripes, layout Layout) {
	t.Helper()
	in := map[[2]int64]bool{}
	for number := range l.blocks {
		at := [2]int64{int64(l.of(number)), number / BlocksPer(layout.Size)}
		if in[at] {
			t.Fatalf("%+v: volume %d has two blocks of stripe %d", l, at[1], at[0])
		}
		in[at] = true
	}
}

// TestMaxParity holds that the bound holds for every size up to it, whichever
// way parity is computed, and is not far from what is taken.
func TestMaxParity(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		p := Protection{Percent: random.IntN(101), Spare: max(random.IntN(2*MaxSpare)-MaxSpare, 0)}
		if !p.Any() {
			p.Percent = 5
		}
		layout := Layout{Size: (1 + random.Int64N(40)) * manifest.BlockSize}
		blocks := 1 + random.Int64N(3000)
		most, near := p.MaxParity(blocks*manifest.BlockSize, layout)/manifest.BlockSize, int64(0)
		for n := int64(1); n <= blocks; n++ {
			for _, plan := range p.plans(n, layout) {
				if plan != nil && plan.Total(n) > most {
					t.Fatalf("%+v of %d blocks in volumes of %d bytes: %d blocks, at most %d were told of for %d", p, n, layout.Size, plan.Total(n), most, blocks)
				} else if plan != nil && n == blocks {
					near = max(near, plan.Total(n))
				}
			}
		}
		if most > near+near/16 {
			t.Errorf("%+v of %d blocks in volumes of %d bytes: %d blocks, and %d were told of", p, blocks, layout.Size, near, most)
		}
	}
}

// TestMaxParityOfLarge is TestMaxParity of spaces that FollowLarge follows.
func TestMaxParityOfLarge(t *testing.T) {
	layout := Layout{Size: DefaultSize}
	for _, percent := range []int{1, 5, 30} {
		p := Protection{Percent: percent}
		for _, blocks := range []int64{4097, 6001, 9000} {
			most := p.MaxParity(blocks*manifest.BlockSize, layout) / manifest.BlockSize
			for n := int64(1); n <= blocks; n++ {
				plan := p.planLarge(layout)
				if n <= BlocksPer(FollowFrom) {
					plan = p.planBehind(n, layout)
				}
				if plan.Total(n) > most {
					t.Fatalf("%+v of %d blocks: %d blocks, at most %d were told of for %d", p, n, plan.Total(n), most, blocks)
				}
			}
		}
	}
}

// TestInvert holds that what invert makes is the inverse, of any part of the
// matrix that can come up.
func TestInvert(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		parity := 1 + random.IntN(manifest.MaxStripeParity)
		data := 1 + random.IntN(manifest.MaxStripe-parity)
		n := 1 + random.IntN(min(parity, data))
		rows, columns := random.Perm(parity)[:n], random.Perm(data)[:n]
		var a, b [][]byte
		for _, r := range rows {
			var line []byte
			for _, c := range columns {
				line = append(line, coefficient(data, r, c))
			}
			a, b = append(a, line), append(b, append([]byte(nil), line...))
		}
		invert(b)
		for i := range n {
			for j := range n {
				var sum byte
				for k := range n {
					sum ^= gf.mul(a[i][k], b[k][j])
				}
				if (i == j) != (sum == 1) || (i != j && sum != 0) {
					t.Fatalf("rows %v, columns %v: product has %d at %d, %d", rows, columns, sum, i, j)
				}
			}
		}
	}
}
