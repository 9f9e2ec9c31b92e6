// Package gunzip reads what a gzip stream decompresses to from any offset on.
//
// An Inflater reads a stream (RFC 1952, and RFC 1951 below it) from front to
// back. Where it stands at any moment is a Point: a place in the stream, the
// last 32 KiB of content, and what it knows of the checksum. From there another
// Inflater goes on, in the middle of a block too. A File keeps Points while it
// reads, and goes on from the nearest one.
//
// A stream is one or more members and nothing behind them. Each member's
// checksum and size are held to, also by who came in at a Point. Memory is
// bounded by the window and the tables, whatever the stream says of itself.
package gunzip

import (
	"errors"
	"hash/crc32"
	"io"
)

// ErrMalformed is wrapped where a stream is not gzip, or damaged.
var ErrMalformed = errors.New("not a valid gzip stream")

const (
	window   = 32 << 10 // how far back a match reaches
	chunk    = 64 << 10 // bytes of content that are made at a time, at most
	maxMatch = 258
	overrun  = 8 // bytes that copying a match may write behind it
)

// phase is what comes next in a stream.
type phase byte

const (
	inMember phase = iota // a member, or the end
	inBlock               // a block's header
	inStored
	inCodes
	inTrailer
)

// Inflater reads the content of a gzip stream. It serves one goroutine.
type Inflater struct {
	in      bits
	phase   phase
	members int
	block   int64 // bit where the header of the block under way begins
	final   bool  // it is the member's last
	left    int   // bytes of a stored block to come
	length  int   // bytes of a match to come
	back    int   // its distance
	codes   codes

	offset int64  // of the content that was read
	size   int64  // bytes of the member's content so far
	sum    uint32 // CRC-32 of them
	err    error  // sticky

	low int // where the member's content begins in out, as far as it is there
	end int // behind the last byte in out
	out [window + chunk + overrun]byte
}

// New returns an Inflater at the start of the size bytes of a stream.
func New(stream io.ReaderAt, size int64) *Inflater {
	return &Inflater{in: bits{src: stream, size: size}, low: window, end: window}
}

// Point is a place in a stream from which inflating can go on.
type Point struct {
	offset  int64 // of the content
	block   int64 // bit where the header of its block begins
	bit     int64 // where the stream goes on
	left    int
	length  int
	back    int
	members int
	size    int64
	sum     uint32
	window  []byte
}

// Point returns where the Inflater stands: nil before the first byte of
// content, and behind the last one.
func (z *Inflater) Point() *Point {
	if z.err != nil || z.phase != inStored && z.phase != inCodes {
		return nil
	}
	return &Point{
		offset: z.offset, block: z.block, bit: z.in.bit(), left: z.left, length: z.length, back: z.back,
		members: z.members, size: z.size, sum: z.sum, window: append([]byte(nil), z.out[max(z.low, z.end-window):z.end]...),
	}
}

// Resume returns an Inflater that goes on from a point of the same stream.
func Resume(stream io.ReaderAt, size int64, from *Point) *Inflater {
	z := New(stream, size)
	z.in.seek(from.block)
	if z.err = z.header(); z.err != nil {
		return z
	}
	z.in.seek(from.bit)
	z.left, z.length, z.back, z.members = from.left, from.length, from.back, from.members
	z.offset, z.size, z.sum = from.offset, from.size, from.sum
	z.low = window - copy(z.out[window-len(from.window):window], from.window)
	return z
}

// Read fills p, unless the content ends before: then the error is io.EOF.
// Other errors wrap ErrMalformed, or are the stream's own.
func (z *Inflater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && z.err == nil {
		n += copy(p[n:], z.next(len(p)-n))
	}
	if n < len(p) {
		return n, z.err
	}
	return n, nil
}

// skip goes n bytes further on.
func (z *Inflater) skip(n int64) error {
	for n > 0 && z.err == nil {
		n -= int64(len(z.next(int(min(n, chunk)))))
	}
	if n > 0 {
		return z.err
	}
	return nil
}

// next makes at most limit further bytes. They stay until it is called again.
func (z *Inflater) next(limit int) []byte {
	if z.end == window+chunk {
		copy(z.out[:window], z.out[chunk:])
		z.low, z.end = max(0, z.low-chunk), window
	}
	start := z.end
	to := min(start+limit, window+chunk)
	for z.end < to && z.err == nil {
		from := z.end
		z.err = z.step(to)
		made := z.out[from:z.end]
		z.sum = crc32.Update(z.sum, crc32.IEEETable, made)
		z.size += int64(len(made))
	}
	z.offset += int64(z.end - start)
	return z.out[start:z.end]
}

// step takes a piece of the stream. It makes bytes up to out[to] at most.
func (z *Inflater) step(to int) error {
	switch z.phase {
	case inMember:
		return z.member()
	case inBlock:
		return z.header()
	case inStored:
		return z.stored(to)
	case inCodes:
		return z.coded(to)
	}
	return z.trailer()
}

// stored copies of a stored block.
func (z *Inflater) stored(to int) error {
	if z.left == 0 {
		z.endBlock()
		return nil
	}
	n, err := z.in.bytes(z.out[z.end:min(to, z.end+z.left)])
	z.end += n
	z.left -= n
	return short(err)
}

func (z *Inflater) endBlock() {
	z.phase = inBlock
	if z.final {
		z.phase = inTrailer
	}
}
