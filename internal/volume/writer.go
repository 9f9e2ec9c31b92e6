// Package volume cuts one long run of bytes, the space, into volume files of
// fixed blocks, and reads the space back from them with every block proven by
// its SHA-256 at the moment it is used.
//
// The space's byte at offset o stands in volume o / volume size; every volume
// but the last has that size. A block is manifest.BlockSize bytes of one
// volume, its last block perhaps fewer. blocks.bin lists the blocks' SHA-256
// hashes, 32 bytes each, volume after volume.
package volume

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// DefaultSize is the largest volume in bytes that FAT32, exFAT, NTFS and discs
// all take, in whole blocks.
const DefaultSize int64 = 4092 << 20

// BlocksPer returns how many blocks a volume of size bytes has.
func BlocksPer(size int64) int64 { return (size + manifest.BlockSize - 1) / manifest.BlockSize }

// Layout says how volumes are named and how large they are.
type Layout struct {
	Stem string // of the file names: stem.000.vol, stem.001.vol …
	Size int64  // bytes of every volume but the last: whole blocks
}

// Name returns the name of volume i.
func (l Layout) Name(i int) string { return fmt.Sprintf("%s.%03d.vol", l.Stem, i) }

// Set is what a Writer wrote.
type Set struct {
	Volumes []manifest.Volume
	Sums    manifest.Sums // SHA-256 of each volume
	Blocks  []byte        // blocks.bin
	Parity  *manifest.Parity

	checks  []*check        // of each block, for what is read back; see Writer.KeepChecks
	closing *errgroup.Group // the last volume is being made durable; nil: it is
}

// Writer writes a space as volumes. Hashing and writing run side by side, over
// at most 16 MiB of blocks under way (40 MiB more with Protect). A Writer serves
// one goroutine.
type Writer struct {
	layout Layout
	create func(name string) (io.WriteCloser, error)
	offset int64
	fill   *block
	free   chan *block
	stages []chan *block
	done   sync.WaitGroup

	hashed atomic.Int64 // end of what the hashing stage has taken

	set  Set
	sum  *twosum.Hash   // of the volume being hashed; the hashing stage's
	file io.WriteCloser // the volume being written; the writing stage's

	open    func(name string) (io.ReaderAt, error) // for ReadAt
	readers []io.ReaderAt                          // by volume; ReadAt's

	mu      sync.Mutex // guards offset and fill where ReadAt looks, and the following
	wrote   sync.Cond  // one of the following has changed, or set.checks
	written int64      // bytes that the volumes' files have taken
	ended   bool       // and will take
	failed  error

	files  sync.Mutex // held while a file is created or closed: a sink sees one such call at a time
	parity *parityStream

	follower *follower
	checks   bool           // are kept, for Set.Protect and Follow
	closing  errgroup.Group // the volume that has ended is closed in it, if Set.Protect follows
}

// block is up to BlockSize bytes on their way through the stages.
type block struct {
	data    []byte
	runs    []run     // of contents in data
	check   *checking // of data; nil: none is kept
	end     int64     // in the space
	volume  int
	ends    bool // the volume ends with it
	settles bool // it is none: only what was sent before it is waited for
	pending sync.WaitGroup
}

// run is bytes [from, to) of a block that have a sum.
type run struct {
	sum      *twosum.Hash
	from, to int
}

const underWay = 16

// NewWriter returns a Writer that calls create for each volume in order and
// closes it before the next is created.
func NewWriter(layout Layout, create func(name string) (io.WriteCloser, error)) (*Writer, error) {
	if layout.Size < manifest.BlockSize || layout.Size%manifest.BlockSize != 0 {
		return nil, fmt.Errorf("volume size %d: want a positive multiple of %d bytes", layout.Size, int64(manifest.BlockSize))
	}
	w := &Writer{layout: layout, create: create, free: make(chan *block, underWay+streamBlocks), sum: new(twosum.Hash)}
	w.set.Sums = manifest.Sums{}
	w.wrote.L = &w.mu
	for range underWay {
		w.free <- &block{data: make([]byte, 0, manifest.BlockSize)}
	}
	for _, step := range []func(*block){w.hashBlock, w.writeBlock} {
		w.begin(step)
	}
	return w, nil
}

