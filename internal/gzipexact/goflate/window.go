package goflate

import "airlock/internal/gzipexact/deflate"

const (
	// The original holds a window of twice 32 KiB, moves it down when a search
	// stands in its last 262 bytes and cannot reach behind it then, although
	// the format would let it. So the reach of a search is min(32768, its
	// distance from base), where base moves as the original's window does.
	slideBy    = deflate.Window
	slideWhen  = 2*deflate.Window - lookAhead
	windowSize = 2 * deflate.Window

	// lookAhead is how many bytes must follow a search, the end excepted.
	lookAhead = 4 + deflate.MaxMatch

	// period divides every amount by which buf is moved down, so that what is
	// indexed by a position modulo 65536 stays in place.
	period  = 1 << 16
	bufSize = 4 * period
	bufPad  = 16 // readable bytes behind buf[end]

	tokensPad = 8 // what may be written behind the tokens of a block
)

// A window is the content that searches can reach and the tokens made of it.
// All positions are relative to buf.
type window struct {
	out    *blocks // nil: all tokens are gathered in all
	tokens []deflate.Token
	all    []deflate.Token
	buf    *content
	end    int
	base   int
	block  int    // where the tokens start; below base they cannot be stored
	origin uint32 // position of buf[0] in tables, a multiple of period
}

func newWindow(out *blocks) window {
	return window{
		out:    out,
		tokens: make([]deflate.Token, 0, blockTokens+tokensPad),
		buf:    new(content),
	}
}

// reset forgets all content. It reports whether tables of positions must be
// cleared; otherwise all that they hold has become out of reach.
func (w *window) reset() (renumbered bool) {
	w.origin += uint32(w.end)&^(period-1) + 2*period
	w.tokens, w.all = w.tokens[:0], nil
	w.end, w.base, w.block = 0, 0, 0
	return w.renumber()
}

// renumber starts origin anew before it overflows.
func (w *window) renumber() bool {
	if w.origin < rebaseAt {
		return false
	}
	w.origin = farAway
	return true
}

// fill takes what fits of p and returns how much that was.
func (w *window) fill(p []byte) int {
	n := copy(w.buf[w.end:bufSize], p)
	w.end += n
	return n
}

// makeRoom moves down what is still needed and returns by how much.
func (w *window) makeRoom() int {
	by := w.base &^ (period - 1)
	copy(w.buf[:], w.buf[by:w.end])
	w.end -= by
	w.base -= by
	w.block -= by
	w.origin += uint32(by)
	return by
}

// slide moves base as far as the original has moved its window when it
// searches at pos.
func (w *window) slide(pos int) {
	if pos > w.base+slideWhen && w.end > w.base+windowSize {
		w.base += slideBy
	}
}

// flushAt writes a block whose content ends at pos.
func (w *window) flushAt(pos int) {
	if w.out == nil {
		w.all = append(w.all, w.tokens...)
		w.tokens = w.tokens[:0]
		return
	}
	var raw []byte
	if w.block >= w.base {
		raw = w.buf[w.block:pos]
	}
	w.out.smallest(w.tokens, raw)
	w.tokens = w.tokens[:0]
	w.block = pos
}
