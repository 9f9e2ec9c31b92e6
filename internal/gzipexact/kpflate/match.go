package kpflate

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"airlock/internal/gzipexact/deflate"
)

const (
	tableBits = 15
	mul4      = 2654435761
	mul7      = 58295818150454627
	margin    = 11 // no search starts in the last bytes of a block

	bufSize = 4 << 16
	bufPad  = 8
)

// content is room for the content at hand; its size tells the compiler that
// masked positions need no check.
type content [bufSize + bufPad]byte

func (b *content) load(pos int) uint64 {
	i := pos & (bufSize - 1)
	return binary.LittleEndian.Uint64(b[i : i+8])
}

func (b *content) load4(pos int) uint32 {
	i := pos & (bufSize - 1)
	return binary.LittleEndian.Uint32(b[i : i+4])
}

// A matcher finds matches from the last position with the same four bytes and
// the last two with the same seven, by their hashes.
type matcher struct {
	short [1 << tableBits]uint32
	long  [1 << tableBits][2]uint32 // the last, the one before

	data *content
	buf  []byte // data up to where there is content
	base uint32 // position of buf[0]
}

func (m *matcher) reset() {
	m.base += uint32(len(m.buf)) + farAway
	m.buf = m.buf[:0]
	if m.base >= rebaseAt {
		clear(m.short[:])
		clear(m.long[:])
		m.base = farAway
	}
}

// append adds content, after moving down what is still needed: a window and
// the block that is filling.
func (m *matcher) append(p []byte) {
	if len(m.buf)+len(p) > bufSize {
		by := len(m.buf) - deflate.Window - blockSize
		m.buf = m.buf[:copy(m.buf, m.buf[by:])]
		m.base += uint32(by)
		if m.base >= rebaseAt {
			m.rebase()
		}
	}
	m.buf = append(m.buf, p...)
}

// rebase renumbers all positions and forgets those out of reach.
func (m *matcher) rebase() {
	move := func(p *uint32) {
		if *p < m.base {
			*p = 0
		} else {
			*p = *p - m.base + farAway
		}
	}
	for i := range m.short {
		move(&m.short[i])
		move(&m.long[i][0])
		move(&m.long[i][1])
	}
	m.base = farAway
}

func hash4(v uint64) uint32 { return uint32(v) * mul4 >> (32 - tableBits) }
func hash7(v uint64) uint32 { return uint32(v << 8 * mul7 >> (64 - tableBits)) }

func (m *matcher) enterShort(v uint64, pos int) { m.short[hash4(v)] = m.base + uint32(pos) }

func (m *matcher) enterLong(v uint64, pos int) {
	e := &m.long[hash7(v)]
	e[0], e[1] = m.base+uint32(pos), e[0]
}

// candidate returns where entry points to, seen from s, and whether that is in
// reach and begins with the same four bytes as v.
func (m *matcher) candidate(entry uint32, s int, v uint64) (int, bool) {
	dist := m.base + uint32(s) - entry
	if dist >= deflate.Window {
		return 0, false
	}
	t := s - int(dist)
	return t, uint32(v) == m.data.load4(t)
}

// miss returns 0 if the position dist before s is in reach and begins with the
// same four bytes as v.
func (m *matcher) miss(dist uint32, s int, v uint64) uint64 {
	return uint64(m.data.load4(s-int(dist))^uint32(v)) | uint64(dist/deflate.Window)
}

func (m *matcher) load(pos int) uint64 { return m.data.load(pos) }

// matchLen returns how many bytes from s up to end equal those from t on.
func (m *matcher) matchLen(s, t, end int) int {
	data, limit := m.data, end-s
	for n := 0; n < limit; n += 8 {
		if x := data.load(s+n) ^ data.load(t+n); x != 0 {
			return min(n+bits.TrailingZeros64(x)>>3, limit)
		}
	}
	return limit
}

// upToMax is the length of a match at most 258 long that starts with four
// equal bytes.
func (m *matcher) upToMax(s, t int) int {
	return 4 + m.matchLen(s+4, t+4, min(s+deflate.MaxMatch, len(m.buf)))
}

// A found is a match; a length of 0 means that only four bytes are known to be
// equal yet.
type found struct{ s, t, length int }

// parse appends the tokens of the last n bytes of the content to tokens. If no
// match is found it appends none.
func (m *matcher) parse(tokens []deflate.Token, n int) []deflate.Token {
	end := len(m.buf)
	start := end - n
	if n < margin+2 {
		return tokens
	}
	limit := end - margin
	emitted := start
	for s := start; ; {
		f, next, ok := m.find(s, emitted, limit)
		if !ok {
			break
		}
		f = m.extend(f, emitted, limit)
		tokens = appendLiterals(tokens, m.buf[emitted:f.s])
		tokens = appendMatch(tokens, f.length, f.s-f.t)
		s = f.s + f.length
		emitted = s
		if next >= s {
			s = next + 1
		}
		if s >= limit {
			break
		}
		m.enterMatch(s-f.length+1, s-1)
		x := m.load(s - 1)
		m.enterShort(x, s-1)
		m.enterLong(x, s-1)
	}
	if emitted < end && len(tokens) > 0 {
		tokens = appendLiterals(tokens, m.buf[emitted:end])
	}
	return tokens
}

