// Package twosum takes two or three SHA-256 hashes (FIPS 180-4) of the same
// bytes in one pass: of a piece by itself, and of all pieces of one or two
// longer runs.
//
// The pieces of a run of bytes stand at the same place modulo 64, so all these
// hashes have the same message schedule, and the rounds of the one fill the
// gaps that the other's latency leaves. On processors with the SHA extensions
// two hashes take 1.5 times as long as one, and three 2.2 times; elsewhere it is
// crypto/sha256 once for each.
package twosum

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Size is how many bytes a hash has.
const Size = sha256.Size

// BlockSize is what the length of every piece but the last is a multiple of.
const BlockSize = sha256.BlockSize

// Hash is the SHA-256 of the pieces so far. The zero value is that of none.
type Hash struct {
	fast state
	tail []byte    // of the last piece: what makes no whole block
	slow hash.Hash // in place of fast, where that cannot run
}

// state is SHA-256 between two blocks of 64 bytes.
type state struct {
	h      [8]uint32
	length uint64 // bytes so far
}

// initial is H(0) of FIPS 180-4, section 5.3.3.
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// Append adds a piece to the hash and returns the piece's own SHA-256. It panics
// if the piece before was not a multiple of BlockSize: that one was the last.
func (s *Hash) Append(piece []byte) [Size]byte {
	if !fast {
		s.Write(piece)
		return sha256.Sum256(piece)
	}
	own := state{h: initial, length: uint64(len(piece))}
	s.add(&own.h, piece)
	return own.sum(s.tail)
}

// AppendTo is Append that adds the piece to another run's hash as well.
func (s *Hash) AppendTo(other *Hash, piece []byte) [Size]byte {
	if !fast || len(piece)%BlockSize > 0 {
		other.Write(piece)
		return s.Append(piece)
	}
	s.begin(piece)
	other.begin(piece)
	own := state{h: initial, length: uint64(len(piece))}
	compress3(&own.h, &s.fast.h, &other.fast.h, piece)
	return own.sum(nil)
}

// Extend adds a piece if its own SHA-256 is own, and reports whether it is. If
// not, the hash is as it was. It panics as Append does.
func (s *Hash) Extend(piece []byte, own [Size]byte) bool {
	if !fast {
		if sha256.Sum256(piece) != own {
			return false
		}
		s.Write(piece)
		return true
	}
	next := *s // its tail is empty: nothing is shared
	if next.Append(piece) != own {
		return false
	}
	*s = next
	return true
}

// Write adds a piece whose own hash is known. It panics as Append does, and
// returns no error.
func (s *Hash) Write(piece []byte) (int, error) {
	if !fast {
		if s.slow == nil {
			s.slow = sha256.New()
		}
		return s.slow.Write(piece)
	}
	var unused [8]uint32
	s.add(&unused, piece)
	return len(piece), nil
}

// WriteBoth is Write that adds the piece to another run's hash as well.
func (s *Hash) WriteBoth(other *Hash, piece []byte) {
	if !fast || len(piece)%BlockSize > 0 {
		other.Write(piece)
		s.Write(piece)
		return
	}
	other.begin(piece)
	s.add(&other.fast.h, piece)
}

// add adds a piece, and its whole blocks to another state as well.
func (s *Hash) add(other *[8]uint32, piece []byte) {
	s.begin(piece)
	whole := len(piece) / BlockSize * BlockSize
	compress(other, &s.fast.h, piece[:whole])
	s.tail = append(s.tail, piece[whole:]...)
}

// begin counts a piece that is to be added.
func (s *Hash) begin(piece []byte) {
	if len(s.tail) > 0 {
		panic("twosum: a piece after the last")
	}
	if s.fast.length == 0 {
		s.fast.h = initial
	}
	s.fast.length += uint64(len(piece))
}

// Sum returns the SHA-256 of all pieces so far.
func (s *Hash) Sum() [Size]byte {
	if !fast {
		if s.slow == nil {
			return sha256.Sum256(nil)
		}
		return [Size]byte(s.slow.Sum(nil))
	}
	end := s.fast
	if end.length == 0 {
		end.h = initial
	}
	return end.sum(s.tail)
}

// sum pads the message that ends with tail (FIPS 180-4, section 5.1.1) and
// returns its hash.
func (s state) sum(tail []byte) (digest [Size]byte) {
	var padded [2 * BlockSize]byte
	n := copy(padded[:], tail)
	padded[n] = 0x80
	end := BlockSize
	if n+1+8 > BlockSize {
		end = 2 * BlockSize
	}
	binary.BigEndian.PutUint64(padded[end-8:], s.length*8)
	var unused [8]uint32
	compress(&s.h, &unused, padded[:end])
	for i, word := range s.h {
		binary.BigEndian.PutUint32(digest[4*i:], word)
	}
	return digest
}