// begin starts a stage that takes every block in order.
func (w *Writer) begin(step func(*block)) {
	stage := make(chan *block, underWay)
	w.stages = append(w.stages, stage)
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		for b := range stage {
			step(b)
			b.pending.Done()
		}
	}()
}

// Offset returns how many bytes were written so far.
func (w *Writer) Offset() int64 { return w.offset }

// Write appends p to the space. An error of creating or writing a volume is
// returned by a later Write or by Close.
func (w *Writer) Write(p []byte) (int, error) { return w.WriteHashed(p, nil) }

// WriteHashed is Write that adds p to sum as well, unless that is nil, in the pass
// that hashes its blocks: before Hashed passes the end of p. Until then sum is
// the Writer's. What is written to one sum has to stand in one run that begins at
// a multiple of twosum.BlockSize, and to have such a length each time but the last.
func (w *Writer) WriteHashed(p []byte, sum *twosum.Hash) (int, error) {
	written := 0
	for len(p) > 0 {
		if w.fill == nil {
			if err := w.next(); err != nil {
				return written, err
			}
		}
		n := min(len(p), manifest.BlockSize-len(w.fill.data))
		w.fill.note(sum, n)
		w.mu.Lock()
		w.fill.add(p[:n])
		w.offset += int64(n)
		w.mu.Unlock()
		p, written = p[n:], written+n
		if len(w.fill.data) == manifest.BlockSize {
			w.send(w.offset%w.layout.Size == 0)
		}
	}
	return written, nil
}

// atOnce is how many bytes are copied and then added to a check, while they are in
// the processor's cache.
const atOnce = 16 << 10

// add appends to the block, and adds to its check.
func (b *block) add(p []byte) {
	if b.check == nil {
		b.data = append(b.data, p...)
		return
	}
	for len(p) > 0 {
		at := len(b.data)
		n := min(len(p), atOnce-at%atOnce)
		b.data = append(b.data, p[:n]...)
		b.check.add(b.data[at:], at)
		p = p[n:]
	}
}

// note has the next n bytes of the block added to sum.
func (b *block) note(sum *twosum.Hash, n int) {
	if sum == nil {
		return
	}
	at, last := len(b.data), len(b.runs)-1
	if last >= 0 && b.runs[last].sum == sum {
		b.runs[last].to = at + n
		return
	}
	b.runs = append(b.runs, run{sum, at, at + n})
}

// Hashed returns the offset up to which sums given to WriteHashed are complete.
func (w *Writer) Hashed() int64 { return w.hashed.Load() }

// Settle waits until all sums given to WriteHashed are complete.
func (w *Writer) Settle() {
	settled := &block{settles: true}
	settled.pending.Add(1)
	w.stages[0] <- settled
	settled.pending.Wait()
	if w.fill != nil {
		w.fill.sumRuns()
	}
	w.hashed.Store(w.offset)
}

// sumRuns adds what has a sum to it.
func (b *block) sumRuns() {
	for _, r := range b.runs {
		r.sum.Write(b.data[r.from:r.to])
	}
	b.runs = b.runs[:0]
}

// next takes a free block to fill, waiting for one.
func (w *Writer) next() error {
	if err := w.err(); err != nil {
		return err
	}
	if w.offset >= int64(manifest.MaxVolumes)*w.layout.Size {
		return fmt.Errorf("more than %d volumes of %d bytes", manifest.MaxVolumes, w.layout.Size)
	}
	if w.offset >= manifest.MaxSpace {
		return fmt.Errorf("more than %d bytes of volumes", int64(manifest.MaxSpace))
	}
	b := <-w.free
	b.data, b.volume = b.data[:0], int(w.offset/w.layout.Size)
	if w.checks {
		b.check = new(checking)
	}
	w.mu.Lock()
	w.fill = b
	w.mu.Unlock()
	return nil
}

func (w *Writer) send(ends bool) {
	w.mu.Lock()
	b := w.fill
	w.fill, b.end, b.ends = nil, w.offset, ends
	w.mu.Unlock()
	b.pending.Add(len(w.stages))
	for _, stage := range w.stages {
		stage <- b
	}
	go func() {
		b.pending.Wait()
		w.free <- b
	}()
}