// find returns the first match from s on and the position that would have been
// tried next. The longer no match has been found, the more positions it skips.
func (m *matcher) find(s, emitted, limit int) (f found, next int, ok bool) {
	next = s
	v := m.load(s)
	for {
		s = next
		next = s + 1 + (s-emitted)>>6
		if next > limit {
			return found{}, next, false
		}
		h4, h7 := hash4(v), hash7(v)
		short, long := m.short[h4], m.long[h7]
		nextV := m.load(next)
		pos := m.base + uint32(s)
		m.short[h4] = pos
		m.long[h7] = [2]uint32{pos, long[0]}

		d, d2, d3 := pos-long[0], pos-long[1], pos-short
		miss, miss2, miss3 := m.miss(d, s, v), m.miss(d2, s, v), m.miss(d3, s, v)
		// The one before the last only counts if the last is in reach.
		miss2 |= uint64(d / deflate.Window)
		// Which of them are candidates cannot be predicted, whether one is can.
		if ((miss-1)|(miss2-1)|(miss3-1))>>63 == 0 {
			v = nextV
			continue
		}
		var ahead [2]uint32
		if miss != 0 && miss2 != 0 {
			ahead = m.long[hash7(nextV)]
		}
		m.enterShort(nextV, next)
		m.enterLong(nextV, next)
		switch t, t2 := s-int(d), s-int(d2); {
		case miss == 0 && miss2 == 0:
			l, l2 := m.upToMax(s, t), m.upToMax(s, t2)
			if l2 > l {
				return found{s, t2, l2}, next, true
			}
			return found{s, t, l}, next, true
		case miss == 0:
			return found{s, t, 0}, next, true
		case miss2 == 0:
			return found{s, t2, 0}, next, true
		}
		t := s - int(d3)
		return m.better(found{s, t, m.upToMax(s, t)}, ahead, next), next, true
	}
}

// better returns f or a longer match at the next position.
func (m *matcher) better(f found, ahead [2]uint32, next int) found {
	v := m.load(next)
	t, ok := m.candidate(ahead[0], next, v)
	if ok {
		if l := m.upToMax(next, t); l > f.length {
			return found{next, t, l}
		}
	}
	if m.base+uint32(next)-ahead[0] >= deflate.Window {
		return f
	}
	if t, ok = m.candidate(ahead[1], next, v); ok {
		if l := m.upToMax(next, t); l > f.length {
			return found{next, t, l}
		}
	}
	return f
}

// extend makes a match as long as it can be, at both ends, unless a longer one
// is found from where it ends.
func (m *matcher) extend(f found, emitted, limit int) found {
	end := len(m.buf)
	if f.length == 0 {
		f.length = 4 + m.matchLen(f.s+4, f.t+4, end)
	} else if f.length == deflate.MaxMatch {
		f.length += m.matchLen(f.s+f.length, f.t+f.length, end)
	}
	if at := f.s + f.length; f.length < 30 && at < limit {
		const skip = 2 // bytes at the start that may differ
		s := f.s + skip
		t := int(int64(m.long[hash7(m.load(at))][0])-int64(m.base)) - f.length + skip
		if dist := s - t; t >= 0 && dist < deflate.Window && dist > 0 {
			if l := m.matchLen(s, t, end); l > f.length {
				f = found{s, t, l}
			}
		}
	}
	for f.t > 0 && f.s > emitted && m.buf[f.t-1] == m.buf[f.s-1] {
		f.s--
		f.t--
		f.length++
	}
	return f
}

// enterMatch enters some of the positions from pos to below to.
func (m *matcher) enterMatch(pos, to int) {
	if pos >= to {
		return
	}
	v := m.load(pos)
	m.enterShort(v, pos)
	m.enterLong(v, pos)
	m.enterLong(v>>8, pos+1)
	m.enterShort(v>>16, pos+2)
	for pos += 4; pos < to; pos += 3 {
		v := m.load(pos)
		m.enterLong(v, pos)
		m.enterShort(v>>8, pos+1)
	}
}

// appendLiterals appends a token for each byte.
func appendLiterals(tokens []deflate.Token, p []byte) []deflate.Token {
	n := len(tokens)
	tokens = slices.Grow(tokens, len(p))[:n+len(p)]
	for i, b := range p {
		tokens[n+i] = deflate.Literal(b)
	}
	return tokens
}

// appendMatch appends a match of any length from 4 up.
func appendMatch(tokens []deflate.Token, length, dist int) []deflate.Token {
	for length > 0 {
		l := length
		if l > deflate.MaxMatch {
			// What is left must be a match too.
			if l > deflate.MaxMatch+deflate.MinMatch {
				l = deflate.MaxMatch
			} else {
				l = deflate.MaxMatch - deflate.MinMatch
			}
		}
		length -= l
		tokens = append(tokens, deflate.Match(l, dist))
	}
	return tokens
}
