package volume

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// KeepChecks prepares for Set.Protect, which has to follow then: it waits until
// the last volume is closed, which Close does not. KeepChecks is called before
// anything is written.
func (w *Writer) KeepChecks() { w.checks = true }

// Place is where volumes are written and can be read, while they are written
// too. Its methods may be called by several goroutines.
type Place interface {
	Create(name string) (io.WriteCloser, error)
	Open(name string) (io.ReaderAt, error)
}

// piecesAtOnce bounds the memory that Set.Protect takes: each takes a slice of
// each block of a run, and three of the parity.
const piecesAtOnce = 4

// Protect adds parity to volumes that have been written, and completes the set
// with it. It reads the volumes once more, while the medium still takes the end of
// them; a block that is read back otherwise than it was written is an error
// wrapping ErrDamaged.
func (set *Set) Protect(ctx context.Context, layout Layout, p Protection, at Place, show progress.Sink) error {
	err := set.protect(ctx, layout, p, at, show)
	if closed := set.closing.Wait(); closed != nil {
		return fmt.Errorf("writing %s: %w", set.Volumes[len(set.Volumes)-1].Name, closed)
	}
	return err
}

func (set *Set) protect(ctx context.Context, layout Layout, p Protection, at Place, show progress.Sink) error {
	var size int64
	for _, v := range set.Volumes {
		size += v.Size
	}
	if int64(len(set.checks)) != BlocksPer(size) {
		return errors.New("parity needs the checks of what was written, which were not kept")
	}
	set.Parity = p.planBehind(BlocksPer(size), layout)
	run := &protecting{checks: set.checks, size: size, task: show.Start("parity", size)}
	defer run.task.Done()
	defer run.close()
	if err := run.prepare(set, layout, at); err != nil {
		return err
	}
	run.stripes.blocks = BlocksPer(size)
	for first := stripe(0); first < run.stripes.count(); first += stripe(run.stripes.Stripes) {
		if err := run.group(ctx, first); err != nil {
			return err
		}
	}
	return nil
}

// protecting computes the parity of one group after the other.
type protecting struct {
	set     *Set // to which parity is added
	layout  Layout
	at      Place
	size    int64    // bytes of the space, as far as it can be read
	checks  []*check // of its blocks
	code    *code
	stripes stripes
	columns []*column
	task    progress.Task
	volumes []io.ReaderAt
	files   []*parityFile // of the group: one for every row
}

func (p *protecting) prepare(set *Set, layout Layout, at Place) (err error) {
	p.set, p.layout, p.at, p.stripes.Parity = set, layout, at, set.Parity
	if p.code, err = newCode(set.Parity, longRun); err != nil {
		return err
	}
	for range piecesAtOnce {
		p.columns = append(p.columns, newColumn(p))
	}
	return nil
}

// open opens the volumes that have something of the space, as far as it goes.
func (p *protecting) open() error {
	for int64(len(p.volumes))*p.layout.Size < p.size {
		r, err := p.at.Open(p.layout.Name(len(p.volumes)))
		if err != nil {
			return err
		}
		p.volumes = append(p.volumes, r)
	}
	return nil
}

func (p *protecting) close() {
	for _, r := range p.volumes {
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
	}
	for _, f := range p.files {
		f.to.Close()
	}
}

// group writes a group's parity: a file for each row, all at once.
func (p *protecting) group(ctx context.Context, first stripe) error {
	if err := p.open(); err != nil {
		return err
	}
	for range p.stripes.Parity.Blocks {
		f, err := createParity(p.layout.parityName(len(p.set.Parity.Files)+len(p.files)), p.at.Create)
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
	}
	if err := p.sum(ctx, first); err != nil {
		return err
	}
	files := p.files
	p.files = nil
	return finishAll(files, p.set)
}

// sum computes the parity of a group's pieces side by side, and writes it in
// their order.
func (p *protecting) sum(ctx context.Context, first stripe) error {
	pieces, step := int(p.stripes.Stripes)*(manifest.BlockSize/slice), len(p.columns)
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range p.columns {
		group.Go(func() error {
			for n := i; n < pieces; n += step {
				if err := turn(ctx, c.free, c.full, func() error { return c.sum(ctx, p.piece(first, n)) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		for n := range pieces {
			c := p.columns[n%step]
			if err := turn(ctx, c.full, c.free, func() error { return p.write(c) }); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// write writes a piece of parity, a slice to each file. A stripe is compared
// when it ends.
func (p *protecting) write(c *column) error {
	for row, f := range p.files {
		if err := f.add(c.parity[row]); err != nil {
			return err
		}
	}
	if c.offset+slice < manifest.BlockSize {
		return nil
	}
	if err := p.compare(c.stripe); err != nil {
		return err
	}
	for _, f := range p.files {
		f.endBlock()
	}
	return nil
}
