package delta

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds what a stream may make the zstd decoder allocate, in bytes.
// All that a compressor writes stays below it.
const maxWindow = 8 << 20

// compressor encodes streams. It is safe for use by several goroutines.
type compressor struct {
	small, medium, large *zstd.Encoder
	scratch              sync.Pool // of *[]byte
}

// Up to these sizes in bytes a stream gets the slowest and the second slowest
// encoder; the slowest one only in a frame whose streams together are no longer
// than smallFrame. A page of little news has short streams, and they take no
// time. With many literals beside them they matter little.
const (
	smallStream  = 32 << 10
	smallFrame   = 256 << 10
	mediumStream = 1 << 20
)

// newCompressor returns a compressor for as many streams at a time as there
// are workers. Each takes some 55 MiB.
func newCompressor(workers int) (*compressor, error) {
	c := &compressor{scratch: sync.Pool{New: func() any { return new([]byte) }}}
	for _, e := range []struct {
		encoder **zstd.Encoder
		level   zstd.EncoderLevel
	}{
		{&c.small, zstd.SpeedBestCompression},
		{&c.medium, zstd.SpeedBetterCompression},
		{&c.large, zstd.SpeedDefault},
	} {
		var err error
		*e.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(e.level), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(maxWindow/2), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderConcurrency(workers))
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// stream encodes raw, of a frame with total bytes in its streams. What zstd
// makes of it is appended to scratch, which is returned.
func (c *compressor) stream(raw []byte, total int, scratch []byte) (stream, []byte) {
	encoder := c.large
	switch {
	case len(raw) == 0:
		return stream{}, scratch
	case len(raw) <= smallStream && total <= smallFrame:
		encoder = c.small
	case len(raw) <= mediumStream:
		encoder = c.medium
	}
	begin := len(scratch)
	scratch = encoder.EncodeAll(raw, scratch)
	if encoded := scratch[begin:]; len(encoded) < len(raw) {
		return stream{size: len(raw), encoded: encoded}, scratch
	}
	return stream{size: len(raw), encoded: raw}, scratch[:begin]
}

// checkZstd refuses all but exactly one zstd frame that states its content
// size, without dictionary and checksum. A decoder would take several frames
// for one, and pass over what RFC 8878 section 3.1.2 calls skippable frames.
func checkZstd(encoded []byte, size int) error {
	var h zstd.Header
	if err := h.Decode(encoded); err != nil {
		return err
	}
	switch {
	case h.Skippable:
		return errors.New("a skippable frame")
	case h.DictionaryID != 0:
		return fmt.Errorf("dictionary %d", h.DictionaryID)
	case h.HasCheckSum:
		return errors.New("a checksum")
	case !h.HasFCS || h.FrameContentSize != uint64(size):
		return fmt.Errorf("%d bytes of content, want %d", h.FrameContentSize, size)
	case h.WindowSize > maxWindow:
		return fmt.Errorf("a window of %d bytes, at most %d are allowed", h.WindowSize, maxWindow)
	}
	rest := encoded[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return io.ErrUnexpectedEOF
		}
		header := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = header&1 == 1
		length := int(header >> 3)
		if header>>1&3 == 1 { // RLE_Block, RFC 8878 section 3.1.1.2.2
			length = 1
		}
		if len(rest)-3 < length {
			return io.ErrUnexpectedEOF
		}
		rest = rest[3+length:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes behind the zstd frame", len(rest))
	}
	return nil
}
