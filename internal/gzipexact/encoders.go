package gzipexact

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"airlock/internal/gzipexact/goflate"
	"airlock/internal/gzipexact/kpflate"
)

// An encoderID names a frozen encoder. Numbers are never reused.
type encoderID uint8

const (
	goFlate  encoderID = 1 // compress/flate of Go 1.9 to 1.26
	kp18     encoderID = 2 // klauspost/compress 1.18.2 to 1.20.3, and Go 1.27
	kp18Pgz  encoderID = 3 // pgzip over that
	kp15     encoderID = 4 // klauspost/compress 1.15.12 to 1.18.0
	kp15Pgz  encoderID = 5 // pgzip over that
	maxBlock           = 16 << 20
)

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
	}[s.id]
	if s.block > 0 {
		return fmt.Sprintf("%s level %d, %d KiB blocks", name, s.level, s.block>>10)
	}
	return fmt.Sprintf("%s level %d", name, s.level)
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
	if s.id == goFlate {
		return goflate.NewEncoder(dst, s.level)
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
