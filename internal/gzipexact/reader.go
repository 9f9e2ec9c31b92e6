package gzipexact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"airlock/internal/gzipexact/deflate"
)

// A Reader reads what the members of a gzip stream decompress to, one after the
// other, as an Analyzer hands it out. It reads up to what is no member, which
// an Analyzer calls trailing.
type Reader struct {
	in      *bufio.Reader
	inflate *deflate.Reader
	members int
	sum     uint32 // of the member
	size    int64
	err     error
}

// NewReader returns a Reader of the stream that r gives. It holds about 200 KiB.
func NewReader(r io.Reader) *Reader {
	in := bufio.NewReaderSize(r, inSize)
	z := &Reader{in: in, inflate: deflate.NewReader(in)}
	z.err = z.begin()
	return z
}

// Read returns the next bytes of content. Its errors wrap ErrNotGzip where the
// stream is no gzip, or damaged.
func (z *Reader) Read(p []byte) (int, error) {
	for z.err == nil {
		n, err := z.inflate.Read(p)
		z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:n])
		z.size += int64(n)
		switch {
		case err == io.EOF:
			z.err = z.end()
		case err != nil:
			z.err = errors.Join(ErrNotGzip, err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, z.err
}

// begin begins the next member, if there is one.
func (z *Reader) begin() error {
	magic, err := z.in.Peek(2)
	if z.members > 0 && (err == io.EOF || err == nil && string(magic) != "\x1f\x8b") {
		return io.EOF
	}
	if err != nil && err != io.EOF {
		return err
	}
	if _, err := readHeader(z.in); err != nil {
		return errors.Join(ErrNotGzip, err)
	}
	z.inflate.Reset()
	z.members, z.sum, z.size = z.members+1, 0, 0
	return nil
}

// end checks the member's trailer.
func (z *Reader) end() error {
	var got [8]byte
	if _, err := io.ReadFull(z.in, got[:]); err != nil {
		return errors.Join(ErrNotGzip, unexpected(err))
	}
	if !bytes.Equal(got[:], trailer(z.sum, z.size)) {
		return fmt.Errorf("checksum or size of content: %w", ErrNotGzip)
	}
	return z.begin()
}
