package volume

import "crypto/subtle"

// checkSize is how many bytes a check has: no multiple or part of a page or a
// sector, so that pages and sectors which changed places do not cancel out, and
// so few that the checks of 100 GB take 26 MB.
const checkSize = 33 * 8

// check is the exclusive-or of a block's runs of checkSize bytes. A block that is
// read back otherwise than it was written is noticed by it. It is linear: the
// parity of blocks' checks is the check of the blocks' parity, so reading back
// needs no pass over the data for it. It guards against accidents; trust rests
// on SHA-256.
type check [checkSize]byte

func checkOf(data []byte) *check {
	s := new(checking)
	s.add(data, 0)
	return s.check()
}

// checking is a check on its way: runs of several checks' length take fewer steps.
type checking [8 * checkSize]byte

// add adds bytes of the block from offset at on.
func (s *checking) add(data []byte, at int) {
	for len(data) > 0 {
		to := s[at%len(s):]
		n := subtle.XORBytes(to, to, data)
		data, at = data[n:], at+n
	}
}

func (s *checking) check() *check {
	c := new(check)
	for i := 0; i < len(s); i += checkSize {
		subtle.XORBytes(c[:], c[:], s[i:i+checkSize])
	}
	return c
}
