package gzipexact

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"airlock/internal/gzipexact/goflate"
	"airlock/internal/gzipexact/kpflate"
	"airlock/internal/gzipexact/zlibflate"
)

// An encoderID names a frozen encoder. Numbers are never reused.
type encoderID uint8

const (
	goFlate  encoderID = 1  // compress/flate of Go 1.9 to 1.26
	kp18     encoderID = 2  // klauspost/compress 1.18.2 to 1.20.3, and Go 1.27
	kp18Pgz  encoderID = 3  // pgzip over that
	kp15     encoderID = 4  // klauspost/compress 1.15.12 to 1.18.0
	kp15Pgz  encoderID = 5  // pgzip over that
	zlib8    encoderID = 6  // zlib 1.2.11 to 1.3.1, memLevel 8
	zlib9    encoderID = 7  // the same, memLevel 9
	gnuGzip  encoderID = 8  // GNU gzip
	pigzMany encoderID = 9  // pigz over zlib8, several threads
	pigzOne  encoderID = 10 // pigz over zlib8, one thread
)

// maxBlock is the size of the largest block, in bytes.
const maxBlock = 16 << 20

// An encoderSpec is an encoder with its settings.
type encoderSpec struct {
	id    encoderID
	level int
	block int // bytes of content in a block compressed by itself; 0 if there are none
}

var errEncoder = errors.New("encoder, level or block size not known to this version")

// check refuses what no encoder is there for.
func (s encoderSpec) check() error {
	level, block := false, s.block == 0
	switch s.id {
	case goFlate:
		level = s.level >= goflate.HuffmanOnly && s.level <= 9 && s.level != -1
	case kp18:
		level = s.level >= 1 && s.level <= 9
	case kp18Pgz:
		level, block = s.level >= 1 && s.level <= 9, s.block > pgzipTail && s.block <= maxBlock
	case kp15:
		level = s.level == 5
	case zlib8, zlib9, gnuGzip:
		level = s.level >= 1 && s.level <= 9
	case pigzMany, pigzOne:
		level, block = s.level >= 1 && s.level <= 9, s.block >= pigzTail && s.block <= maxBlock
	case kp15Pgz:
		level, block = s.level == 5, s.block > pgzipTail && s.block <= maxBlock
	}
	if !level || !block {
		return fmt.Errorf("encoder %d, level %d, block %d: %w", s.id, s.level, s.block, errEncoder)
	}
	return nil
}

func (s encoderSpec) String() string {
	name := map[encoderID]string{
		goFlate: "go1.26 flate", kp18: "klauspost 1.20 flate", kp18Pgz: "pgzip klauspost 1.20",
		kp15: "klauspost 1.18.0 flate", kp15Pgz: "pgzip klauspost 1.18.0",
		zlib8: "zlib", zlib9: "zlib memLevel 9", gnuGzip: "GNU gzip", pigzMany: "pigz", pigzOne: "pigz -p1",
	}[s.id]
	if s.block > 0 {
		return fmt.Sprintf("%s level %d, %d KiB blocks", name, s.level, s.block>>10)
	}
	return fmt.Sprintf("%s level %d", name, s.level)
}

// alwaysFlushed reports whether the encoder flushes every stream at its end.
func (s encoderSpec) alwaysFlushed() bool { return s.id == kp15Pgz || s.id == kp18Pgz }

// neverFlushed reports whether it flushes none there.
func (s encoderSpec) neverFlushed() bool {
	return s.id == gnuGzip || s.id == pigzMany || s.id == pigzOne
}

// variant returns which encoder of zlibflate s uses.
func (s encoderSpec) variant() zlibflate.Variant {
	switch s.id {
	case zlib9:
		return zlibflate.Zlib9
	case gnuGzip:
		return zlibflate.GNU
	}
	return zlibflate.Zlib8
}

// A streamEncoder writes the DEFLATE streams of members, one after the other.
type streamEncoder interface {
	io.Writer
	// Close ends the stream, after an empty block if flushed.
	Close(flushed bool) error
	// Reset begins another stream.
	Reset(dst io.Writer)
}

// newEncoder returns the encoder of a spec that check accepts.
func newEncoder(s encoderSpec, dst io.Writer) (streamEncoder, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	switch s.id {
	case goFlate:
		return goflate.NewEncoder(dst, s.level)
	case zlib8, zlib9, gnuGzip:
		return zlibflate.NewEncoder(dst, s.variant(), s.level)
	case pigzMany, pigzOne:
		enc, err := zlibflate.NewEncoder(dst, s.variant(), s.level)
		return &pigz{enc: enc, dst: dst, block: s.block, single: s.id == pigzOne}, err
	}
	e, err := newKlauspost(s, dst)
	if err != nil || s.block == 0 {
		return e, err
	}
	return &pgzip{enc: e, dst: dst, block: s.block}, nil
}

// A dictEncoder can start a stream with a dictionary and flush it.
type dictEncoder interface {
	streamEncoder
	ResetDict(dst io.Writer, dict []byte)
	Flush() error
}

// newBlockEncoder returns the encoder of one block of those that are compressed
// by themselves; its Flush ends a block.
func newBlockEncoder(s encoderSpec, dst io.Writer) (dictEncoder, error) {
	if s.id != pigzMany {
		return newKlauspost(s, dst)
	}
	e, err := zlibflate.NewEncoder(dst, s.variant(), s.level)
	return padded{e}, err
}

// tail returns how much of the block before a block may refer to.
func (s encoderSpec) tail() int {
	if s.id == pigzMany {
		return pigzTail
	}
	return pgzipTail
}

// A padded is an encoder of a block of pigz.
type padded struct{ *zlibflate.Encoder }

func (p padded) Flush() error { return p.Pad() }

func newKlauspost(s encoderSpec, dst io.Writer) (dictEncoder, error) {
	era := kpflate.Era1_18
	if s.id == kp15 || s.id == kp15Pgz {
		era = kpflate.Era1_15
	}
	if s.level == 5 {
		return kpflate.NewEncoder(dst, era), nil
	}
	w, err := flate.NewWriter(dst, s.level)
	return pinned{w}, err
}

// A pinned is an encoder of the module in go.mod. Golden hashes hold it.
type pinned struct{ *flate.Writer }

func (p pinned) Close(flushed bool) error {
	if flushed {
		if err := p.Flush(); err != nil {
			return err
		}
	}
	return p.Writer.Close()
}
