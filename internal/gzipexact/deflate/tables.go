// Package deflate holds the parts of RFC 1951 that every encoder reproduced by
// gzipexact shares: symbol tables, length-limited Huffman codes with a fixed
// way of breaking ties, the run-length form of code lengths, and a bit writer.
//
// Nothing here chooses how data is compressed. All of it is deterministic and
// independent of the Go release: the bytes that an encoder built on it emits
// are part of the recipes already written, so a change here is a change of
// format. The golden hashes of the encoders guard it.
package deflate

import "math/bits"

// Limits of the format (RFC 1951, sections 3.2.4 to 3.2.7).
const (
	MaxLitLen = 286   // literal and length symbols
	MaxDist   = 30    // distance symbols
	MaxStored = 65535 // bytes in one stored block
	EndBlock  = 256   // the end-of-block symbol
	MaxMatch  = 258   // bytes in the longest match
	MinMatch  = 3     // bytes in the shortest match
	Window    = 1 << 15
)

// A Token is a literal byte, or a match of a length and a distance. It holds
// what is sent of it, so that writing and counting it has no branch: the lower
// nine bits are the byte, or 256 and the length less 3; then come five bits of
// the distance's symbol and the value of the extra bits behind that.
type Token uint32

const (
	tokenMatch     = 256
	tokenSymbol    = 511
	tokenDistShift = 9
	tokenExtra     = 14

	// noDistance stands for the distance symbol in a literal.
	noDistance = 31
)

// Literal returns the token of the byte b.
func Literal(b byte) Token { return noDistance<<tokenDistShift | Token(b) }

// Match returns the token of a match; length is 3 to 258, dist 1 to 32768.
func Match(length, dist int) Token {
	off := uint32(dist - 1)
	// Symbols come in pairs that share a number of extra bits, from one on with
	// the fourth pair (RFC 1951, section 3.2.5).
	extra := uint32(bits.Len32(off|2)-2) & 15
	value := off & (1<<extra - 1)
	return Token(tokenMatch+length-MinMatch) | Token(2*extra+off>>extra)<<tokenDistShift | Token(value)<<tokenExtra
}

// IsMatch reports whether t is a match.
func (t Token) IsMatch() bool { return t&tokenMatch != 0 }

// Length returns how many bytes of content t stands for.
func (t Token) Length() int {
	if !t.IsMatch() {
		return 1
	}
	return int(t.symbol()) - tokenMatch + MinMatch
}

// symbol returns the literal, or of a match 256 and its length less 3.
func (t Token) symbol() uint32 { return uint32(t) & tokenSymbol }

// distance returns the symbol of a match's distance, or noDistance.
func (t Token) distance() uint32 { return uint32(t) >> tokenDistShift & 31 }

// extra returns the value of the extra bits behind the distance's symbol.
func (t Token) extra() uint32 { return uint32(t) >> tokenExtra }

// codegenOrder is the order in which the lengths of the code length code are
// sent (RFC 1951, section 3.2.7).
var codegenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// lengthCode maps a match length less 3 to its symbol less 257.
// lengthBase and lengthExtra are indexed by that code.
var lengthCode, lengthBase, lengthExtra = lengthTables()

func lengthTables() (code [256]uint8, base [29]uint16, extra [29]uint8) {
	next := 0
	for c := range 28 {
		if c >= 8 {
			extra[c] = uint8(c/4 - 1)
		}
		base[c] = uint16(next)
		for range 1 << extra[c] {
			code[next] = uint8(c)
			next++ // ends at 256; 258 (index 255) is overwritten below
		}
	}
	// Length 258 has a symbol of its own.
	code[255], base[28], extra[28] = 28, 255, 0
	return code, base, extra
}

// distBase and distExtra are indexed by the distance symbol.
var distBase, distExtra = distTables()

func distTables() (base [MaxDist]uint16, extra [MaxDist]uint8) {
	next := 0
	for c := range MaxDist {
		if c >= 4 {
			extra[c] = uint8(c/2 - 1)
		}
		base[c] = uint16(next)
		next += 1 << extra[c]
	}
	return base, extra
}

// LengthExtra returns the number of extra bits after a length symbol less 257.
func LengthExtra(code int) int { return int(lengthExtra[code]) }

// DistExtra returns the number of extra bits after a distance symbol.
func DistExtra(code int) int { return int(distExtra[code]) }
