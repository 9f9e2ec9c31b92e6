package volume

import (
	"airlock/internal/manifest"
)

// Protection says how much parity is added to volumes.
type Protection struct {
	Percent int // of their bytes, rounded up to whole blocks
	Spare   int // whole volumes that may be lost besides
}

// Any reports whether there is to be parity.
func (p Protection) Any() bool { return p.Percent > 0 || p.Spare > 0 }

// MaxSpare is how many spare volumes there may be.
const MaxSpare = manifest.MaxStripeParity - 1

// bounds says how large a group of stripes may be.
type bounds struct {
	stripes int64 // of a group, without spare volumes
	rows    int64 // parity blocks of a stripe
}

// mostParity is how many parity blocks a stripe is given without spare volumes:
// more would cost more time for each byte, and more memory to mend, for little
// more safety.
const mostParity = 10

// plan lays parity over a space of so many blocks. Stripes are as long as can
// be, since the longest cope best with damage that is spread unevenly, and as
// equal.
func (p Protection) plan(blocks int64, layout Layout, most bounds) *manifest.Parity {
	if p.Spare > 0 {
		return p.planSpare(blocks, layout, most.rows)
	}
	longest := p.longest(manifest.MaxStripe, min(most.rows, mostParity))
	groups := ceil(blocks, longest*most.stripes)
	group := ceil(blocks, groups)
	stripes := ceil(group, longest)
	data := ceil(group, stripes)
	return &manifest.Parity{Data: data, Blocks: p.parityOf(data), Stripes: stripes}
}

// planSpare is plan with stripes of which no two blocks are in one file: a
// stripe has a block of each of a group's volumes, at the same place in them.
func (p Protection) planSpare(blocks int64, layout Layout, rows int64) *manifest.Parity {
	volumes := ceil(blocks, BlocksPer(layout.Size))
	data := ceil(volumes, ceil(volumes, p.longest(volumes, rows)))
	return &manifest.Parity{Data: data, Blocks: p.parityOf(data), Stripes: min(BlocksPer(layout.Size), blocks)}
}

// longest returns how many data blocks a stripe can have, if it may have so
// many of them and so many parity blocks.
func (p Protection) longest(data, rows int64) int64 {
	d := int64(1)
	for d < data && p.parityOf(d+1) <= rows && d+1+p.parityOf(d+1) <= manifest.MaxStripe {
		d++
	}
	return d
}

// parityOf returns how many parity blocks a stripe of so many data blocks has.
func (p Protection) parityOf(data int64) int64 {
	return max(ceil(data*int64(p.Percent), 100)+int64(p.Spare), 1)
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// MaxParity returns an upper bound of the bytes that parity takes over a space
// of at most size bytes, whichever way it is computed. It is a sixteenth more
// than such a space takes: one that is a little smaller may have one stripe
// more, or shorter ones with as many parity blocks.
func (p Protection) MaxParity(size int64, layout Layout) int64 {
	if !p.Any() || size <= 0 {
		return 0
	}
	blocks := BlocksPer(size)
	most := int64(0)
	for _, plan := range p.plans(blocks, layout) {
		if plan != nil {
			most = max(most, plan.Total(blocks))
		}
	}
	return (most + most/16) * manifest.BlockSize
}

// planBehind is the plan of Set.Protect.
func (p Protection) planBehind(blocks int64, layout Layout) *manifest.Parity {
	return p.plan(blocks, layout, bounds{BlocksPer(layout.Size), manifest.MaxStripeParity})
}

// planFollow is the plan of Writer.Follow.
func (p Protection) planFollow(blocks int64, layout Layout) *manifest.Parity {
	return p.plan(blocks, layout, bounds{followBlocks / p.longest(manifest.MaxStripe, mostParity), mostParity})
}

// planLarge is the plan of Writer.FollowLarge: its groups are as large as those
// of Follow can be.
func (p Protection) planLarge(layout Layout) *manifest.Parity {
	return p.planFollow(followBlocks, layout)
}

// plans returns all of them, nil for one that cannot be.
func (p Protection) plans(blocks int64, layout Layout) []*manifest.Parity {
	all := []*manifest.Parity{p.planBehind(blocks, layout), p.planStream(blocks, layout)}
	if p.Spare == 0 {
		all = append(all, p.planFollow(blocks, layout))
		if blocks > BlocksPer(FollowFrom) {
			all = append(all, p.planLarge(layout))
		}
	}
	return all
}

// planStream is the plan of Writer.Protect, nil if its memory cannot hold one.
func (p Protection) planStream(blocks int64, layout Layout) *manifest.Parity {
	if p.Spare == 0 {
		stripes := streamBlocks / (p.parityOf(p.longest(manifest.MaxStripe, mostParity)) + streamRun)
		return p.plan(blocks, layout, bounds{stripes, mostParity})
	}
	rows := streamBlocks/BlocksPer(layout.Size) - spareRun
	if rows < p.parityOf(1) {
		return nil
	}
	return p.plan(blocks, layout, bounds{rows: rows})
}

// stripes says which blocks belong together. Blocks are numbered as in
// blocks.bin: those of the volumes, then those of the parity files.
type stripes struct {
	*manifest.Parity
	blocks int64 // of the volumes
}

// stripe numbers the stripes of all groups.
type stripe int64

// of returns the stripe that a block belongs to.
func (l stripes) of(number int64) stripe {
	group, inside := number/(l.Data*l.Stripes), number
	if number >= l.blocks {
		number -= l.blocks
		group, inside = number/(l.Blocks*l.Stripes), number
	} else {
		inside -= group * l.Data * l.Stripes
	}
	return stripe(group*l.Stripes + inside%l.Stripes)
}

// count returns how many stripes there are.
func (l stripes) count() stripe { return stripe(l.Groups(l.blocks) * l.Stripes) }

// data returns the numbers of a stripe's data blocks, by rows.
func (l stripes) data(s stripe) []int64 {
	group := int64(s) / l.Stripes
	end := min(l.blocks, (group+1)*l.Data*l.Stripes)
	var all []int64
	for n := group*l.Data*l.Stripes + int64(s)%l.Stripes; n < end; n += l.Stripes {
		all = append(all, n)
	}
	return all
}

// parity returns the number of a stripe's parity block.
func (l stripes) parity(s stripe, row int) int64 {
	group := int64(s) / l.Stripes
	return l.blocks + (group*l.Blocks+int64(row))*l.Stripes + int64(s)%l.Stripes
}
