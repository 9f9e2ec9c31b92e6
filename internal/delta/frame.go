package delta

import (
	"encoding/binary"
	"fmt"
	"io"
)

// version is the first byte of a frame.
const version = 1

// The streams of a frame, in their order.
const (
	controlStream = iota
	gapStream
	singleStream
	runStream
	literalStream
	streamCount
)

// frame is an encoded frame taken apart, its streams not yet decoded.
type frame struct {
	pages   []int64
	streams [streamCount]stream
}

// stream is one stream of a frame: stored where encoded is as long as size,
// else one zstd frame.
type stream struct {
	size    int
	encoded []byte
}

func malformed(format string, arguments ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, arguments...))
}

// parseFrame takes apart a frame that holds size bytes.
func parseFrame(encoded []byte, size int) (*frame, error) {
	f := &frame{}
	rest, err := f.parsePages(encoded)
	if err != nil {
		return nil, err
	}
	var lengths [streamCount]int
	total := 0
	for i := range f.streams {
		var raw, length uint64
		if raw, rest, err = uvarint(rest); err != nil {
			return nil, err
		}
		if length, rest, err = uvarint(rest); err != nil {
			return nil, err
		}
		if raw > maxStreams(size) || length > raw || (length == 0) != (raw == 0) {
			return nil, malformed("a stream of %d bytes in %d", raw, length)
		}
		f.streams[i].size, lengths[i] = int(raw), int(length)
		total += int(raw)
	}
	if uint64(total) > maxStreams(size) {
		return nil, malformed("%d bytes in streams for a frame of %d", total, size)
	}
	for i, n := range lengths {
		if n > len(rest) {
			return nil, malformed("a stream cut short: %w", io.ErrUnexpectedEOF)
		}
		f.streams[i].encoded, rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return nil, malformed("%d bytes behind the frame", len(rest))
	}
	return f, nil
}

// maxStreams bounds what the streams of a frame of size bytes hold together.
func maxStreams(size int) uint64 { return 2*uint64(size) + 64 }

// parsePages reads the head of a frame and returns what follows it.
func (f *frame) parsePages(encoded []byte) ([]byte, error) {
	if len(encoded) == 0 {
		return nil, malformed("an empty frame: %w", io.ErrUnexpectedEOF)
	}
	if encoded[0] != version {
		return nil, malformed("version %d of the frame, want %d", encoded[0], version)
	}
	count, rest, err := uvarint(encoded[1:])
	if err != nil {
		return nil, err
	}
	if count == 0 || count > MaxPages {
		return nil, malformed("%d source pages, want 1 to %d", count, MaxPages)
	}
	f.pages = make([]int64, count)
	next := uint64(0)
	for i := range f.pages {
		var ahead uint64
		if ahead, rest, err = uvarint(rest); err != nil {
			return nil, err
		}
		if ahead > maxPage || next+ahead > maxPage {
			return nil, malformed("source page %d is beyond the last", ahead)
		}
		f.pages[i] = int64(next + ahead)
		next += ahead + 1
	}
	return rest, nil
}

// marshal is the inverse of parseFrame.
func (f *frame) marshal() []byte {
	size := headSize
	for _, s := range f.streams {
		size += len(s.encoded)
	}
	to := binary.AppendUvarint(append(make([]byte, 0, size), version), uint64(len(f.pages)))
	next := int64(0)
	for _, p := range f.pages {
		to = binary.AppendUvarint(to, uint64(p-next))
		next = p + 1
	}
	for _, s := range f.streams {
		to = binary.AppendUvarint(to, uint64(s.size))
		to = binary.AppendUvarint(to, uint64(len(s.encoded)))
	}
	for _, s := range f.streams {
		to = append(to, s.encoded...)
	}
	return to
}

// uvarint reads a number as encoding/binary writes it, in its shortest form.
func uvarint(from []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(from)
	switch {
	case n == 0:
		return 0, nil, malformed("a number cut short: %w", io.ErrUnexpectedEOF)
	case n < 0:
		return 0, nil, malformed("a number beyond 64 bits")
	case n > 1 && from[n-1] == 0:
		return 0, nil, malformed("a number not in its shortest form")
	}
	return v, from[n:], nil
}
