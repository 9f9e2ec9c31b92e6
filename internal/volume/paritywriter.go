package volume

import (
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// parityName returns the name of parity file i.
func (l Layout) parityName(i int) string { return fmt.Sprintf("%s.p%02d.par", l.Stem, i) }

// parityFile is a parity file that is being written.
type parityFile struct {
	name   string
	to     io.WriteCloser
	size   int64
	sum    twosum.Hash
	block  twosum.Hash // of the block that has begun
	check  checking    // of it
	blocks []byte      // digests
}

func createParity(name string, create func(name string) (io.WriteCloser, error)) (*parityFile, error) {
	to, err := create(name)
	if err != nil {
		return nil, err
	}
	return &parityFile{name: name, to: to}, nil
}

// write writes a block.
func (f *parityFile) write(block []byte) error {
	if _, err := f.to.Write(block); err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	sum := f.sum.Append(block)
	f.blocks = append(f.blocks, sum[:]...)
	f.size += int64(len(block))
	return nil
}

// add writes a part of a block.
func (f *parityFile) add(part []byte) error {
	if _, err := f.to.Write(part); err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	f.sum.WriteBoth(&f.block, part)
	f.check.add(part, int(f.size%manifest.BlockSize))
	f.size += int64(len(part))
	return nil
}

// endBlock ends the block that add has written.
func (f *parityFile) endBlock() {
	sum := f.block.Sum()
	f.blocks = append(f.blocks, sum[:]...)
	f.block, f.check = twosum.Hash{}, checking{}
}

// finish closes the file and lists it in the set as the next one.
func (f *parityFile) finish(set *Set) error {
	return finishAll([]*parityFile{f}, set)
}

// finishAll closes files side by side, so that they are made durable together,
// and lists them in the set as the next ones.
func finishAll(files []*parityFile, set *Set) error {
	var group errgroup.Group
	for _, f := range files {
		group.Go(func() error {
			if err := f.to.Close(); err != nil {
				return fmt.Errorf("writing %s: %w", f.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, f := range files {
		set.Parity.Files = append(set.Parity.Files, manifest.Volume{Name: f.name, Size: f.size})
		set.Sums[f.name] = manifest.Digest(f.sum.Sum())
		set.Blocks = append(set.Blocks, f.blocks...)
	}
	return nil
}

// parityStream computes parity while the space is written, for places that
// cannot be read back. It has a group's parity in memory, and a run of blocks
// of each stripe: at most streamBlocks of both.
type parityStream struct {
	writer *Writer
	plan   *manifest.Parity
	sums   []*sums    // of the group's stripes
	lent   [][]*block // of the writer's blocks, by stripe
	next   int64      // block of the space
	failed error

	set      Set  // of the parity files alone
	fileARow bool // each row of a group has a file of its own
	file     *parityFile
}

// streamBlocks bounds the memory that parity on the way takes, in blocks. Of
// them 20 are parity, so many bad blocks in a row can be mended: more than an
// erase block of flash.
const streamBlocks = 40

// streamFile is how many bytes a parity file has at most that is written on
// the way: a tar has it in memory until it is whole.
const streamFile = 8 << 20

// streamRun is how many data blocks of a stripe are coded together on the way.
const streamRun = longRun

// spareRun is streamRun where a stripe has a block of every volume.
const spareRun = 1

// StreamVolume returns the largest size of volumes for which Writer.Protect
// can compute spare volumes, as it has them in memory.
func (p Protection) StreamVolume() int64 {
	files := p.parityOf(1) + 1
	return max(streamBlocks/files, 1) * manifest.BlockSize
}

// Protect makes the writer compute parity on the way. It is called before
// anything is written; the space will have at most size bytes. Whoever can read
// back what was written gets parity against longer bursts from Set.Protect.
func (w *Writer) Protect(p Protection, size int64) error {
	plan, run := p.planStream(max(BlocksPer(size), 1), w.layout), streamRun
	if plan == nil {
		return fmt.Errorf("spare volumes of %d bytes do not fit in memory on the way, at most %d", w.layout.Size, p.StreamVolume())
	}
	if p.Spare > 0 {
		run = spareRun
	}
	coder, err := newCode(plan, run)
	if err != nil {
		return err
	}
	s := &parityStream{writer: w, plan: plan, set: Set{Parity: plan, Sums: manifest.Sums{}}, fileARow: p.Spare > 0}
	s.lent = make([][]*block, plan.Stripes)
	for i := range plan.Stripes {
		one := coder.newSums()
		one.giveUp = func() { s.giveBack(int(i)) }
		s.sums = append(s.sums, one)
		for range coder.run { // as many blocks more are on their way
			w.free <- &block{data: make([]byte, 0, manifest.BlockSize)}
		}
	}
	w.parity = s
	w.begin(s.take)
	return nil
}

// take is a stage of the writer.
func (s *parityStream) take(b *block) {
	if s.failed == nil && len(b.data) > 0 {
		s.failed = s.add(b)
	}
	if s.failed != nil {
		s.writer.fail(s.failed)
	}
}

func (s *parityStream) add(b *block) error {
	group := s.plan.Data * s.plan.Stripes
	inside := s.next % group
	i, row := int(inside%s.plan.Stripes), int(inside/s.plan.Stripes)
	if len(b.data) < manifest.BlockSize {
		if err := s.sums[i].add(row, b.data); err != nil {
			return err
		}
	} else {
		if err := s.sums[i].lend(row, b.data); err != nil {
			return err
		}
		b.pending.Add(1)
		s.lent[i] = append(s.lent[i], b)
	}
	if s.next++; s.next%group == 0 {
		return s.emit()
	}
	return nil
}

// giveBack lets the writer have a stripe's lent blocks again.
func (s *parityStream) giveBack(stripe int) {
	for _, b := range s.lent[stripe] {
		b.pending.Done()
	}
	s.lent[stripe] = s.lent[stripe][:0]
}

// emit writes the parity of the group that has ended.
func (s *parityStream) emit() error {
	for _, one := range s.sums {
		if err := one.flush(); err != nil {
			return err
		}
	}
	for row := range s.plan.Blocks {
		for _, one := range s.sums {
			if err := s.write(one.parity[row]); err != nil {
				return err
			}
		}
		if s.fileARow {
			if err := s.end(); err != nil {
				return err
			}
		}
	}
	for _, one := range s.sums {
		one.reset()
	}
	return s.end()
}

// write writes a parity block to a file of the group.
func (s *parityStream) write(block []byte) (err error) {
	if s.file == nil {
		name := s.writer.layout.parityName(len(s.plan.Files))
		if s.file, err = createParity(name, s.writer.createFile); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := s.file.write(block); err != nil {
		return err
	}
	if s.file.size+manifest.BlockSize > min(s.writer.layout.Size, streamFile) {
		return s.end()
	}
	return nil
}

func (s *parityStream) end() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	s.writer.files.Lock()
	defer s.writer.files.Unlock()
	return file.finish(&s.set)
}

// finish ends the last group, when all other stages are over, and adds the
// parity to the set.
func (s *parityStream) finish(set *Set) error {
	if s.failed == nil && s.writer.err() == nil && s.next%(s.plan.Data*s.plan.Stripes) != 0 {
		s.failed = s.emit()
	}
	if s.file != nil {
		s.file.to.Close()
	}
	for i := range s.lent {
		s.giveBack(i)
	}
	if s.failed != nil {
		return s.failed
	}
	set.addParity(&s.set)
	return nil
}
