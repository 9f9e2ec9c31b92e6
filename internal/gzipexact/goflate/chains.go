package goflate

// A chain links every position to the last one before it with the same hash.
// Positions are kept modulo 65536, and never forgotten: where the last position
// with a hash is 65536 or more bytes away, the link points to an arbitrary
// position. That does no harm. All positions from there on have been entered
// since; had one of them the hash, the link would point to it. So what the link
// points to, and all that is behind it, differs in the bytes hashed, which
// whoever follows a link compares.

// A chain4 is the original's chain, by four bytes. rank grows by one along it.
type chain4 struct {
	head [1 << hashBits]uint16
	link [period]uint16
	rank [period]uint16
}

// enterOne enters a position, whose first four bytes are v.
func (c *chain4) enterOne(v uint32, at uint16) {
	h := &c.head[hash4(v)]
	last := *h
	*h = at
	c.link[at] = at - last
	c.rank[at] = c.rank[last] + 1
}

// A chain5 is by five bytes. Its heads are not modulo 65536, so that few links
// point to arbitrary positions: where the last one is too far away there is no
// link.
type chain5 struct {
	head [1 << bits5]uint32
	link [period]uint16
}

// A chain8 is by eight bytes, else like a chain5.
type chain8 struct {
	head [1 << bits8]uint32
	link [period]uint16
}

// none is the link of a position that has none: out of the reach of searches.
const none = period - 1

func hash5(v uint64) uint64 { return v << 24 * mul5 >> (64 - bits5) }
func hash8(v uint64) uint64 { return v * mul8 >> (64 - bits8) }
