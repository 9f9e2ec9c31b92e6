package delta

import (
	"encoding/binary"
	"math/bits"
)

// Costs, in eighths of a byte as it comes out of zstd. They were chosen by
// trial on executables and trees of packages.
const (
	byteCost   = 4   // a literal, which is what a copied byte saves
	runCost    = 6   // a run of differences, besides its bytes
	wrongCost  = 3   // a differing byte, beyond what a literal costs
	switchCost = 64  // a copy on another diagonal
	dropCost   = 400 // a diagonal is given up when it is worth so much less than it was
)

// equal reports whether the window of the target at start is found on a
// diagonal.
func (m *matcher) equal(start, shift int) bool {
	a, b := m.target[start:start+windowSize], m.along(start, start+windowSize, shift)
	return binary.LittleEndian.Uint64(a) == binary.LittleEndian.Uint64(b) &&
		binary.LittleEndian.Uint64(a[8:]) == binary.LittleEndian.Uint64(b[8:]) &&
		binary.LittleEndian.Uint64(a[16:]) == binary.LittleEndian.Uint64(b[16:]) &&
		binary.LittleEndian.Uint64(a[24:]) == binary.LittleEndian.Uint64(b[24:])
}

// score values target[start:end] on a diagonal.
func (m *matcher) score(start, end, shift int) int {
	if start >= end {
		return 0
	}
	sum := 0
	want, have := m.target[start:end], m.along(start, end, shift)
	for i := 0; i < len(want); {
		n := same(want[i:], have[i:])
		i += n
		sum += n * byteCost
		if i < len(want) {
			sum -= runCost
			for i < len(want) && want[i] != have[i] {
				sum -= wrongCost
				i++
			}
		}
	}
	return sum
}

// extent is how far a diagonal pays and what it is worth.
type extent struct{ at, score int }

// forward follows a diagonal in a span over differences, from p to at most
// limit, and returns where it was worth most.
func (m *matcher) forward(p, shift int, in *span, limit int) extent {
	_, to := in.bounds(shift, len(m.target))
	to = min(to, limit)
	best := extent{at: p}
	if p >= to {
		return best
	}
	score := 0
	want, have := m.target[p:to], m.along(p, to, shift)
	for i := 0; i < len(want); {
		n := same(want[i:], have[i:])
		i += n
		if score += n * byteCost; score > best.score {
			best = extent{at: p + i, score: score}
		}
		score -= runCost
		for i < len(want) && want[i] != have[i] {
			score -= wrongCost
			i++
		}
		if score < best.score-dropCost {
			break
		}
	}
	return best
}

// backward is forward the other way round.
func (m *matcher) backward(p, shift int, in *span, limit int) int {
	from, _ := in.bounds(shift, len(m.target))
	from = max(from, limit)
	best, score, at := 0, 0, p
	if p <= from {
		return at
	}
	want, have := m.target[from:p], m.along(from, p, shift)
	for i := len(want); i > 0; {
		n := sameBefore(want[:i], have[:i])
		i -= n
		if score += n * byteCost; score > best {
			best, at = score, from+i
		}
		score -= runCost
		for i > 0 && want[i-1] != have[i-1] {
			score -= wrongCost
			i--
		}
		if score < best-dropCost {
			break
		}
	}
	return at
}

// same returns how many bytes a and b, of one length, have in common from
// their beginning.
func same(a, b []byte) int {
	n := 0
	for len(a)-n >= 8 && len(b)-n >= 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// sameBefore is same from the end.
func sameBefore(a, b []byte) int {
	n := 0
	for len(a)-n >= 8 && len(b)-n >= 8 {
		if x := binary.LittleEndian.Uint64(a[len(a)-n-8:]) ^ binary.LittleEndian.Uint64(b[len(b)-n-8:]); x != 0 {
			return n + bits.LeadingZeros64(x)/8
		}
		n += 8
	}
	for n < len(a) && n < len(b) && a[len(a)-n-1] == b[len(b)-n-1] {
		n++
	}
	return n
}
