package volume

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// mender makes lost blocks again. It mends one stripe at a time.
type mender struct {
	parity   *stripes // nil: there is no parity
	code     *code
	supplied func(number int64, data []byte) bool

	mu       sync.Mutex // held while mending
	sums     *sums      // of the last stripe
	kept     map[int64][]byte
	repaired map[int64]bool
}

func (m *mender) init(from *manifest.Manifest) (err error) {
	m.repaired, m.kept = map[int64]bool{}, map[int64][]byte{}
	if from.Parity == nil {
		return nil
	}
	m.parity = &stripes{Parity: from.Parity, blocks: BlocksPer(from.SpaceSize())}
	m.code, err = newCode(from.Parity, longRun)
	return err
}

// bears returns how many blocks of a stripe may be lost.
func (m *mender) bears() int {
	if m.parity == nil {
		return 0
	}
	return int(m.parity.Blocks)
}

// Supply names another place where blocks may be found: block fills data with
// what it has for a block of that number, or returns false. What it gives is
// proven like everything else. It is called before anything is read.
func (r *Reader) Supply(block func(number int64, data []byte) bool) { r.mender.supplied = block }

// supply fills data with a proven block that was supplied.
func (r *Reader) supply(number int64, data []byte) bool {
	return r.mender.supplied != nil && r.mender.supplied(number, data) && r.proves(number, data, nil)
}

// Block is a block of a bundle, for people and for Repaired.
type Block struct {
	Number int64  // in blocks.bin
	File   string // a volume or parity file
	Index  int64  // in the file
}

func (b Block) String() string { return fmt.Sprintf("block %d of %s", b.Index, b.File) }

func (r *Reader) named(number int64) Block {
	s := r.locate(number)
	return Block{Number: number, File: s.name, Index: number - s.first}
}

// Repaired returns the blocks that were bad where they should be and have been
// made again from others while reading, in order. What lies there is as it was.
func (r *Reader) Repaired() []Block {
	r.mender.mu.Lock()
	defer r.mender.mu.Unlock()
	var all []Block
	for _, number := range slices.Sorted(maps.Keys(r.mender.repaired)) {
		all = append(all, r.named(number))
	}
	return all
}

// mend fills data with a block that could not be read. What else its stripe
// has lost is kept for a while: damage comes in bursts.
func (r *Reader) mend(number int64, data []byte) error {
	r.mender.mu.Lock()
	defer r.mender.mu.Unlock()
	if r.supply(number, data) {
		r.mender.repaired[number] = true
		return nil
	}
	made, ok := r.mender.kept[number]
	if !ok {
		got, err := r.recover(r.mender.parity.of(number), []int64{number})
		if err != nil {
			return err
		}
		made = got[number]
		r.keep(got)
	}
	copy(data, made)
	delete(r.mender.kept, number)
	r.mender.repaired[number] = true
	return nil
}

// keptBlocks bounds how many blocks are kept that were made again but not
// asked for yet: a burst as long as can be mended with parity computed on the way.
const keptBlocks = 20

func (r *Reader) keep(made map[int64][]byte) {
	if len(r.mender.kept)+len(made) > keptBlocks {
		clear(r.mender.kept)
	}
	for number, data := range made {
		if number < r.mender.parity.blocks {
			r.mender.kept[number] = data
		}
	}
}

// recover makes bad blocks of a stripe again, and returns them by number:
// those given, and every data block of it that proves to be bad, but for what
// is supplied.
func (r *Reader) recover(s stripe, bad []int64) (map[int64][]byte, error) {
	if r.mender.sums == nil {
		r.mender.sums = r.mender.code.newSums()
	}
	r.mender.sums.reset()
	c := &recovery{r: r, stripe: s, sums: r.mender.sums, bad: map[int64]bool{}, known: map[int][]byte{}, made: map[int64][]byte{}}
	for _, number := range bad {
		c.bad[number] = true
	}
	if err := c.readData(); err != nil {
		return nil, err
	}
	if err := c.readParity(); err != nil {
		return nil, err
	}
	if err := c.solve(); err != nil {
		return nil, err
	}
	return c.made, c.remake()
}

// recovery is the mending of one stripe.
type recovery struct {
	r       *Reader
	stripe  stripe
	sums    *sums
	bad     map[int64]bool
	missing []int          // rows of lost data blocks
	known   map[int][]byte // as many good parity blocks, by row
	made    map[int64][]byte
}

// get reads a block, or takes one that was supplied.
func (c *recovery) get(number int64, data []byte) bool {
	if !c.bad[number] && c.r.read(number, data, nil) == nil {
		return true
	}
	c.bad[number] = !c.r.supply(number, data)
	return !c.bad[number]
}

