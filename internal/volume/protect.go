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

// KeepChecks prepares for Set.Protect. It is called before anything is written.
func (w *Writer) KeepChecks() { w.checks = true }

// Place is where volumes were written and can be read.
type Place interface {
	Create(name string) (io.WriteCloser, error)
	Open(name string) (io.ReaderAt, error)
}

// stripesAtOnce bounds the memory that Set.Protect takes: each takes its
// parity and longRun blocks of data, 20 MiB (26 with spare volumes).
const stripesAtOnce = 3

// Protect adds parity to volumes that have been written, and completes the set
// with it. It reads the volumes once more; a block that is read back otherwise
// than it was written is an error wrapping ErrDamaged.
func (set *Set) Protect(ctx context.Context, layout Layout, p Protection, at Place, show progress.Sink) error {
	var size int64
	for _, v := range set.Volumes {
		size += v.Size
	}
	if int64(len(set.checks)) != BlocksPer(size) {
		return errors.New("parity needs the checks of what was written, which were not kept")
	}
	set.Parity = p.plan(BlocksPer(size), layout, bounds{BlocksPer(layout.Size), manifest.MaxStripeParity})
	coder, err := newCode(set.Parity, longRun)
	if err != nil {
		return err
	}
	run := &protecting{
		set: set, layout: layout, at: at, size: size, code: coder,
		stripes: stripes{Parity: set.Parity, blocks: BlocksPer(size)}, task: show.Start("parity", size),
	}
	defer run.task.Done()
	defer run.close()
	for range min(stripesAtOnce, set.Parity.Stripes) {
		run.sums = append(run.sums, coder.newSums())
	}
	return run.run(ctx)
}

// protecting is one call of Protect.
type protecting struct {
	set     *Set
	layout  Layout
	at      Place
	size    int64 // bytes of the space
	code    *code
	stripes stripes
	sums    []*sums
	task    progress.Task
	volumes []io.ReaderAt
	files   []*parityFile // of the group: one for every row
}

func (p *protecting) run(ctx context.Context) error {
	for _, v := range p.set.Volumes {
		r, err := p.at.Open(v.Name)
		if err != nil {
			return err
		}
		p.volumes = append(p.volumes, r)
	}
	for first := stripe(0); first < p.stripes.count(); first += stripe(p.stripes.Stripes) {
		if err := p.group(ctx, first); err != nil {
			return err
		}
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
	for range p.stripes.Parity.Blocks {
		f, err := createParity(p.layout.parityName(len(p.set.Parity.Files)+len(p.files)), p.at.Create)
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
	}
	end := first + stripe(p.stripes.Stripes)
	for s := first; s < end; s += stripe(len(p.sums)) {
		if err := p.some(ctx, s, min(s+stripe(len(p.sums)), end)); err != nil {
			return err
		}
	}
	for len(p.files) > 0 {
		f := p.files[0]
		p.files = p.files[1:]
		if err := f.finish(p.set); err != nil {
			return err
		}
	}
	return nil
}

// some writes the parity of a few stripes, computed side by side.
func (p *protecting) some(ctx context.Context, from, to stripe) error {
	group, ctx := errgroup.WithContext(ctx)
	for s := from; s < to; s++ {
		group.Go(func() error { return p.sum(ctx, s, p.sums[s-from]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for row, f := range p.files {
		for s := from; s < to; s++ {
			if err := f.write(p.sums[s-from].parity[row]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum adds up a stripe.
func (p *protecting) sum(ctx context.Context, s stripe, to *sums) error {
	to.reset()
	for row, number := range p.stripes.data(s) {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := to.slot(row, int(min(manifest.BlockSize, p.size-number*manifest.BlockSize)))
		if err == nil {
			err = p.read(number, data)
		}
		if err != nil {
			return err
		}
		p.task.Add(int64(len(data)))
	}
	return to.flush()
}

// read reads a block of the space.
func (p *protecting) read(number int64, data []byte) error {
	per := p.set.Volumes[0].Size // every volume but the last has it
	if len(p.volumes) == 1 {
		per = p.size
	}
	off := number * manifest.BlockSize
	v := int(off / per)
	if n, err := p.volumes[v].ReadAt(data, off%per); n < len(data) {
		return fmt.Errorf("reading back %s: %w", p.set.Volumes[v].Name, err)
	}
	if check(data) != p.set.checks[number] {
		return fmt.Errorf("%w: block %d of volume %s is read back otherwise than it was written", ErrDamaged, off%per/manifest.BlockSize, p.set.Volumes[v].Name)
	}
	return nil
}
