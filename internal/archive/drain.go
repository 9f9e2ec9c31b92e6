package archive

import (
	"io"

	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// drain is the goroutine that writes frames in order. Its fields are its own
// until it has ended.
type drain struct {
	space  hashingSpace
	offset int64
	frames map[int][]frame // by content
	wholes []*whole        // not judged yet; the last may not be complete
	err    error
	held   held
	told   listener // nil, or told of each frame
}

// listener is told where frames stand.
type listener interface {
	took(f frame)     // in the space
	tookHeld(f frame) // among those held; took comes for it later, in the same order, or dropHeld
	dropHeld()
}

// hashingSpace is a space that can take the digests of contents in the pass that
// takes its own. volume.Writer is one.
type hashingSpace interface {
	// WriteHashed appends p and, unless sum is nil, adds it to sum some time
	// before Hashed passes its end. Nobody else touches sum until then.
	WriteHashed(p []byte, sum *twosum.Hash) (int, error)
	// Hashed returns the offset up to which the sums are complete.
	Hashed() int64
	// Settle waits until they are up to the end.
	Settle()
}

// whole is a content that is stored as it is, and judged once it was written.
type whole struct {
	digest manifest.Digest
	sum    twosum.Hash
	end    int64 // in the space
}

func newDrain(space io.Writer) drain {
	hashing, ok := space.(hashingSpace)
	if !ok {
		hashing = &ownHashing{space: space}
	}
	return drain{space: hashing, frames: map[int][]frame{}}
}

// ownHashing takes digests for a space that does not.
type ownHashing struct {
	space  io.Writer
	hashed int64
}

func (s *ownHashing) WriteHashed(p []byte, sum *twosum.Hash) (int, error) {
	if sum != nil {
		sum.Write(p)
	}
	s.hashed += int64(len(p))
	return s.space.Write(p)
}

func (s *ownHashing) Hashed() int64 { return s.hashed }
func (s *ownHashing) Settle()       {}

func (d *drain) write(p *pending, e encoded) error {
	if len(d.frames[p.content]) == 0 {
		if err := d.begin(p.whole); err != nil {
			return err
		}
	}
	f := frame{kind: e.kind, encoded: int64(len(e.data)), page: e.page, offset: d.offset}
	d.frames[p.content] = append(d.frames[p.content], f)
	d.offset += f.encoded
	var sum *twosum.Hash
	if p.whole != nil {
		sum, p.whole.end = &p.whole.sum, d.offset
	}
	_, err := d.space.WriteHashed(e.data, sum)
	if err == nil && d.told != nil {
		d.told.took(f)
	}
	return err
}

// begin writes zeros up to where a content may begin. The one before is complete.
func (d *drain) begin(stored *whole) error {
	if err := d.judge(); err != nil {
		return err
	}
	if stored != nil {
		d.wholes = append(d.wholes, stored)
	}
	gap := aligned(d.offset) - d.offset
	d.offset += gap
	_, err := d.space.WriteHashed(make([]byte, gap), nil)
	return err
}

// judge refuses stored contents with other digests, as far as those are known.
// All of them have to be complete.
func (d *drain) judge() error {
	for hashed := d.space.Hashed(); len(d.wholes) > 0 && d.wholes[0].end <= hashed; d.wholes = d.wholes[1:] {
		if err := CheckDigest(d.wholes[0].digest, d.wholes[0].sum.Sum()); err != nil {
			return err
		}
	}
	return nil
}

// end judges what is left to be judged. The goroutine has ended, without an error.
func (d *drain) end() error {
	d.space.Settle()
	err := d.judge()
	if err == nil && len(d.wholes) > 0 {
		panic("archive: internal error: a content was not judged")
	}
	return err
}
