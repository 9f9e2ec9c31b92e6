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
	c := new(check)
	c.add(data, 0)
	return c
}

// add adds bytes of the block from offset at on.
func (c *check) add(data []byte, at int) {
	for len(data) > 0 {
		to := c[at%checkSize:]
		n := subtle.XORBytes(to, to, data)
		data, at = data[n:], at+n
	}
}
