package deflate

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// What sends two tokens at once, however long they are, sends the same as what
// sends each by itself.
func TestTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var short, long [MaxLitLen]int32
	for i := range long {
		short[i] = 1
		long[i] = int32(1 + r.IntN(1<<(i%24))) // most have as many bits as there can be
	}
	for _, freq := range [][MaxLitLen]int32{short, long} {
		lit, dist := new(Code), new(Code)
		lit.Build(freq[:], 15)
		dist.Build(freq[:MaxDist], 15)
		var c tokenCode
		c.set(lit, dist)
		for _, n := range []int{0, 1, 2, 3, 1000, 30_001} {
			tokens := make([]Token, n)
			for i := range tokens {
				tokens[i] = Literal(byte(r.Uint32()))
				if r.IntN(2) == 0 {
					tokens[i] = Match(MinMatch+r.IntN(256), 1+r.IntN(1<<r.IntN(16)))
				}
			}
			all := func(send func(*Writer)) []byte {
				var to bytes.Buffer
				w := new(Writer)
				w.Reset(&to)
				w.Bits(5, 3)
				send(w)
				w.align()
				_ = w.Flush()
				return to.Bytes()
			}
			each := func(w *Writer, tokens []Token) {
				for _, tok := range tokens {
					w.Bits(c.bits(tok))
				}
			}
			want := all(func(w *Writer) { each(w, tokens) })
			if got := all(func(w *Writer) { w.Tokens(tokens, lit, dist) }); !bytes.Equal(got, want) {
				t.Errorf("%d tokens: sent together they differ", n)
			}
			if got := all(func(w *Writer) { each(w, w.upToTwo(tokens, &c)) }); !bytes.Equal(got, want) {
				t.Errorf("%d tokens: sent without assembly they differ", n)
			}
		}
	}
}
