package volume

import (
	"errors"
	"fmt"
	"slices"

	"airlock/internal/manifest"
)

// maxDamage is how many things that are wrong are listed.
const maxDamage = 100

// Damage is what a Survey found to be wrong. As an error it wraps ErrDamaged
// and names files and blocks, up to a hundred.
type Damage struct {
	Bad    []int64  // numbers of all bad blocks, ascending
	Lost   []int64  // those of volumes that parity and what was supplied cannot bring back
	Asked  []int64  // those of the lost ones with which parity brings back the others
	Files  []string // files that are not there as regular files
	Cut    []string // files of another size
	Texts  []string // small files that are damaged or missing; copy.tar has them, or is meant
	broken bool     // the signed texts contradict each other: nothing to be mended
	parity bool
	named  func(number int64) Block
	listed []error
	run    int // listed last, so many bad blocks of one file in a row
	more   bool
}

// Any reports whether anything is wrong.
func (d *Damage) Any() bool { return len(d.listed) > 0 || d.more }

// Repairable reports whether all of it can be mended with what is there.
func (d *Damage) Repairable() bool { return len(d.Lost) == 0 && !d.broken }

// Mendable reports whether there is parity, and all of it can be mended while
// reading.
func (d *Damage) Mendable() bool { return d.parity && d.Repairable() }

// Contradictory reports whether the signed texts contradict each other, which
// nothing can mend.
func (d *Damage) Contradictory() bool { return d.broken }

// Run is blocks of one file in a row.
type Run struct {
	File  string `json:"file"`
	First int64  `json:"first"` // number in the file
	Last  int64  `json:"last"`
}

func (r Run) String() string {
	if r.First == r.Last {
		return Block{File: r.File, Index: r.First}.String()
	}
	return fmt.Sprintf("blocks %d to %d of %s", r.First, r.Last, r.File)
}

// AppendBlock adds a block to runs: to the last one, if it is the next of it.
func AppendBlock(runs []Run, b Block) []Run {
	if n := len(runs); n > 0 && runs[n-1].File == b.File && runs[n-1].Last == b.Index-1 {
		runs[n-1].Last = b.Index
		return runs
	}
	return append(runs, Run{b.File, b.Index, b.Index})
}

// Runs returns blocks, Bad or Lost, as runs, at most so many, and the number of
// blocks that are in none of these.
func (d *Damage) Runs(numbers []int64, most int) (runs []Run, more int) {
	for i, number := range numbers {
		longer := AppendBlock(runs, d.named(number))
		if len(longer) > most {
			return runs, len(numbers) - i
		}
		runs = longer
	}
	return runs, 0
}

// add lists something that is wrong.
func (d *Damage) add(err error) {
	if len(d.listed) < maxDamage {
		d.listed = append(d.listed, err)
		return
	}
	d.more = true
}

// addFile lists what is wrong with a file as a whole.
func (d *Damage) addFile(s *section) {
	d.run = 0
	if s.wrong != nil {
		d.add(s.wrong)
	}
	if s.file == nil {
		d.Files = append(d.Files, s.name)
		d.addFrom(s, 0)
	} else if errors.Is(s.wrong, ErrDamaged) {
		d.Cut = append(d.Cut, s.name)
	}
}

// addFrom adds a file's blocks from one on.
func (d *Damage) addFrom(s *section, index int64) {
	for ; index < BlocksPer(s.size); index++ {
		d.Bad = append(d.Bad, s.first+index)
	}
}

// addBlock lists a bad block. In a bundle with parity, a run of them is listed
// once: bursts are long.
func (d *Damage) addBlock(b Block, err error) {
	n := len(d.Bad)
	d.Bad = append(d.Bad, b.Number)
	if d.run == 0 || !d.parity || b.Index == 0 || d.Bad[n-1] != b.Number-1 || d.more {
		d.add(err)
		d.run = 1
		return
	}
	d.run++
	last := len(d.listed) - 1
	if d.run == 2 {
		d.listed = append(d.listed, nil)
		last++
	}
	d.listed[last] = fmt.Errorf("%w: so %s, up to block %d of it", ErrDamaged, following(d.run-1), b.Index)
}

func following(blocks int) string {
	if blocks == 1 {
		return "is the block behind it"
	}
	return fmt.Sprintf("are the %d blocks behind it", blocks)
}

// Unwrap returns what is wrong, one by one. Of a bundle without parity, an
// error of the medium is not called damage.
func (d *Damage) Unwrap() []error {
	if !d.parity {
		return d.listed
	}
	return append([]error{ErrDamaged}, d.listed...)
}

// Error lists what is wrong and, if there is parity, sums it up in a last line.
func (d *Damage) Error() string {
	all := d.listed
	if d.more {
		all = append(all[:len(all):len(all)], fmt.Errorf("%w: and perhaps more", ErrDamaged))
	}
	if d.parity {
		all = append(all[:len(all):len(all)], d.summary())
	}
	return errors.Join(all...).Error()
}

func (d *Damage) summary() error {
	switch {
	case d.broken:
		return errors.New("the signed texts contradict each other, which nothing can mend")
	case len(d.Lost) > 0:
		return fmt.Errorf("%s bad, and %d of them cannot be made again from what is here", count(len(d.Bad)), len(d.Lost))
	case len(d.Bad) > 0:
		return fmt.Errorf("%s bad, and all can be repaired", count(len(d.Bad)))
	}
	return errors.New("all of it can be repaired")
}

func count(blocks int) string {
	if blocks == 1 {
		return "1 block is"
	}
	return fmt.Sprintf("%d blocks are", blocks)
}

// undamaged returns a Damage in which nothing is wrong yet.
func (r *Reader) undamaged() *Damage {
	return &Damage{parity: r.mender.parity != nil, named: r.named}
}

// Glance returns the damage that shows without reading a block: files that are
// missing, or cut. A Survey finds that, and perhaps more.
func (r *Reader) Glance() *Damage {
	d := r.undamaged()
	for i := range r.files {
		s := &r.files[i]
		d.addFile(s)
		if s.file != nil && s.have < s.size {
			d.addFrom(s, s.have/manifest.BlockSize)
		}
	}
	r.assess(d)
	return d
}

// assess finds out which of the bad blocks are lost, and how few of them have to
// come from elsewhere: of each stripe as many as its parity falls short, those
// in front, so that a burst is asked for in one run.
func (r *Reader) assess(d *Damage) {
	data, scratch := BlocksPer(r.size), make([]byte, manifest.BlockSize)
	for _, bad := range r.byStripe(d.Bad) {
		var lost []int64
		missing := 0
		for _, number := range bad {
			if r.supply(number, scratch[:r.blockSize(number)]) {
				continue
			}
			missing++
			if number < data {
				lost = append(lost, number)
			}
		}
		if short := missing - r.mender.bears(); short > 0 {
			d.Lost, d.Asked = append(d.Lost, lost...), append(d.Asked, lost[:short]...)
		}
	}
	slices.Sort(d.Lost)
	slices.Sort(d.Asked)
}

// texts adds what is wrong with the small files.
func (r *Reader) texts(d *Damage) {
	for _, name := range r.verified.Mended() {
		d.Texts = append(d.Texts, name)
		d.add(fmt.Errorf("%w: %q is missing or not what was signed; %s has it", ErrDamaged, name, manifest.CopyName))
	}
	if err := r.verified.CheckCopy(r.fsys); err != nil {
		d.Texts = append(d.Texts, manifest.CopyName)
		d.add(fmt.Errorf("%w: %w", ErrDamaged, err))
	}
}
