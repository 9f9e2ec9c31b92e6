package zlibflate

import "airlock/internal/gzipexact/deflate"

// A divider gathers tokens and says where a block ends.
type divider struct {
	tokens  []deflate.Token
	content int // bytes that the tokens stand for

	gather bool // tokens for another divider: no block ends
	limit  int  // of tokens
	guess  bool // end a block where it pays, as GNU gzip does
	ahead  int  // how far the original has come when it sees a token, from its first byte

	matches  int
	distBits int
}

const (
	// guessEvery is after how many tokens a divider guesses.
	guessEvery = 4096
	// A buffer is full with one token less than it takes.
	tokens8 = 1<<14 - 1
	tokens9 = 1<<15 - 1
)

func newDivider(v Variant, level int) divider {
	d := divider{limit: tokens8}
	if v != Zlib8 {
		d.limit = tokens9
	}
	d.guess = v == GNU && level > 2
	if level > lastFast {
		d.ahead = 1
	}
	d.tokens = make([]deflate.Token, 0, d.limit+1)
	return d
}

func (d *divider) reset() {
	d.tokens, d.content, d.matches, d.distBits = d.tokens[:0], 0, 0, 0
}

// add adds a token and reports whether the block ends with it.
func (d *divider) add(t deflate.Token) bool {
	d.tokens = append(d.tokens, t)
	if d.gather {
		return false
	}
	before := d.content
	d.content += t.Length()
	if d.guess {
		if t.IsMatch() {
			d.matches++
			d.distBits += 5 + deflate.DistExtra(t.Distance())
		}
		if len(d.tokens)%guessEvery == 0 && d.pays(before+d.ahead) {
			return true
		}
	}
	return len(d.tokens) == d.limit
}

// pays reports whether a block of so many bytes of content is worth a code of
// its own: few matches, and at most half of it left, at eight bits a token.
func (d *divider) pays(content int) bool {
	return d.matches < len(d.tokens)/2 && (8*len(d.tokens)+d.distBits)/8 < content/2
}
