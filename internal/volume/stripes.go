package volume

import (
	"airlock/internal/manifest"
)

// mostParity is how many parity blocks a stripe is given: more would cost more
// time for each byte, and more memory to mend, for little more safety.
const mostParity = 10

// plan lays parity of so many per cent over a space of so many blocks, in
// groups of at most most stripes. Stripes are as long as can be, since the
// longest cope best with damage that is spread unevenly, and as equal.
func plan(blocks int64, percent int, most int64) *manifest.Parity {
	longest := int64(1)
	for d := int64(2); parityOf(d, percent) <= mostParity && d+parityOf(d, percent) <= manifest.MaxStripe; d++ {
		longest = d
	}
	groups := ceil(blocks, longest*most)
	group := ceil(blocks, groups)
	stripes := ceil(group, longest)
	data := ceil(group, stripes)
	return &manifest.Parity{Data: data, Blocks: parityOf(data, percent), Stripes: stripes}
}

func parityOf(data int64, percent int) int64 { return max(ceil(data*int64(percent), 100), 1) }

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// MaxParity returns about how many bytes parity of so many per cent takes over
// a space of at most size bytes, and rather more than less.
func MaxParity(size int64, percent int) int64 {
	if percent == 0 {
		return 0
	}
	blocks := BlocksPer(size) + 1
	total := plan(blocks, percent, blocks).Total(blocks) * manifest.BlockSize
	return total + total/8 + 32*manifest.BlockSize
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
