// Package delta turns a run of bytes into copies from earlier bytes, and what
// differs. It finds them by long-distance matching over sampled windows, and
// keeps a match on its diagonal across small differences, which are stored as
// such: the idea of bsdiff (Percival 2003) without its suffix array.
//
// All earlier bytes lie in one address space, cut into pages of PageSize
// bytes. A page is encoded by itself into a frame, and decoded by itself from
// that frame and the pages that it lists, all of them before it. The package
// knows nothing of what the bytes are, nor where pages are kept.
//
// What stands as a page in that space is its owner's affair. It may be all that
// was encoded, or of an encoded page just its literals: then each run of bytes
// is there once, and frames copy from literals alone, never from copies.
//
// An archive that writes asks an Encoder to Match each page and then adds the
// page to the Index, or its literals (Encoder.AddNews). Matching goes page by page, since each page may copy from
// all before it; Plan.Marshal, where zstd takes its time, may run elsewhere.
// The same Adds and Matches in the same order give the same frames, byte for
// byte, whatever the number of workers.
//
// # A frame
//
// Version 1. A number is a variable-length one as in encoding/binary
// (LEB128), of at most 64 bits and in its shortest form. A frame does not
// state how many bytes it decodes to: its size is known from outside, and is
// at most 2097152 (PageSize).
//
//	frame   = version pages streams
//	version = 0x01
//	pages   = count page{count}       count 1 to 64
//	page    = number                  the page's number less the one before it less 1;
//	                                  for the first one, the page's number
//	streams = lengths{5} bytes{5}     control, gaps, singles, runs, literals
//	lengths = size encoded            two numbers
//
// A stream holds size bytes and takes encoded bytes of the frame. If both are
// equal its bytes stand as they are. Otherwise encoded is less, at least 1, and
// they are exactly one zstd frame (RFC 8878) that states its content size,
// which is the stream's, with a window of at most 8 MiB, without dictionary
// and checksum. The sizes of the five streams add up to at most 64 more than
// twice the size of the frame. Nothing follows the fifth.
//
// The source pages lie side by side in a window, the i-th of those listed from
// place i*2097152. A page that is shorter leaves a hole behind it, where no
// copy reaches. The control stream is copies to its end:
//
//	copy    = literals length shift   three numbers
//
// A copy takes that many bytes from the literals, then length bytes, at least
// 1, from the window, so that both together are the next bytes of the frame.
// They begin at the place behind the copy before (0 for the first one), plus
// literals, plus shift, which is zigzag-coded: 0, -1, 1, -2 as 0, 1, 2, 3.
// With shift 0 the copy goes on where the one before would have been had the
// literals been copied too. Only the first copy may have both literals and
// shift 0. Behind the last copy the rest of the literals are the rest of the
// frame. Every page listed is copied from.
//
// What differs is told of the copied bytes of the frame taken together as one
// run, literals left out. The gaps stream is runs of differences to its end:
//
//	run     = head [more]             numbers
//	head    = gap*4 + min(length,4)-1
//	more    = length-4                if length is 4 or more
//
// Gap copied bytes stay as they are, at least 1 but for the first run; the
// length bytes after them are each changed: a run of 1 by the next byte of
// singles, a longer one by the next length bytes of runs. Both are added to
// what was copied as one number, least significant byte first, and what is
// carried out of the last byte is dropped. No stream has bytes left over.
package delta

import "errors"

// PageSize is the size of a page in bytes. A content starts on a page, and its
// last page may be shorter.
const PageSize = 2 << 20

// MaxPages is how many source pages a frame may list.
const MaxPages = 64

// maxPage is the greatest number of a page.
const maxPage = 1<<42 - 1

// ErrMalformed is wrapped where a frame is not what the format allows.
var ErrMalformed = errors.New("malformed delta frame")

// Source gives the bytes of earlier pages, by number. They must stay as they
// are until the call of Match, Encode or Decode that asked for them returns.
// Each call asks for a page once. A page that is not the last of its content
// has PageSize bytes.
type Source interface {
	Page(number int64) ([]byte, error)
}
