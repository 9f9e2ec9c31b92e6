package delta

import (
	"encoding/binary"
	"math/bits"
)

// Costs, in eighths of a byte as they come out of zstd.
const (
	byteCost   = 4  // a literal: what a copied byte saves
	runCost    = 8  // a run of differences, besides its bytes
	wrongCost  = 3  // a differing byte, beyond what a literal costs
	switchCost = 64 // a copy on another diagonal
	dropCost   = 400
	longRun    = 16 // differing bytes that are cheaper as literals
	island     = 4096
	reach      = 4096
	diagonals  = 4
)

// matcher covers one page with copies from the window.
type matcher struct {
	target  []byte
	numbers []int64 // of the window's pages
	window  []byte
	first   []int // by slot: where the bytes that hang together begin
	last    []int // and where they end

	current match
	recent  [diagonals]int // shifts
	matches []match
}

// match says that target[start:end] is the window's bytes shift further on,
// but for differences.
type match struct{ start, end, shift int }

// load puts the pages side by side.
func (m *matcher) load(numbers []int64, source Source) error {
	m.numbers = numbers
	size := len(numbers) * PageSize
	if cap(m.window) < size {
		m.window = make([]byte, size)
	}
	m.window = m.window[:size]
	m.first, m.last = m.first[:0], m.last[:0]
	for slot, n := range numbers {
		page, err := source.Page(n)
		if err != nil {
			return sourceError(n, err)
		}
		if len(page) > PageSize {
			return sourceLength(n, len(page))
		}
		begin := slot * PageSize
		copy(m.window[begin:], page)
		if slot > 0 && numbers[slot-1] == n-1 && m.last[slot-1] == begin {
			begin = m.first[slot-1]
		}
		m.first = append(m.first, begin)
		m.last = append(m.last, slot*PageSize+len(page))
	}
	for slot := len(numbers) - 2; slot >= 0; slot-- {
		if m.first[slot+1] < (slot+1)*PageSize {
			m.last[slot] = m.last[slot+1]
		}
	}
	return nil
}

// place returns where an address lies in the window, -1 if it does not. An
// address behind a page counts to the page.
func (m *matcher) place(address int64) int {
	page := (address - 1) / PageSize
	for slot, n := range m.numbers {
		if n == page {
			at := slot*PageSize + int(address-page*PageSize)
			if at > m.last[slot] {
				return -1
			}
			return at
		}
	}
	return -1
}

// bounds returns which part of the target a diagonal can cover that runs
// through the target's position p.
func (m *matcher) bounds(p, shift int) (from, to int) {
	at := p + shift
	if at < 0 || at > len(m.window) {
		return p, p
	}
	slot := max(at-1, 0) / PageSize
	if at > m.last[slot] {
		return p, p
	}
	return max(0, m.first[slot]-shift), min(len(m.target), m.last[slot]-shift)
}

// run fills m.matches with what to copy for target.
func (m *matcher) run(e *Encoder, target []byte) {
	m.target, m.matches, m.current = target, m.matches[:0], match{}
	m.recent = [diagonals]int{}
	for i := range m.recent {
		m.recent[i] = -1 << 40
	}
	if e.last.known {
		if at := m.place(e.last.source+1) - 1; at >= 0 {
			if c := m.forward(0, at, len(target)); c.score > switchCost {
				m.take(match{end: c.at, shift: at})
			}
		}
	}
	for i, s := range e.spots {
		start := s.end - windowSize
		if s.end <= m.current.end && start >= m.current.start && m.equal(start, m.current.shift) {
			continue
		}
		best := match{}
		for _, shift := range m.recent {
			best = m.better(best, s.end, shift)
		}
		for _, c := range e.candidates[e.ranges[i]:e.ranges[i+1]] {
			if at := m.place(c.address); at >= 0 {
				best = m.better(best, s.end, at-s.end)
			}
		}
		if best.end > 0 {
			m.offer(best)
		}
	}
	m.finish()
}

// equal reports whether the window of the target at start is found on a
// diagonal.
func (m *matcher) equal(start, shift int) bool {
	a, b := m.target[start:start+windowSize], m.window[start+shift:start+shift+windowSize]
	return binary.LittleEndian.Uint64(a) == binary.LittleEndian.Uint64(b) &&
		binary.LittleEndian.Uint64(a[8:]) == binary.LittleEndian.Uint64(b[8:]) &&
		binary.LittleEndian.Uint64(a[16:]) == binary.LittleEndian.Uint64(b[16:]) &&
		binary.LittleEndian.Uint64(a[24:]) == binary.LittleEndian.Uint64(b[24:])
}