// Close ends the last volume and returns what was written. The space must not
// be empty. After an error the volumes are worthless; an open one is closed.
func (w *Writer) Close() (*Set, error) {
	if w.fill != nil {
		w.send(true)
	} else if w.offset == 0 {
		w.fail(errors.New("an empty space has no volumes"))
	} else if w.offset%w.layout.Size != 0 {
		// The last block was full, but its volume was not.
		m := w.marker()
		for _, stage := range w.stages {
			stage <- m
		}
	}
	for _, stage := range w.stages {
		close(stage)
	}
	w.done.Wait()
	if w.file != nil {
		w.file.Close()
	}
	if w.parity != nil {
		w.fail(w.parity.finish(&w.set))
	}
	if w.follower != nil {
		w.fail(w.follower.finish(&w.set))
		if w.set.Parity != nil { // else Set.Protect waits
			w.fail(w.closing.Wait())
		}
	}
	for _, r := range w.readers {
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
	}
	if err := w.err(); err != nil {
		w.closing.Wait()
		return nil, err
	}
	w.set.closing = &w.closing
	return &w.set, nil
}

// marker is an empty block that ends the last volume.
func (w *Writer) marker() *block {
	b := &block{volume: int(w.offset / w.layout.Size), ends: true}
	b.pending.Add(len(w.stages))
	return b
}

func (w *Writer) hashBlock(b *block) {
	if b.settles {
		return
	}
	sum := w.hash(b)
	w.hashed.Store(max(w.hashed.Load(), b.end))
	if len(b.data) > 0 {
		w.set.Blocks = append(w.set.Blocks, sum[:]...)
		w.keep(b)
	}
	if b.volume == len(w.set.Volumes) {
		w.set.Volumes = append(w.set.Volumes, manifest.Volume{Name: w.layout.Name(b.volume)})
	}
	v := &w.set.Volumes[b.volume]
	v.Size += int64(len(b.data))
	if b.ends {
		w.set.Sums[v.Name] = manifest.Digest(w.sum.Sum())
		w.sum = new(twosum.Hash)
	}
}

// keep keeps a block's check, if checks are kept.
func (w *Writer) keep(b *block) {
	if !w.checks {
		return
	}
	c := b.check.check()
	w.mu.Lock()
	w.set.checks = append(w.set.checks, c)
	w.mu.Unlock()
	w.wrote.Broadcast()
}

// hash returns a block's hash and adds it to the volume's, and to what has a sum.
func (w *Writer) hash(b *block) [twosum.Size]byte {
	if len(b.runs) == 1 && b.runs[0].to-b.runs[0].from == len(b.data) {
		other := b.runs[0].sum
		b.runs = b.runs[:0]
		return w.sum.AppendTo(other, b.data)
	}
	b.sumRuns()
	return w.sum.Append(b.data)
}

func (w *Writer) writeBlock(b *block) {
	if w.err() != nil {
		return
	}
	if err := w.writeTo(b); err != nil {
		w.fail(fmt.Errorf("writing %s: %w", w.layout.Name(b.volume), err))
		return
	}
	w.mu.Lock()
	w.written += int64(len(b.data))
	w.mu.Unlock()
	w.wrote.Broadcast()
}

func (w *Writer) writeTo(b *block) (err error) {
	if w.file == nil {
		if err := w.closing.Wait(); err != nil {
			return err
		}
		if w.file, err = w.createFile(w.layout.Name(b.volume)); err != nil {
			return err
		}
	}
	if _, err := w.file.Write(b.data); err != nil {
		return err
	}
	if b.ends {
		file := w.file
		w.file = nil
		if w.checks {
			w.closing.Go(func() error { return w.closeFile(file) })
			return nil
		}
		return w.closeFile(file)
	}
	return nil
}

func (w *Writer) closeFile(f io.Closer) error {
	w.files.Lock()
	defer w.files.Unlock()
	return f.Close()
}

func (w *Writer) createFile(name string) (io.WriteCloser, error) {
	w.files.Lock()
	defer w.files.Unlock()
	return w.create(name)
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil && err != nil {
		w.failed = err
		w.wrote.Broadcast()
	}
}

func (w *Writer) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}
