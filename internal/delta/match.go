package delta

import (
	"fmt"
	"slices"
)

// Bounds of a search, in bytes.
const (
	reach  = 4 << 10 // how far an exact match is compared with its rivals
	island = 4 << 10 // how far a match runs on inside another
)

// diagonals is how many of the last ones are tried again.
const diagonals = 4

// matcher covers one page with copies from the window. That is never put
// together: where only its bytes are wanted, the page that holds them is enough.
type matcher struct {
	target  []byte
	numbers []int64 // of the window's pages
	spans   []span  // by slot
	joined  []byte  // what spans of several pages hold

	current match
	recent  [diagonals]int // shifts
	matches []match

	// Scratch.
	parts  []match
	copies copies
	runs   runs
}

// match says that target[start:end] is the window's bytes shift further on,
// but for differences.
type match struct{ start, end, shift int }

// span is bytes of the window that hang together: a page, or several that lie
// on end in the address space too.
type span struct {
	first, last int // where in the window they begin and end
	bytes       []byte
}

// load reads the pages, in ascending order.
func (m *matcher) load(numbers []int64, source Source) error {
	m.numbers, m.spans = numbers, m.spans[:0]
	for slot, n := range numbers {
		page, err := readPage(source, n)
		if err != nil {
			return err
		}
		begin := slot * PageSize
		m.spans = append(m.spans, span{first: begin, last: begin + len(page), bytes: page})
	}
	m.join()
	return nil
}

// join makes one span of pages that hang together.
func (m *matcher) join() {
	m.joined = m.joined[:0]
	for slot := 0; slot < len(m.spans); {
		end := slot + 1
		for end < len(m.spans) && m.numbers[end] == m.numbers[end-1]+1 && m.spans[end-1].last == m.spans[end].first {
			end++
		}
		if end-slot > 1 {
			m.joinOf(m.spans[slot:end])
		}
		slot = end
	}
}

// joinOf makes all of some spans the one that they are together.
func (m *matcher) joinOf(spans []span) {
	m.joined = slices.Grow(m.joined, len(m.numbers)*PageSize-len(m.joined))
	begin := len(m.joined)
	for _, s := range spans {
		m.joined = append(m.joined, s.bytes...)
	}
	whole := span{first: spans[0].first, last: spans[len(spans)-1].last, bytes: m.joined[begin:]}
	for i := range spans {
		spans[i] = whole
	}
}

// along returns the bytes against which target[start:end] lies on a diagonal
// that covers it, all in one span.
func (m *matcher) along(start, end, shift int) []byte {
	s := &m.spans[(start+shift)/PageSize]
	return s.bytes[start+shift-s.first : end+shift-s.first]
}

// readPage reads a source page, and checks its length.
func readPage(source Source, number int64) ([]byte, error) {
	page, err := source.Page(number)
	if err != nil {
		return nil, fmt.Errorf("source page %d: %w", number, err)
	}
	if len(page) > PageSize {
		return nil, fmt.Errorf("source page %d: %d bytes, at most %d are allowed", number, len(page), PageSize)
	}
	return page, nil
}

// place returns where an address lies in the window, -1 if it does not. An
// address behind a page counts to the page.
func (m *matcher) place(address int64) int {
	page := (address - 1) / PageSize
	for slot, n := range m.numbers {
		if n == page {
			at := slot*PageSize + int(address-page*PageSize)
			if at > m.spans[slot].last {
				return -1
			}
			return at
		}
	}
	return -1
}

// span returns the span that has a byte at a place of the window, nil if none.
func (m *matcher) span(place int) *span {
	if slot := place / PageSize; place >= 0 && slot < len(m.spans) && place < m.spans[slot].last {
		return &m.spans[slot]
	}
	return nil
}

// bounds returns which part of a target of size bytes a span covers on a
// diagonal.
func (s *span) bounds(shift, size int) (from, to int) {
	return max(0, s.first-shift), min(size, s.last-shift)
}

// run fills m.matches with what to copy for target.
func (m *matcher) run(e *Encoder, target []byte) {
	m.target, m.matches, m.current = target, m.matches[:0], match{}
	m.recent = [diagonals]int{}
	if e.last.known {
		if at := m.place(e.last.source+1) - 1; at >= 0 {
			if c := m.forward(0, at, m.span(at), len(target)); c.score > switchCost {
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
	if m.current.end > m.current.start {
		m.matches = append(m.matches, m.current)
	}
}

// better returns the longer of best and the exact match on the diagonal that
// holds the target's window before end.
func (m *matcher) better(best match, end, shift int) match {
	if best.end > 0 && best.shift == shift {
		return best
	}
	s := m.span(end - 1 + shift)
	if s == nil {
		return best
	}
	from, to := s.bounds(shift, len(m.target))
	start := end - windowSize
	if from > start || to < end || !m.equal(start, shift) {
		return best
	}
	to = min(to, end+reach)
	from = max(from, start-reach)
	line := m.along(from, to, shift)
	to = end + same(m.target[end:to], line[end-from:])
	from = start - sameBefore(m.target[from:start], line[:start-from])
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
	s := m.span(n.start + n.shift)
	if n.shift == c.shift && n.start <= c.end && c.end > 0 && s.first == m.span(c.start+c.shift).first {
		// The diagonal goes on behind where it was given up.
		if n.end > c.end {
			c.end = m.forward(n.end, n.shift, s, len(m.target)).at
		}
		return
	}
	limit := len(m.target)
	if n.end < c.end {
		limit = min(limit, n.end+island)
	}
	n.end = m.forward(n.end, n.shift, s, limit).at
	n.start = m.backward(n.start, n.shift, s, max(c.start, n.start-reach))
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
	mine, other := m.along(n.start, both, c.shift), m.along(n.start, both, n.shift)
	for i, t := range m.target[n.start:both] {
		if mine[i] == t {
			sum++
		}
		if other[i] == t {
			sum--
		}
		if sum > best {
			best, at = sum, n.start+i+1
		}
	}
	return at
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