// better returns the longer of best and the exact match on the diagonal that
// holds the target's window before end.
func (m *matcher) better(best match, end, shift int) match {
	if best.end > 0 && best.shift == shift {
		return best
	}
	from, to := m.bounds(end, shift)
	start := end - windowSize
	if from > start || to < end || !m.equal(start, shift) {
		return best
	}
	to = min(to, end+reach)
	from = max(from, start-reach)
	to = end + same(m.target[end:to], m.window[end+shift:to+shift])
	from = start - sameBefore(m.target[from:start], m.window[from+shift:start+shift])
	if best.end == 0 || to-from > best.end-best.start {
		return match{start: from, end: to, shift: shift}
	}
	return best
}

// offer takes an exact match into the cover if that pays.
func (m *matcher) offer(n match) {
	c := &m.current
	if n.start = max(n.start, c.start); n.start >= n.end {
		return
	}
	if n.shift == c.shift && n.start <= c.end && c.end > 0 {
		// The diagonal goes on behind where it was given up.
		if n.end > c.end {
			c.end = m.forward(n.end, n.shift, len(m.target)).at
		}
		return
	}
	limit := len(m.target)
	if n.end < c.end {
		limit = min(limit, n.end+island)
	}
	n.end = m.forward(n.end, n.shift, limit).at
	n.start = m.backward(n.start, n.shift, max(c.start, n.start-reach))
	if n.start >= c.end {
		m.take(n)
		return
	}
	m.contest(n)
}

// contest gives n the part of the current match in which n is better, if that
// pays for the switch.
func (m *matcher) contest(n match) {
	c := m.current
	both := min(n.end, c.end)
	split := m.split(n, both)
	n.start = split
	gain := m.score(n.start, n.end, n.shift) - m.score(n.start, both, c.shift)
	price := switchCost
	if n.end < c.end {
		price *= 2
	}
	if k := len(m.matches); k > 0 && m.matches[k-1].shift == n.shift && m.matches[k-1].end == c.start && split == c.start {
		price -= switchCost
	}
	if gain < price {
		return
	}
	rest := match{start: n.end, end: c.end, shift: c.shift}
	m.current.end = split
	m.take(n)
	if rest.start < rest.end {
		m.take(rest)
	}
}

// split returns up to where the current match is the better one, from n.start
// to both.
func (m *matcher) split(n match, both int) int {
	c := m.current
	best, sum, at := 0, 0, n.start
	for i := n.start; i < both; i++ {
		t := m.target[i]
		if m.window[i+c.shift] == t {
			sum++
		}
		if m.window[i+n.shift] == t {
			sum--
		}
		if sum > best {
			best, at = sum, i+1
		}
	}
	return at
}

// score values target[start:end] on a diagonal.
func (m *matcher) score(start, end, shift int) int {
	sum := 0
	for i := start; i < end; {
		n := same(m.target[i:end], m.window[i+shift:end+shift])
		i += n
		sum += n * byteCost
		if i < end {
			sum -= runCost
			for i < end && m.target[i] != m.window[i+shift] {
				sum -= wrongCost
				i++
			}
		}
	}
	return sum
}

// take ends the current match and makes n the current one.
func (m *matcher) take(n match) {
	if m.current.end > m.current.start {
		m.matches = append(m.matches, m.current)
	}
	m.current = n
	k := 0
	for k < diagonals-1 && m.recent[k] != n.shift {
		k++
	}
	copy(m.recent[1:k+1], m.recent[:k])
	m.recent[0] = n.shift
}

func (m *matcher) finish() {
	if m.current.end > m.current.start {
		m.matches = append(m.matches, m.current)
	}
}

// extent is how far a diagonal pays and what it is worth.
type extent struct{ at, score int }

// forward follows a diagonal over differences, from p to at most limit, and
// returns where it was worth most.
func (m *matcher) forward(p, shift, limit int) extent {
	_, to := m.bounds(p, shift)
	to = min(to, limit)
	best := extent{at: p}
	score := 0
	for i := p; i < to; {
		n := same(m.target[i:to], m.window[i+shift:to+shift])
		i += n
		if score += n * byteCost; score > best.score {
			best = extent{at: i, score: score}
		}
		score -= runCost
		for i < to && m.target[i] != m.window[i+shift] {
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
func (m *matcher) backward(p, shift, limit int) int {
	from, _ := m.bounds(p, shift)
	from = max(from, limit)
	best, score, at := 0, 0, p
	for i := p; i > from; {
		n := sameBefore(m.target[from:i], m.window[from+shift:i+shift])
		i -= n
		if score += n * byteCost; score > best {
			best, at = score, i
		}
		score -= runCost
		for i > from && m.target[i-1] != m.window[i-1+shift] {
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
