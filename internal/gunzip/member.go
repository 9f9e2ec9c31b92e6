package gunzip

import (
	"fmt"
	"hash/crc32"
	"io"
)

// Flags of a member's header (RFC 1952, section 2.3.1).
const (
	flagCRC      = 1 << 1
	flagExtra    = 1 << 2
	flagName     = 1 << 3
	flagComment  = 1 << 4
	flagReserved = 0xe0
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// short gives the end of a stream where it must not end a name of its own.
func short(err error) error {
	if err == io.ErrUnexpectedEOF {
		return malformed("%w", err)
	}
	return err
}

// member reads a member's header, or finds the end.
func (z *Inflater) member() error {
	if z.members > 0 && z.in.atEnd() {
		return io.EOF
	}
	h := headerReader{in: &z.in}
	magic, method, flags := h.number(2), h.byte(), h.byte()
	if h.err == nil && (magic != 0x8b1f || method != 8 || flags&flagReserved != 0) {
		return malformed("no header of a member")
	}
	h.number(6) // time, extra flags, system
	if flags&flagExtra != 0 {
		for n := h.number(2); n > 0 && h.err == nil; n-- {
			h.byte()
		}
	}
	for _, f := range []byte{flagName, flagComment} {
		for more := flags&f != 0; more && h.err == nil; {
			more = h.byte() != 0
		}
	}
	if sum := int(h.sum & 0xffff); flags&flagCRC != 0 && h.number(2) != sum && h.err == nil {
		return malformed("checksum of a member's header")
	}
	z.members++
	z.phase, z.size, z.sum, z.low = inBlock, 0, 0, z.end
	return short(h.err)
}

// headerReader reads a header byte by byte; its first error sticks.
type headerReader struct {
	in  *bits
	sum uint32
	err error
}

func (h *headerReader) byte() byte {
	if h.err != nil {
		return 0
	}
	v, err := h.in.take(8)
	h.err = err
	h.sum = crc32.Update(h.sum, crc32.IEEETable, []byte{byte(v)})
	return byte(v)
}

// number reads n bytes, least significant first.
func (h *headerReader) number(n int) int {
	v := 0
	for i := range n {
		v |= int(h.byte()) << (8 * i)
	}
	return v
}

// trailer holds a member to its checksum and size.
func (z *Inflater) trailer() error {
	z.in.align()
	sum, err := z.in.take(32)
	if err != nil {
		return short(err)
	}
	size, err := z.in.take(32)
	if err != nil {
		return short(err)
	}
	if uint32(sum) != z.sum || uint32(size) != uint32(z.size) {
		return malformed("checksum or size of a member")
	}
	z.phase = inMember
	return nil
}
