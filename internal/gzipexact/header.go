package gzipexact

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bytes and flags of a member header (RFC 1952, section 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagReserved  = 0xe0

	fixedHeader = 10
)

var errHeader = errors.New("not the header of a gzip member")

// readHeader reads the header of a member as it stands.
func readHeader(r io.ByteReader) (string, error) {
	var h []byte
	take := func(n int) error {
		for range n {
			b, err := r.ReadByte()
			if err != nil {
				return unexpected(err)
			}
			if h = append(h, b); len(h) > MaxHeader {
				return errHeader
			}
		}
		return nil
	}
	text := func() error {
		for {
			if err := take(1); err != nil {
				return err
			}
			if h[len(h)-1] == 0 {
				return nil
			}
		}
	}
	if err := take(fixedHeader); err != nil {
		return "", err
	}
	flags := h[3]
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 || flags&flagReserved != 0 {
		return "", errHeader
	}
	if flags&flagExtra != 0 {
		if err := take(2); err != nil {
			return "", err
		}
		if err := take(int(binary.LittleEndian.Uint16(h[fixedHeader:]))); err != nil {
			return "", err
		}
	}
	for _, f := range []byte{flagName, flagComment} {
		if flags&f != 0 {
			if err := text(); err != nil {
				return "", err
			}
		}
	}
	if flags&flagHeaderCRC != 0 {
		if err := take(2); err != nil {
			return "", err
		}
	}
	return string(h), nil
}

// headerLength returns the length of the header at the start of s.
func headerLength(s string) (int, error) {
	h, err := readHeader(bufio.NewReader(strings.NewReader(s)))
	return len(h), err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// anotherMember reports whether a member comes next in a stream of which so many
// were read: the first one always does.
func anotherMember(in *bufio.Reader, read int) (bool, error) {
	magic, err := in.Peek(2)
	if err != nil && err != io.EOF {
		return false, err
	}
	return read == 0 || string(magic) == "\x1f\x8b", nil
}

const trailerSize = 8

// checkTrailer reads what ends a member and compares it with the member's content.
func checkTrailer(in io.Reader, sum uint32, size int64) error {
	var got [trailerSize]byte
	if _, err := io.ReadFull(in, got[:]); err != nil {
		return unexpected(err)
	}
	if !bytes.Equal(got[:], trailer(sum, size)) {
		return fmt.Errorf("checksum or size of content: %w", ErrNotGzip)
	}
	return nil
}
