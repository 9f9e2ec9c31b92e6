package deflate

import "testing"

// What the writer computes of a token is what RFC 1951 has tables for.
func TestTokenSymbols(t *testing.T) {
	for b := range 256 {
		tok := Literal(byte(b))
		if sym := tok.symbol(); sym != uint32(b) {
			t.Errorf("literal %d: got symbol %d", b, sym)
		}
		if sym, extra := tok.distance(), tok.extra(); sym != noDistance || extra != 0 {
			t.Errorf("literal %d: got distance symbol %d and extra bits of %d", b, sym, extra)
		}
		if tok.IsMatch() || tok.Length() != 1 {
			t.Errorf("literal %d: got a match of %d bytes", b, tok.Length())
		}
	}
	sym := 0
	for dist := 1; dist <= Window; dist++ {
		length := MinMatch + dist%(MaxMatch-MinMatch+1)
		tok := Match(length, dist)
		if got := tok.symbol(); got != uint32(256+length-MinMatch) || !tok.IsMatch() || tok.Length() != length {
			t.Errorf("match of %d: got symbol %d, %d bytes", length, got, tok.Length())
		}
		if sym+1 < MaxDist && dist-1 == int(distBase[sym+1]) {
			sym++
		}
		if tok.Distance() != sym || tok.extra() != uint32(dist-1)-uint32(distBase[sym]) {
			t.Errorf("distance %d: got symbol %d and extra bits of %d", dist, tok.Distance(), tok.extra())
		}
	}
	if sym != MaxDist-1 {
		t.Errorf("got %d distance symbols", sym+1)
	}
}
