package gunzip

import (
	"encoding/binary"
)

// header reads a block's header (RFC 1951, section 3.2.3).
func (z *Inflater) header() error {
	z.block = z.in.bit()
	final, err := z.in.take(1)
	if err != nil {
		return short(err)
	}
	kind, err := z.in.take(2)
	if err != nil {
		return short(err)
	}
	z.final = final == 1
	switch kind {
	case 0:
		return short(z.storedHeader())
	case 1:
		z.phase = inCodes
		z.codes.fixed()
		return nil
	case 2:
		z.phase = inCodes
		return short(z.codes.read(&z.in))
	}
	return malformed("a block of kind 3")
}

func (z *Inflater) storedHeader() error {
	z.phase = inStored
	z.in.align()
	size, err := z.in.take(16)
	if err != nil {
		return err
	}
	again, err := z.in.take(16)
	if err != nil {
		return err
	}
	if again != size^0xffff {
		return malformed("size of a stored block")
	}
	z.left = size
	return nil
}

// coded makes bytes of a block with codes.
func (z *Inflater) coded(to int) error {
	for z.end < to {
		if z.length > 0 {
			z.match(to)
			continue
		}
		ended, err := z.fast(to)
		if err == nil && !ended && z.end < to {
			ended, err = z.symbol()
		}
		if err != nil {
			return short(err)
		}
		if ended {
			z.endBlock()
			return nil
		}
	}
	return nil
}

// match copies of a match as much as there is room for.
func (z *Inflater) match(to int) {
	n := min(z.length, to-z.end)
	for range n {
		z.out[z.end] = z.out[z.end-z.back]
		z.end++
	}
	z.length -= n
}

// symbol takes a literal or the start of a match, or finds the block's end. There
// is room for a byte.
func (z *Inflater) symbol() (ended bool, err error) {
	e, err := z.in.decode(z.codes.literals[:], literalBits)
	if err != nil {
		return false, err
	}
	switch {
	case e&isLiteral != 0:
		z.out[z.end] = byte(e >> 16)
		z.end++
		return false, nil
	case e&isEnd != 0:
		return true, nil
	}
	if z.length, err = z.value(e); err != nil {
		return false, err
	}
	if e, err = z.in.decode(z.codes.distances[:], distanceBits); err != nil {
		return false, err
	}
	if z.back, err = z.value(e); err == nil && z.back > z.end-z.low {
		err = errTooFar()
	}
	if err != nil {
		z.length = 0
	}
	return false, err
}

func errTooFar() error { return malformed("a match before the start") }

// value takes the extra bits of a length or a distance.
func (z *Inflater) value(e uint32) (int, error) {
	more, err := z.in.take(uint(e >> 8 & 15))
	return int(e>>16) + more, err
}

// fast takes codes as long as there is plenty of the stream in memory, and of
// room. It does what symbol and match do, many times over.
func (z *Inflater) fast(to int) (ended bool, err error) {
	in, pos, acc, n := z.in.buf[:z.in.end], z.in.pos, z.in.acc, z.in.n
	literals, distances := &z.codes.literals, &z.codes.distances
	out, end := &z.out, z.end
	// Twice 8 bytes are looked at, of which 14 are taken at most; two literals and a match are made.
	for pos+16 <= len(in) && end+2+maxMatch <= to {
		acc |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := literals[acc&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			acc >>= e & 63
			n -= uint(e & 63)
			out[end] = byte(e >> 16)
			end++
			e = literals[acc&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				acc >>= e & 63
				n -= uint(e & 63)
				out[end] = byte(e >> 16)
				end++
				e = literals[acc&(1<<literalBits-1)]
				if e&isLiteral != 0 {
					acc >>= e & 63
					n -= uint(e & 63)
					out[end] = byte(e >> 16)
					end++
					continue
				}
			}
			acc |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		// A length and a distance take 48 bits at most.
		if e&isTable != 0 {
			acc >>= literalBits
			n -= literalBits
			e = literals[uint64(e>>16)+acc&(1<<(e>>8&15)-1)]
			if e&isLiteral != 0 {
				acc >>= e & 63
				n -= uint(e & 63)
				out[end] = byte(e >> 16)
				end++
				continue
			}
		}
		acc >>= e & 63
		n -= uint(e & 63)
		if e&(isEnd|isInvalid) != 0 {
			if ended = e&isEnd != 0; !ended {
				err = malformed("a code that is not there")
			}
			break
		}
		extra := e >> 8 & 15
		length := int(e>>16) + int(acc&(1<<extra-1))
		acc >>= extra
		n -= uint(extra)
		e = distances[acc&(1<<distanceBits-1)]
		if e&isTable != 0 {
			acc >>= distanceBits
			n -= distanceBits
			e = distances[uint64(e>>16)+acc&(1<<(e>>8&15)-1)]
		}
		acc >>= e & 63
		n -= uint(e & 63)
		extra = e >> 8 & 15
		back := int(e>>16) + int(acc&(1<<extra-1))
		acc >>= extra
		n -= uint(extra)
		if e&isInvalid != 0 || back > end-z.low {
			err = errTooFar()
			break
		}
		from := out[end-back:]
		into := out[end:]
		end += length
		switch {
		case back >= length && length > 32:
			copy(into[:length], from)
		case back >= 8:
			for i := 0; i < length; i += 8 {
				binary.LittleEndian.PutUint64(into[i:], binary.LittleEndian.Uint64(from[i:]))
			}
		default:
			for i := range length {
				into[i] = from[i]
			}
		}
	}
	z.in.pos, z.in.acc, z.in.n, z.end = pos, acc&(1<<n-1), n, end
	return ended, err
}
