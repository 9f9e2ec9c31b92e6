package deflate

import "testing"

// What the writer computes of a token is what RFC 1951 has tables for.
func TestTokenSymbols(t *testing.T) {
	for b := range 256 {
		tok := Literal(byte(b))
		if sym := tok.symbol(); sym != uint32(b) {
			t.Errorf("literal %d: got symbol %d", b, sym)
		}
		if sym, extra, value := tok.distance(); sym != noDistance || extra != 0 || value != 0 {
			t.Errorf("literal %d: got distance symbol %d, %d extra bits of %d", b, sym, extra, value)
		}
	}
	for dist := 1; dist <= Window; dist++ {
		length := MinMatch + dist%(MaxMatch-MinMatch+1)
		tok := Match(length, dist)
		if sym := tok.symbol(); sym != uint32(256+length-MinMatch) {
			t.Errorf("match of %d: got symbol %d", length, sym)
		}
		want := DistSymbol(uint32(dist - 1))
		sym, extra, value := tok.distance()
		if sym != uint32(want) || extra != uint32(distExtra[want]) || value != uint32(dist-1)-uint32(distBase[want]) {
			t.Errorf("distance %d: got symbol %d, %d extra bits of %d", dist, sym, extra, value)
		}
	}
}
