package delta

import (
	"encoding/binary"
	"math/bits"
)

// shortRun is the length from which on a run of differences states its length
// in a number of its own.
const shortRun = 4

// runs writes down differences.
type runs struct {
	gaps, singles, longer []byte
	gap                   int    // equal bytes since the run before
	open                  []byte // the run that may go on
	borrow                uint32 // from the next byte of the open run
}

func (r *runs) reset() {
	*r = runs{gaps: r.gaps[:0], singles: r.singles[:0], longer: r.longer[:0], open: r.open[:0]}
}

// add writes down how want differs from have, of one length. Where both are
// equal for no byte a run of the add before goes on.
func (r *runs) add(want, have []byte) {
	for i := 0; i < len(want); {
		if n := same(want[i:], have[i:]); n > 0 {
			r.close()
			r.gap += n
			i += n
		}
		for i < len(want) && want[i] != have[i] {
			var d uint32
			d, r.borrow = bits.Sub32(uint32(want[i]), uint32(have[i]), r.borrow)
			r.open = append(r.open, byte(d))
			i++
		}
	}
}

// close writes down the open run.
func (r *runs) close() {
	n := len(r.open)
	if n == 0 {
		return
	}
	r.gaps = binary.AppendUvarint(r.gaps, uint64(r.gap)<<2|uint64(min(n, shortRun)-1))
	if n >= shortRun {
		r.gaps = binary.AppendUvarint(r.gaps, uint64(n-shortRun))
	}
	if n == 1 {
		r.singles = append(r.singles, r.open...)
	} else {
		r.longer = append(r.longer, r.open...)
	}
	r.gap, r.open, r.borrow = 0, r.open[:0], 0
}

// patch is the differences of a frame, over all bytes that it copies taken as
// one run of bytes.
type patch struct {
	gaps, singles, longer []byte
	gap                   int    // equal bytes before the run
	run                   []byte // what is left of it
	carry                 uint   // into its next byte
	begun                 bool   // there was a run before
}

// next reads the next run.
func (p *patch) next() error {
	head, rest, err := uvarint(p.gaps)
	if err != nil {
		return err
	}
	gap, length := head>>2, head&3+1
	from := &p.longer
	switch length {
	case 1:
		from = &p.singles
	case shortRun:
		var more uint64
		if more, rest, err = uvarint(rest); err != nil {
			return err
		}
		length += min(more, PageSize)
	}
	if gap > PageSize || gap == 0 && p.begun || length > uint64(len(*from)) {
		return malformed("%d differences after %d bytes", length, gap)
	}
	p.gaps, p.gap, p.carry, p.begun = rest, int(gap), 0, true
	p.run, *from = (*from)[:length], (*from)[length:]
	return nil
}

// apply adds the differences to copied bytes.
func (p *patch) apply(copied []byte) error {
	for len(copied) > 0 {
		if p.gap+len(p.run) == 0 {
			if len(p.gaps) == 0 {
				return nil
			}
			if err := p.next(); err != nil {
				return err
			}
		}
		equal := min(p.gap, len(copied))
		p.gap, copied = p.gap-equal, copied[equal:]
		n := min(len(p.run), len(copied))
		for i, d := range p.run[:n] {
			sum := uint(copied[i]) + uint(d) + p.carry
			copied[i], p.carry = byte(sum), sum>>8
		}
		p.run, copied = p.run[n:], copied[n:]
	}
	return nil
}

func (p *patch) finish() error {
	if p.gap+len(p.run)+len(p.gaps)+len(p.singles)+len(p.longer) > 0 {
		return malformed("differences behind the last copy")
	}
	return nil
}
