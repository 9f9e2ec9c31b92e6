package volume

import (
	"context"
	"fmt"

	"airlock/internal/manifest"
)

// column computes the parity of one stripe after the other, from volumes that
// are read back. It goes from slice to slice of all the stripe's blocks: all of
// it but the parity that was computed stays in the processor's cache.
type column struct {
	*protecting
	parity [][]byte // blocks
	data   [][]byte // slices of a run of data blocks
	part   []byte   // scratch

	free, full chan struct{} // one of them holds a token: the parity may be computed, or written
}

func newColumn(p *protecting) *column {
	c := &column{protecting: p, part: p.code.newPart(), free: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	c.free <- struct{}{}
	for range p.code.parity {
		c.parity = append(c.parity, make([]byte, manifest.BlockSize))
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

// sum computes the parity of a stripe.
func (c *column) sum(ctx context.Context, s stripe) error {
	numbers := c.stripes.data(s)
	parity := make([][]byte, len(c.parity))
	for at := int64(0); at < manifest.BlockSize; at += slice {
		for i, p := range c.parity {
			parity[i] = p[at : at+slice]
			clear(parity[i])
		}
		for first := 0; first < len(numbers); first += c.code.run {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.add(numbers, first, at, parity); err != nil {
				return err
			}
		}
	}
	return c.compare(numbers)
}

// compare returns an error if the parity is not that of the data blocks as they
// were written.
func (c *column) compare(numbers []int64) error {
	want, none := make([][]byte, len(c.parity)), new(check)
	for i := range want {
		want[i] = make([]byte, checkSize)
	}
	for first := 0; first < len(numbers); first += c.code.run {
		var data [][]byte
		for row := first; row < min(first+c.code.run, c.code.data); row++ {
			if row < len(numbers) {
				data = append(data, c.set.checks[numbers[row]][:])
			} else {
				data = append(data, none[:])
			}
		}
		if err := c.code.add(first/c.code.run, data, want, c.part); err != nil {
			return err
		}
	}
	for i, p := range c.parity {
		if *checkOf(p) != check(want[i]) {
			return c.blame(numbers)
		}
	}
	return nil
}

// blame returns an error that names a block which is read back otherwise than it
// was written, if it still is.
func (c *column) blame(numbers []int64) error {
	data := make([]byte, manifest.BlockSize)
	for _, number := range numbers {
		data := data[:min(manifest.BlockSize, c.size-number*manifest.BlockSize)]
		if err := c.read(number, 0, data); err != nil {
			return err
		}
		if *checkOf(data) != *c.set.checks[number] {
			return fmt.Errorf("%w: %s is read back otherwise than it was written", ErrDamaged, c.named(number))
		}
	}
	return fmt.Errorf("%w: %s, or one of its stripe, was once read back otherwise than it was written", ErrDamaged, c.named(numbers[0]))
}

// add adds a slice of a run of data blocks to that slice of the parity.
func (c *column) add(numbers []int64, first int, at int64, parity [][]byte) error {
	rows, read := min(c.code.run, c.code.data-first), int64(0)
	for i, data := range c.data[:rows] {
		size := int64(0)
		if row := first + i; row < len(numbers) {
			size = max(0, min(slice, c.size-numbers[row]*manifest.BlockSize-at))
			if err := c.read(numbers[row], at, data[:size]); err != nil {
				return err
			}
			read += size
		}
		clear(data[size:])
	}
	c.task.Add(read)
	return c.code.add(first/c.code.run, c.data[:rows], parity, c.part)
}

// read reads a part of a block of the space.
func (c *column) read(number, at int64, data []byte) error {
	v, off := c.place(number)
	if n, err := c.volumes[v].ReadAt(data, off+at); n < len(data) {
		return fmt.Errorf("reading back %s: %w", c.set.Volumes[v].Name, err)
	}
	return nil
}

// place returns which volume has a block of the space, and where.
func (c *column) place(number int64) (v int, off int64) {
	per := c.set.Volumes[0].Size // every volume but the last has it
	if len(c.volumes) == 1 {
		per = c.size
	}
	off = number * manifest.BlockSize
	return int(off / per), off % per
}

func (c *column) named(number int64) string {
	v, off := c.place(number)
	return fmt.Sprintf("block %d of volume %s", off/manifest.BlockSize, c.set.Volumes[v].Name)
}
