package delta

import "errors"

// PageSize is the size of a page in bytes. A content starts on a page, and its
// last page may be shorter.
const PageSize = 2 << 20

// MaxPages is how many source pages a frame may list.
const MaxPages = 64

// maxPage is the greatest number of a page.
const maxPage = 1<<42 - 1

// maxStreamBytes bounds what one stream of a frame holds.
const maxStreamBytes = 2*PageSize + 64

// ErrMalformed is wrapped where a frame is not what the format allows.
var ErrMalformed = errors.New("malformed delta frame")

// Source gives the bytes of earlier pages, by number. They must stay as they
// are until the call of Match, Encode or Decode that asked for them returns.
type Source interface {
	Page(number int64) ([]byte, error)
}
