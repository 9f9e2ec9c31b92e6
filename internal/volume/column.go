package volume

import (
	"context"
	"fmt"

	"airlock/internal/manifest"
)

// piece is a slice of every block of a stripe: what is computed at once, and
// written in order. Everything that it takes stays in the processor's cache.
type piece struct {
	stripe stripe
	offset int64 // in the blocks
}

// piece returns a group's piece of that number: all of a stripe, then the next.
func (p *protecting) piece(first stripe, number int) piece {
	const each = manifest.BlockSize / slice
	return piece{first + stripe(number/each), int64(number%each) * slice}
}

// column computes the parity of one piece after the other, from volumes that
// are read back.
type column struct {
	*protecting
	piece
	parity [][]byte // slices
	data   [][]byte // slices of a run of data blocks
	part   []byte   // scratch

	free, full chan struct{} // one of them holds a token: the parity may be computed, or written
}

func newColumn(p *protecting) *column {
	c := &column{protecting: p, part: p.code.newPart(), free: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	c.free <- struct{}{}
	for range p.code.parity {
		c.parity = append(c.parity, make([]byte, slice))
	}
	for range p.code.run {
		c.data = append(c.data, make([]byte, slice))
	}
	return c
}

// turn waits for the token, works, and passes it on.
func turn(ctx context.Context, from <-chan struct{}, to chan<- struct{}, work func() error) error {
	select {
	case <-from:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := work(); err != nil {
		return err
	}
	to <- struct{}{}
	return nil
}

// sum computes the parity of a piece.
func (c *column) sum(ctx context.Context, at piece) error {
	c.piece = at
	for _, p := range c.parity {
		clear(p)
	}
	numbers := c.stripes.data(at.stripe)
	for first := 0; first < len(numbers); first += c.code.run {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.add(numbers, first); err != nil {
			return err
		}
	}
	return nil
}

// compare returns an error if the parity is not that of a stripe's data blocks
// as they were written.
func (p *protecting) compare(s stripe) error {
	numbers, part := p.stripes.data(s), p.code.newPart()
	want, none := make([][]byte, p.code.parity), new(check)
	for i := range want {
		want[i] = make([]byte, checkSize)
	}
	for first := 0; first < len(numbers); first += p.code.run {
		var data [][]byte
		for row := first; row < min(first+p.code.run, p.code.data); row++ {
			if row < len(numbers) {
				data = append(data, p.checks[numbers[row]][:])
			} else {
				data = append(data, none[:])
			}
		}
		if err := p.code.add(first/p.code.run, data, want, part); err != nil {
			return err
		}
	}
	for i, f := range p.files {
		if *f.check.check() != check(want[i]) {
			return p.blame(numbers)
		}
	}
	return nil
}

// blame returns an error that names a block which is read back otherwise than it
// was written, if it still is.
func (p *protecting) blame(numbers []int64) error {
	data := make([]byte, manifest.BlockSize)
	for _, number := range numbers {
		data := data[:min(manifest.BlockSize, p.size-number*manifest.BlockSize)]
		if err := p.read(number, 0, data); err != nil {
			return err
		}
		if *checkOf(data) != *p.checks[number] {
			return fmt.Errorf("%w: %s is read back otherwise than it was written", ErrDamaged, p.named(number))
		}
	}
	return fmt.Errorf("%w: %s, or one of its stripe, was once read back otherwise than it was written", ErrDamaged, p.named(numbers[0]))
}

// add adds a run of data blocks to the piece.
func (c *column) add(numbers []int64, first int) error {
	rows, read := min(c.code.run, c.code.data-first), int64(0)
	for i, data := range c.data[:rows] {
		size := int64(0)
		if row := first + i; row < len(numbers) {
			size = max(0, min(slice, c.size-numbers[row]*manifest.BlockSize-c.offset))
			if err := c.read(numbers[row], c.offset, data[:size]); err != nil {
				return err
			}
			read += size
		}
		clear(data[size:])
	}
	c.task.Add(read)
	return c.code.add(first/c.code.run, c.data[:rows], c.parity, c.part)
}

// read reads a part of a block of the space.
func (p *protecting) read(number, at int64, data []byte) error {
	v, off := p.place(number)
	if n, err := p.volumes[v].ReadAt(data, off+at); n < len(data) {
		return fmt.Errorf("reading back %s: %w", p.layout.Name(v), err)
	}
	return nil
}

// place returns which volume has a block of the space, and where.
func (p *protecting) place(number int64) (v int, off int64) {
	off = number * manifest.BlockSize
	return int(off / p.layout.Size), off % p.layout.Size
}

func (p *protecting) named(number int64) string {
	v, off := p.place(number)
	return fmt.Sprintf("block %d of volume %s", off/manifest.BlockSize, p.layout.Name(v))
}
