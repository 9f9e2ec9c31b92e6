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

// A Token is a literal byte, or a match of a length and a distance.
type Token uint32

const tokenMatch Token = 1 << 31

// Literal returns the token of the byte b.
func Literal(b byte) Token { return Token(b) }

// Match returns the token of a match; length is 3 to 258, dist 1 to 32768.
func Match(length, dist int) Token {
	return tokenMatch | Token(length-MinMatch)<<15 | Token(dist-1)
}

// IsMatch reports whether t is a match.
func (t Token) IsMatch() bool { return t&tokenMatch != 0 }

// Length returns how many bytes of content t stands for.
func (t Token) Length() int {
	if !t.IsMatch() {
		return 1
	}
	return int(t.len3()) + MinMatch
}

// len3 returns the length of a match less 3, off the distance less 1.
func (t Token) len3() uint32 { return uint32(t>>15) & 0xff }
func (t Token) off() uint32  { return uint32(t) & 0x7fff }

// symbol returns the literal, or of a match 256 and its length less 3. Neither
// it nor distance has a branch.
func (t Token) symbol() uint32 {
	match := uint32(int32(t) >> 31) // all ones, or zero
	return match&256 | uint32(t)>>15&255 | uint32(t)&255&^match
}

// noDistance is what distance returns as the symbol of a literal.
const noDistance = 31

// distance returns a match's distance symbol, how many extra bits follow that,
// and these; of a literal noDistance and none.
func (t Token) distance() (symbol, extra, value uint32) {
	match := uint32(int32(t) >> 31)
	off := uint32(t) & 0x7fff & match
	extra = uint32(bits.Len32(off|2)-2) & 15
	return (2*extra+off>>extra)&31 | noDistance&^match, extra, off & (1<<extra - 1)
}

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

// distCode maps distances less 1: below 256 by themselves, above by their
// bits from the eighth up, offset by 256.
var distCode = distCodes()

func distCodes() (code [512]uint8) {
	for i := range 256 {
		code[i] = slowDistCode(uint32(i))
	}
	for i := 2; i < 256; i++ {
		code[256+i] = slowDistCode(uint32(i) << 7)
	}
	return code
}

func slowDistCode(off uint32) uint8 {
	if off < 4 {
		return uint8(off)
	}
	n := bits.Len32(off) - 1
	return uint8(2*n) + uint8(off>>(n-1)&1)
}

// DistSymbol returns the symbol of a distance less 1.
func DistSymbol(off uint32) uint8 {
	if off < 256 {
		return distCode[off]
	}
	return distCode[256+(off>>7)&0xff]
}

// LengthSymbol returns the symbol, less 257, of a match length less 3.
func LengthSymbol(len3 uint8) uint8 { return lengthCode[len3] }

// LengthExtra and DistExtra return the extra bits after a symbol
// (for lengths: the symbol less 257).
func LengthExtra(code int) int { return int(lengthExtra[code]) }

// DistExtra returns the number of extra bits after a distance symbol.
func DistExtra(code int) int { return int(distExtra[code]) }
