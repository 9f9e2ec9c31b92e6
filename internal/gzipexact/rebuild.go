package gzipexact

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"airlock/internal/gzipexact/goflate"
	"airlock/internal/gzipexact/zlibflate"
)

// copySize is how many content bytes are handed over at a time.
const copySize = 128 << 10

// Rebuild writes to dst the gzip stream that r describes, reading its content
// to the end. Content that ends early is io.ErrUnexpectedEOF, more of it than
// r.Size an error. Other content of the right size gives another valid stream:
// whoever must know that the stream is the right one hashes it.
func Rebuild(dst io.Writer, r Recipe, content io.Reader) error {
	return RebuildParallel(dst, r, content, 1)
}

// RebuildParallel is Rebuild with a number of goroutines working on the one
// stream, where its encoder allows: Go's levels 4 to 9 and pgzip do.
func RebuildParallel(dst io.Writer, r Recipe, content io.Reader, workers int) error {
	enc, err := rebuilder(dst, r, workers)
	if err != nil {
		return fmt.Errorf("rebuilding gzip stream: %w", err)
	}
	buf := make([]byte, copySize)
	for i, m := range r.members {
		if i > 0 {
			enc.Reset(dst)
		}
		if err := rebuildMember(dst, enc, memberInput{m, r.headers[m.header], content, buf}); err != nil {
			return fmt.Errorf("rebuilding gzip stream: member %d: %w", i, err)
		}
	}
	switch n, err := io.ReadFull(content, buf[:1]); {
	case n > 0:
		return fmt.Errorf("rebuilding gzip stream: more content than %d bytes", r.Size())
	case err != io.EOF:
		return fmt.Errorf("rebuilding gzip stream: reading content: %w", err)
	}
	_, err = io.WriteString(dst, r.trailing)
	return err
}

// worthwhile is from which size of members on several goroutines pay.
const worthwhile = 2 << 20

func rebuilder(dst io.Writer, r Recipe, workers int) (streamEncoder, error) {
	large := r.Size()/worthwhile >= int64(len(r.members))
	switch s := r.encoder; {
	case s.check() != nil || workers < 2 || !large:
	case s.id == goFlate && s.level >= 4:
		return goflate.NewParallel(dst, s.level, workers)
	case (s.id == zlib8 || s.id == zlib9 || s.id == gnuGzip) && s.level >= zlibflate.FirstParallel:
		return zlibflate.NewParallel(dst, s.variant(), s.level, workers)
	case s.id == kp18Pgz || s.id == kp15Pgz || s.id == pigzMany:
		return newParallelBlocks(dst, s, workers), nil
	}
	return newEncoder(r.encoder, dst)
}

type memberInput struct {
	member
	header  string
	content io.Reader
	buf     []byte
}

func rebuildMember(dst io.Writer, enc streamEncoder, in memberInput) error {
	if _, err := io.WriteString(dst, in.header); err != nil {
		return err
	}
	var sum uint32
	for left := in.size; left > 0; {
		p := in.buf[:min(left, int64(len(in.buf)))]
		if _, err := io.ReadFull(in.content, p); err != nil {
			return fmt.Errorf("reading content: %w", unexpected(err))
		}
		sum = crc32.Update(sum, crc32.IEEETable, p)
		if _, err := enc.Write(p); err != nil {
			return err
		}
		left -= int64(len(p))
	}
	if err := enc.Close(in.flushed); err != nil {
		return err
	}
	_, err := dst.Write(trailer(sum, in.size))
	return err
}

// trailer returns the end of a member (RFC 1952, section 2.3.1).
func trailer(sum uint32, size int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, sum)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}
