package gzipexact

import (
	"bufio"
	"errors"
	"hash/crc32"
	"io"

	"airlock/internal/gzipexact/deflate"
)

// A Reader reads what the members of a gzip stream decompress to, one after the
// other, as Analyze writes it. It reads up to what is no member, which Analyze
// calls trailing.
type Reader struct {
	in      *bufio.Reader
	inflate *deflate.Reader
	err     error
	position
}

// position is where a Reader stands, but for its place in a DEFLATE stream.
type position struct {
	offset  int64 // of the content
	begins  int64 // where in the stream the member's DEFLATE stream does
	members int
	sum     uint32 // of the member's content so far
	size    int64
}

// A Place is where a Reader stands, to go on from there. It takes up to 32 KiB.
type Place struct {
	position
	deflate deflate.Place
}

// Offset returns the offset in the content.
func (p *Place) Offset() int64 { return p.offset }

// ReadSize is how much room a Read needs to leave a Reader at a Place.
const ReadSize = deflate.ReadSize

// NewReader returns a Reader of the stream that r gives. It holds about 200 KiB.
func NewReader(r io.Reader) *Reader {
	in := bufio.NewReaderSize(r, inSize)
	z := &Reader{in: in, inflate: deflate.NewReader(in)}
	z.err = z.begin()
	return z
}

// Resume returns a Reader that goes on from a place of the same stream, which
// has size bytes.
func Resume(stream io.ReaderAt, size int64, from *Place) (*Reader, error) {
	z := &Reader{position: from.position}
	var err error
	z.inflate, err = deflate.Resume(func(at int64) *bufio.Reader {
		at += from.begins
		z.in = bufio.NewReaderSize(io.NewSectionReader(stream, at, size-at), inSize)
		return z.in
	}, from.deflate)
	return z, err
}

// Offset returns the offset in the content of what Read returns next.
func (z *Reader) Offset() int64 { return z.offset }

// Place returns where z stands: nil after a Read with less room than ReadSize,
// and at the end.
func (z *Reader) Place() *Place {
	p, ok := z.inflate.Place()
	if !ok || z.err != nil {
		return nil
	}
	return &Place{z.position, p}
}

// Read returns the next bytes of content. Its errors wrap ErrNotGzip where the
// stream is no gzip, or damaged; others are the source's.
func (z *Reader) Read(p []byte) (int, error) {
	for z.err == nil {
		n, err := z.inflate.Read(p)
		z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:n])
		z.size += int64(n)
		z.offset += int64(n)
		switch {
		case err == io.EOF:
			z.err = z.end()
		case err != nil:
			z.err = notGzip(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, z.err
}

// notGzip says so of a stream's error, unless it is its source's own.
func notGzip(err error) error {
	if errors.Is(err, deflate.ErrCorrupt) || errors.Is(err, errHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.Join(ErrNotGzip, err)
	}
	return err
}

// begin begins the next member, if there is one.
func (z *Reader) begin() error {
	if more, err := anotherMember(z.in, z.members); err != nil {
		return err
	} else if !more {
		return io.EOF
	}
	header, err := readHeader(z.in)
	if err != nil {
		return notGzip(err)
	}
	z.begins += int64(len(header))
	z.inflate.Reset()
	z.members, z.sum, z.size = z.members+1, 0, 0
	return nil
}

// end checks the member's trailer.
func (z *Reader) end() error {
	if err := checkTrailer(z.in, z.sum, z.size); err != nil {
		return notGzip(err)
	}
	z.begins += z.inflate.Taken() + trailerSize
	return z.begin()
}
