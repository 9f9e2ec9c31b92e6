package goflate

import (
	"encoding/binary"
	"math/bits"

	"airlock/internal/gzipexact/deflate"
)

// hashMul is the multiplier of every hash whose collisions show in the output.
const hashMul = 0x1e35a7bd

const (
	fastTableBits = 14
	fastMargin    = 15 // no search starts in the last bytes of a block
	// farAway is where positions start, so that an empty table entry is out
	// of reach.
	farAway = 1 << 17
	// rebaseAt is the position at which tables are renumbered.
	rebaseAt = 1 << 31
)

// A fast is level 1: blocks of 65535 bytes; one candidate for each position,
// the last with the same hash, which may lie in the block before.
type fast struct {
	out    *blocks
	table  [1 << fastTableBits]uint32 // position with that hash
	tokens []deflate.Token

	buf   []byte // the block before, then the block that is filling
	start int    // of the block that is filling
	base  uint32 // position of buf[0]
}

func newFast(out *blocks) *fast {
	return &fast{out: out, buf: make([]byte, 0, 2*chunkSize+8), tokens: make([]deflate.Token, 0, chunkSize)}
}

func (f *fast) reset() {
	f.base += uint32(len(f.buf)) + farAway
	f.buf, f.start = f.buf[:0], 0
	if f.base >= rebaseAt {
		clear(f.table[:])
		f.base = farAway
	}
}

func (f *fast) write(p []byte) {
	for len(p) > 0 {
		n := min(chunkSize-(len(f.buf)-f.start), len(p))
		f.buf, p = append(f.buf, p[:n]...), p[n:]
		if len(f.buf)-f.start == chunkSize {
			f.block()
			f.slide()
		}
	}
}

// slide makes the block just written the block before.
func (f *fast) slide() {
	if f.start > 0 {
		f.base += uint32(f.start)
		f.buf = f.buf[:copy(f.buf, f.buf[f.start:])]
	}
	f.start = len(f.buf)
	if f.base >= rebaseAt {
		rebase(f.table[:], f.base, farAway)
		f.base = farAway
	}
}

// rebase renumbers a table of positions as if from were to, and forgets those
// out of reach.
func rebase(table []uint32, from, to uint32) {
	for i, p := range table {
		if p+deflate.Window < from {
			table[i] = 0
		} else {
			table[i] = p - from + to
		}
	}
}

func (f *fast) drain() {
	n := len(f.buf) - f.start
	switch {
	case n == 0:
	case n <= 16:
		f.out.Stored(f.buf[f.start:])
	case n < 128:
		f.out.literals(f.buf[f.start:])
	default:
		f.block()
	}
	f.reset()
}

func (f *fast) block() {
	raw := f.buf[f.start:]
	f.parse()
	if len(f.tokens) > len(raw)-len(raw)>>4 {
		f.out.literals(raw)
		return
	}
	f.out.dynamic(f.tokens, raw)
}

func fastHash(v uint32) uint32 { return v * hashMul >> (32 - fastTableBits) }

// parse makes f.tokens the tokens of the block that is filling.
func (f *fast) parse() {
	f.tokens = f.tokens[:0]
	buf, table := f.buf, &f.table
	limit := len(buf) - fastMargin
	emitted := f.start
	next := f.start
	cv := binary.LittleEndian.Uint32(buf[next:])
	h := fastHash(cv)
	for {
		// After 32 misses every second position is tried, then every third …
		skip := 32
		var s, t int
		for {
			s = next
			step := skip >> 5
			next = s + step
			skip += step
			if next > limit {
				f.literals(buf[emitted:])
				return
			}
			dist := f.base + uint32(s) - table[h]
			now := binary.LittleEndian.Uint32(buf[next:])
			table[h] = f.base + uint32(s)
			h = fastHash(now)
			t = s - int(dist)
			if dist <= deflate.Window && t >= 0 && cv == binary.LittleEndian.Uint32(buf[t:]) {
				break
			}
			cv = now
		}
		f.literals(buf[emitted:s])
		for {
			n := 4 + matchLen(buf, s+4, t+4, min(len(buf), s+deflate.MaxMatch))
			f.tokens = append(f.tokens, deflate.Match(n, s-t))
			s += n
			emitted = s
			if s >= limit {
				f.literals(buf[emitted:])
				return
			}
			x := binary.LittleEndian.Uint64(buf[s-1:])
			table[fastHash(uint32(x))] = f.base + uint32(s-1)
			cv = uint32(x >> 8)
			h = fastHash(cv)
			dist := f.base + uint32(s) - table[h]
			table[h] = f.base + uint32(s)
			t = s - int(dist)
			if dist > deflate.Window || t < 0 || cv != binary.LittleEndian.Uint32(buf[t:]) {
				cv = uint32(x >> 16)
				h = fastHash(cv)
				next = s + 1
				break
			}
		}
	}
}

func (f *fast) literals(p []byte) {
	for _, b := range p {
		f.tokens = append(f.tokens, deflate.Literal(b))
	}
}

// matchLen returns how many bytes from s on equal those from t on; s < end.
func matchLen(buf []byte, s, t, end int) int {
	n := 0
	for s+n+8 <= end {
		x := binary.LittleEndian.Uint64(buf[s+n:]) ^ binary.LittleEndian.Uint64(buf[t+n:])
		if x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for s+n < end && buf[s+n] == buf[t+n] {
		n++
	}
	return n
}
