package volume

import (
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/klauspost/reedsolomon"

	"airlock/internal/manifest"
)

// code computes the parity of stripes. It is safe for use by several goroutines.
type code struct {
	data, parity int
	run          int                   // how many data blocks are coded together
	multiply     []reedsolomon.Encoder // for every run of data blocks
}

// longRun is how many data blocks are best coded together: what the vector
// instructions take in one go. Fewer take less memory, and more time.
const longRun = 10

func newCode(p *manifest.Parity, run int) (*code, error) {
	c := &code{data: int(p.Data), parity: int(p.Blocks), run: min(run, int(p.Data))}
	for first := 0; first < c.data; first += c.run {
		n := min(c.run, c.data-first)
		matrix := make([][]byte, c.parity)
		for i := range matrix {
			for j := range n {
				matrix[i] = append(matrix[i], coefficient(c.data, i, first+j))
			}
		}
		m, err := multiplier(matrix)
		if err != nil {
			return nil, err
		}
		c.multiply = append(c.multiply, m)
	}
	return c, nil
}

// multiplier returns what multiplies columns of bytes by a matrix.
func multiplier(matrix [][]byte) (reedsolomon.Encoder, error) {
	m, err := reedsolomon.New(len(matrix[0]), len(matrix), reedsolomon.WithCustomMatrix(matrix),
		reedsolomon.WithInversionCache(false), reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("parity of %d over %d blocks: %w", len(matrix), len(matrix[0]), err)
	}
	return m, nil
}

// sums adds up the parity of one stripe. It holds a run of blocks beside the
// parity itself.
type sums struct {
	code   *code
	parity [][]byte // so far
	run    int      // of held, in code.multiply
	held   [][]byte // blocks of the run; nil: not added
	own    [][]byte // memory for them, unless they are lent
	zero   []byte   // a block of zeros
	part   []byte   // scratch
	giveUp func()   // nil, or told when lent blocks are not needed any more
}

// slice is how many bytes of every block are coded at once, so that they stay
// in the processor's cache.
const slice = 32 << 10

func (c *code) newSums() *sums {
	s := &sums{code: c, part: c.newPart()}
	for range c.parity {
		s.parity = append(s.parity, make([]byte, manifest.BlockSize))
	}
	s.held, s.own = make([][]byte, c.run), make([][]byte, c.run)
	return s
}

// reset begins another stripe.
func (s *sums) reset() {
	for _, p := range s.parity {
		clear(p)
	}
	clear(s.held)
}

// add adds the data block of a row. A row may be added once, best in
// ascending order.
func (s *sums) add(row int, data []byte) error {
	to, err := s.slot(row, len(data))
	copy(to, data)
	return err
}

// slot is add of size bytes that the caller will put in what it returns; what
// a block lacks is filled up with zeros.
func (s *sums) slot(row, size int) ([]byte, error) {
	if err := s.turnTo(row); err != nil {
		return nil, err
	}
	i := row % s.code.run
	if s.own[i] == nil {
		s.own[i] = make([]byte, manifest.BlockSize)
	}
	s.held[i] = s.own[i]
	clear(s.held[i][size:])
	return s.held[i][:size], nil
}

// lend is add of a whole block that stays as it is until giveUp is called.
func (s *sums) lend(row int, data []byte) error {
	err := s.turnTo(row)
	s.held[row%s.code.run] = data
	return err
}

// turnTo prepares for a block of a row.
func (s *sums) turnTo(row int) error {
	run := row / s.code.run
	if run == s.run {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.run = run
	return nil
}

// without takes back the row that was added last.
func (s *sums) without(row int) { s.held[row%s.code.run] = nil }

// flush brings parity up to date with what was added.
func (s *sums) flush() error {
	rows := min(s.code.run, s.code.data-s.run*s.code.run)
	added := 0
	for i, h := range s.held[:rows] {
		if h != nil {
			added++
			continue
		}
		if s.zero == nil {
			s.zero = make([]byte, manifest.BlockSize)
		}
		s.held[i] = s.zero // what is missing counts as zeros
	}
	if added > 0 {
		if err := s.encode(rows); err != nil {
			return err
		}
	}
	clear(s.held)
	if s.giveUp != nil {
		s.giveUp()
	}
	return nil
}

// encode adds what the blocks that are held give to the parity.
func (s *sums) encode(rows int) error {
	data, parity := make([][]byte, rows), make([][]byte, s.code.parity)
	for at := 0; at < manifest.BlockSize; at += slice {
		for i := range data {
			data[i] = s.held[i][at : at+slice]
		}
		for i := range parity {
			parity[i] = s.parity[i][at : at+slice]
		}
		if err := s.code.add(s.run, data, parity, s.part); err != nil {
			return err
		}
	}
	return nil
}

// newPart returns what add takes as scratch.
func (c *code) newPart() []byte { return make([]byte, c.parity*slice) }

// add adds what a slice of each of a run's data blocks gives to the same slice
// of the parity blocks: at most slice bytes of each. It overwrites part.
func (c *code) add(run int, data, parity [][]byte, part []byte) error {
	shards, size := slices.Clone(data), len(data[0])
	for i := range parity {
		shards = append(shards, part[i*size:(i+1)*size])
	}
	if err := c.multiply[run].Encode(shards); err != nil {
		return fmt.Errorf("computing parity: %w", err)
	}
	for i, p := range parity {
		subtle.XORBytes(p, p, shards[len(data)+i])
	}
	return nil
}

// solve returns the data blocks of the missing rows. All other rows have been
// added; known holds that many good parity blocks by their rows, and is used up.
func (s *sums) solve(missing []int, known map[int][]byte) ([][]byte, error) {
	if err := s.flush(); err != nil || len(missing) == 0 {
		return nil, err
	}
	var matrix [][]byte
	var shards [][]byte
	for row := range s.parity {
		good, ok := known[row]
		if !ok {
			continue
		}
		// What the missing blocks add to this parity block.
		subtle.XORBytes(good, good, s.parity[row])
		shards = append(shards, good)
		var line []byte
		for _, column := range missing {
			line = append(line, coefficient(s.code.data, row, column))
		}
		matrix = append(matrix, line)
	}
	if len(matrix) != len(missing) {
		return nil, fmt.Errorf("solving for %d blocks with %d of parity", len(missing), len(matrix))
	}
	invert(matrix)
	m, err := multiplier(matrix)
	if err != nil {
		return nil, err
	}
	for range missing {
		shards = append(shards, make([]byte, manifest.BlockSize))
	}
	if err := m.Encode(shards); err != nil {
		return nil, fmt.Errorf("solving for lost blocks: %w", err)
	}
	return shards[len(missing):], nil
}
