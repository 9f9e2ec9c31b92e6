package archive

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// sampleSize is how much of a frame is tried before the whole of it is
// compressed: most layers are gzip, where nothing is to be gained.
const sampleSize = 64 << 10

// maxWindow bounds what a zstd frame may make the decoder allocate, in bytes.
const maxWindow = FrameSize

// encoder compresses frames. Equal bytes give equal frames. It is safe for use
// by several goroutines.
type encoder struct {
	probe, full *zstd.Encoder
}

func newEncoder(workers int) (*encoder, error) {
	probe, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(workers))
	if err != nil {
		return nil, err
	}
	full, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(workers), zstd.WithWindowSize(FrameSize), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	return &encoder{probe: probe, full: full}, err
}

// encode returns data as a frame holds it, and of which kind the frame is.
// Compression has to save a sixteenth to be worth decoding.
func (e *encoder) encode(data []byte) ([]byte, FrameKind) {
	if len(data) > 2*sampleSize {
		middle := len(data)/2 - sampleSize/2
		sample := data[middle : middle+sampleSize]
		if !pays(len(e.probe.EncodeAll(sample, nil)), len(sample)) {
			return data, Stored
		}
	}
	encoded := e.full.EncodeAll(data, nil)
	if !pays(len(encoded), len(data)) {
		return data, Stored
	}
	return encoded, Zstd
}

func pays(encoded, size int) bool { return encoded+size/16 < size }

// decoder decompresses frames, bounded by their signed sizes. It is safe for
// use by several goroutines.
type decoder struct{ zstd *zstd.Decoder }

func newDecoder(workers int) (*decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(FrameSize))
	return &decoder{zstd: d}, err
}

// decode returns the size bytes of content that a zstd frame holds.
func (d *decoder) decode(encoded []byte, size int64) ([]byte, error) {
	if err := checkZstd(encoded, size); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	data, err := d.zstd.DecodeAll(encoded, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if int64(len(data)) != size {
		return nil, fmt.Errorf("%w: frame holds %d bytes, want %d", ErrMalformed, len(data), size)
	}
	return data, nil
}

// checkZstd refuses all but exactly one zstd frame with the content size and
// without a dictionary. The decoder would take several frames for one, and
// skip what RFC 8878 section 3.1.2 calls skippable frames.
func checkZstd(encoded []byte, size int64) error {
	var h zstd.Header
	if err := h.Decode(encoded); err != nil {
		return err
	}
	switch {
	case h.Skippable:
		return fmt.Errorf("a skippable zstd frame")
	case h.DictionaryID != 0:
		return fmt.Errorf("a zstd frame with dictionary %d", h.DictionaryID)
	case !h.HasFCS || h.FrameContentSize != uint64(size):
		return fmt.Errorf("a zstd frame for %d bytes, want %d", h.FrameContentSize, size)
	}
	rest := encoded[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return fmt.Errorf("a zstd frame cut short")
		}
		header := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = header&1 == 1
		length := int(header >> 3)
		if header>>1&3 == 1 { // RLE_Block: one byte stands for all (RFC 8878 section 3.1.1.2.2)
			length = 1
		}
		if len(rest) < 3+length {
			return fmt.Errorf("a zstd frame cut short")
		}
		rest = rest[3+length:]
	}
	if h.HasCheckSum {
		return fmt.Errorf("a zstd frame with a checksum")
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes behind a zstd frame", len(rest))
	}
	return nil
}
