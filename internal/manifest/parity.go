package manifest

import (
	"errors"
	"fmt"
	"strings"
)

const paritySuffix = ".par"

// Limits of parity: a stripe's blocks are numbered by a byte, and what a
// reader holds at once to mend a stripe is a small multiple of its parity.
const (
	MaxStripe       = 255 // blocks of a stripe, data and parity together
	MaxStripeParity = 16  // parity blocks of a stripe
)

// Parity says how lost blocks are made again. The space's blocks fall into
// groups of Data × Stripes, the last group perhaps of fewer; in a group, stripe
// s has the blocks s, s + Stripes, s + 2 Stripes …, and Blocks parity blocks.
// The files, one behind the other, hold the parity of group after group: of
// every stripe its first parity block, then of every stripe its second …
type Parity struct {
	Data    int64    `json:"data"`    // data blocks of a stripe; missing ones count as zeros
	Blocks  int64    `json:"blocks"`  // parity blocks of a stripe
	Stripes int64    `json:"stripes"` // of a group
	Files   []Volume `json:"files"`   // whole blocks each
}

// Groups returns how many groups a space of so many blocks falls into.
func (p *Parity) Groups(blocks int64) int64 {
	group := p.Data * p.Stripes
	return (blocks + group - 1) / group
}

// Total returns how many parity blocks a space of so many blocks has.
func (p *Parity) Total(blocks int64) int64 { return p.Groups(blocks) * p.Stripes * p.Blocks }

// Size returns the bytes of the parity files; of no parity, zero.
func (p *Parity) Size() int64 {
	if p == nil {
		return 0
	}
	var sum int64
	for _, f := range p.Files {
		sum += f.Size
	}
	return sum
}

// Large returns all files whose blocks are listed in blocks.bin, in the order
// in which they are: the volumes, then the parity files.
func (m *Manifest) Large() []Volume {
	if m.Parity == nil {
		return m.Volumes
	}
	return append(m.Volumes[:len(m.Volumes):len(m.Volumes)], m.Parity.Files...)
}

func (m *Manifest) checkParity() error {
	p := m.Parity
	if p == nil {
		return nil
	}
	const most = MaxSpace / BlockSize // that blocks.bin can list
	blocks := (m.SpaceSize() + BlockSize - 1) / BlockSize
	if p.Data < 1 || p.Blocks < 1 || p.Blocks > MaxStripeParity || p.Data > MaxStripe-p.Blocks || p.Stripes < 1 || p.Stripes > most {
		return fmt.Errorf("parity: stripes of %d and %d blocks, %d of them", p.Data, p.Blocks, p.Stripes)
	}
	seen := map[string]bool{}
	for _, v := range m.Volumes {
		seen[v.Name] = true
	}
	var sum int64
	for _, f := range p.Files {
		if err := CheckName(f.Name); err != nil {
			return err
		}
		switch {
		case !strings.HasSuffix(f.Name, paritySuffix):
			return fmt.Errorf("parity file %q: want a name that ends in %s", f.Name, paritySuffix)
		case seen[f.Name]:
			return fmt.Errorf("parity file %q is listed twice", f.Name)
		case f.Size <= 0 || f.Size > MaxSpace || f.Size%BlockSize != 0:
			return fmt.Errorf("parity file %q: %d bytes; want whole blocks", f.Name, f.Size)
		}
		seen[f.Name] = true
		if sum += f.Size; sum > MaxSpace {
			return errors.New("parity files of more bytes than a space may have")
		}
	}
	if want := p.Total(blocks); want > most-blocks || sum != want*BlockSize {
		return fmt.Errorf("parity files of %d bytes, want %d blocks", sum, want)
	}
	return nil
}