func (c *recovery) readData() error {
	for row, number := range c.r.mender.parity.data(c.stripe) {
		data, err := c.sums.slot(row, int(c.r.blockSize(number)))
		if err != nil {
			return err
		}
		if !c.get(number, data) {
			c.sums.without(row)
			c.missing = append(c.missing, row)
		}
	}
	return nil
}

func (c *recovery) readParity() error {
	layout := c.r.mender.parity
	for row := 0; row < int(layout.Blocks) && len(c.known) < len(c.missing); row++ {
		data := make([]byte, manifest.BlockSize)
		if c.get(layout.parity(c.stripe, row), data) {
			c.known[row] = data
		}
	}
	if len(c.known) < len(c.missing) {
		return c.beyond()
	}
	return nil
}

// beyond is the error of a stripe with more bad blocks than can be mended.
func (c *recovery) beyond() error {
	var names []string
	for _, number := range slices.Sorted(maps.Keys(c.bad)) {
		if c.bad[number] {
			names = append(names, c.r.named(number).String())
		}
	}
	const most = 12
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return fmt.Errorf("%w: more blocks that belong together are bad than the parity of %d can mend: %s",
		ErrDamaged, c.r.mender.parity.Blocks, strings.Join(names, ", "))
}

// solve makes the lost data blocks and proves them.
func (c *recovery) solve() error {
	solved, err := c.sums.solve(c.missing, c.known)
	if err != nil {
		return err
	}
	numbers := c.r.mender.parity.data(c.stripe)
	for i, row := range c.missing {
		number := numbers[row]
		data := solved[i][:c.r.blockSize(number)]
		if !c.r.proves(number, data, nil) {
			return fmt.Errorf("%w: %s, made again from parity, is not what was signed", ErrDamaged, c.r.named(number))
		}
		c.made[number] = data
	}
	return nil
}

// remake computes the parity blocks that are bad.
func (c *recovery) remake() error {
	numbers := c.r.mender.parity.data(c.stripe)
	for _, row := range c.missing {
		if err := c.sums.add(row, c.made[numbers[row]]); err != nil {
			return err
		}
	}
	if err := c.sums.flush(); err != nil {
		return err
	}
	for row, data := range c.sums.parity {
		number := c.r.mender.parity.parity(c.stripe, row)
		if !c.bad[number] {
			continue
		}
		if !c.r.proves(number, data, nil) {
			return fmt.Errorf("%w: %s, computed again, is not what was signed", ErrDamaged, c.r.named(number))
		}
		c.made[number] = slices.Clone(data)
	}
	return nil
}

// Mend makes every block again that a Survey found bad, and hands each to
// write. It reads a stripe at a time. Damage beyond the parity is an error,
// before any other stripe is mended.
func (r *Reader) Mend(ctx context.Context, d *Damage, show progress.Sink, write func(b Block, data []byte) error) error {
	if len(d.Lost) > 0 {
		return d
	}
	task := show.Start("repairing", int64(len(d.Bad))*manifest.BlockSize)
	defer task.Done()
	r.mender.mu.Lock()
	defer r.mender.mu.Unlock()
	supplied := make([]byte, manifest.BlockSize)
	for _, bad := range r.byStripe(d.Bad) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var lost []int64
		for _, number := range bad {
			data := supplied[:r.blockSize(number)]
			if !r.supply(number, data) {
				lost = append(lost, number)
				continue
			}
			if err := write(r.named(number), data); err != nil {
				return err
			}
		}
		if err := r.mendStripe(lost, write); err != nil {
			return err
		}
		task.Add(int64(len(bad)) * manifest.BlockSize)
	}
	return nil
}

// mendStripe makes bad blocks of one stripe again.
func (r *Reader) mendStripe(bad []int64, write func(b Block, data []byte) error) error {
	if len(bad) == 0 {
		return nil
	}
	if r.mender.parity == nil { // what was supplied has gone since
		return fmt.Errorf("%w: %s is lost", ErrDamaged, r.named(bad[0]))
	}
	made, err := r.recover(r.mender.parity.of(bad[0]), bad)
	if err != nil {
		return err
	}
	for _, number := range bad {
		if err := write(r.named(number), made[number]); err != nil {
			return err
		}
	}
	return nil
}

// byStripe sorts block numbers by their stripes; without parity each is alone.
func (r *Reader) byStripe(numbers []int64) [][]int64 {
	var all [][]int64
	at := map[stripe]int{}
	for _, number := range numbers {
		s := stripe(number)
		if r.mender.parity != nil {
			s = r.mender.parity.of(number)
		}
		i, ok := at[s]
		if !ok {
			i, at[s] = len(all), len(all)
			all = append(all, nil)
		}
		all[i] = append(all[i], number)
	}
	return all
}
