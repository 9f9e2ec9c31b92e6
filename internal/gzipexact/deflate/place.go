package deflate

import "bufio"

// A Place is where a Reader stands between two reads. It holds what of the
// stream is needed to go on from there: up to 32 KiB.
type Place struct {
	block  int64 // bit where the block's header begins
	bit    int64 // where the stream goes on
	kind   blockKind
	last   bool
	stored int
	window []byte
}

// ReadSize is how much room a Read needs to leave a Reader at a Place.
const ReadSize = outRoom + outBehind

// Taken returns how many bytes of the stream were used up, behind its end: all.
func (r *Reader) Taken() int64 { return r.taken + int64(r.pos) }

// bit returns which bit of the stream comes next.
func (r *Reader) bit() int64 { return 8*r.Taken() - int64(r.n) }

// Place returns where r stands. False: not all that was inflated has been read,
// or the stream has ended.
func (r *Reader) Place() (Place, bool) {
	if r.read < r.end || r.err != nil {
		return Place{}, false
	}
	window := append([]byte(nil), r.out[max(r.from, r.end-Window):r.end]...)
	return Place{r.block, r.bit(), r.kind, r.last, r.stored, window}, true
}

// Resume returns a Reader that goes on from a place. open returns the stream
// from a byte of it on, as NewReader takes it.
func Resume(open func(at int64) *bufio.Reader, from Place) (*Reader, error) {
	r := NewReader(open(from.block / 8))
	if from.kind != betweenBlocks { // the codes stand in the block's header
		if err := r.skip(from.block); err != nil {
			return nil, err
		}
		if err := r.header(); err != nil {
			return nil, err
		}
	}
	r.src = open(from.bit / 8)
	r.in, r.pos, r.acc, r.n = nil, 0, 0, 0
	if err := r.skip(from.bit); err != nil {
		return nil, err
	}
	r.block, r.kind, r.last, r.stored = from.block, from.kind, from.last, from.stored
	r.from = Window - copy(r.out[Window-len(from.window):Window], from.window)
	return r, nil
}

// skip goes to a bit of the byte that comes next.
func (r *Reader) skip(bit int64) error {
	r.taken = bit / 8
	_, err := r.bits(uint(bit % 8))
	return err
}
