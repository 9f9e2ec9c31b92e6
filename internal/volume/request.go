package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"airlock/internal/manifest"
)

// ErrRequest is wrapped where a request or an answer is malformed, or belongs
// to another bundle.
var ErrRequest = errors.New("request refused")

// MaxRequest bounds a request's text, in bytes.
const MaxRequest = 1 << 20

const (
	requestLine = "airlock-request-v1"
	answerLine  = "airlock-answer-v1"
)

// Request asks the side where a bundle was made for blocks of its volumes.
type Request struct {
	Root   manifest.Digest // of the bundle
	Blocks []int64         // numbers in blocks.bin, ascending
}

// Marshal returns the one text of a request: a line that names the format, a
// line "root" with the digest of SHA256SUMS, and for every run of blocks a
// line with its number or "first-last".
func (q *Request) Marshal() []byte { return q.text(requestLine) }

func (q *Request) text(first string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nroot %s\n", first, q.Root.Hex())
	for i := 0; i < len(q.Blocks); {
		from := q.Blocks[i]
		for i++; i < len(q.Blocks) && q.Blocks[i] == q.Blocks[i-1]+1; i++ {
		}
		if last := q.Blocks[i-1]; last > from {
			fmt.Fprintf(&b, "%d-%d\n", from, last)
		} else {
			fmt.Fprintf(&b, "%d\n", from)
		}
	}
	return b.Bytes()
}

// ParseRequest reads exactly what Marshal writes. Every error wraps ErrRequest.
func ParseRequest(text []byte) (*Request, error) { return parseRequest(requestLine, text) }

func parseRequest(first string, text []byte) (*Request, error) {
	if len(text) > MaxRequest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrRequest, len(text), MaxRequest)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 || lines[0] != first || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("%w: it does not begin with %q, or has no blocks", ErrRequest, first)
	}
	root, ok := strings.CutPrefix(lines[1], "root ")
	if !ok {
		return nil, fmt.Errorf("%w: no root in line 2", ErrRequest)
	}
	q := &Request{}
	var err error
	if q.Root, err = manifest.ParseHex(root); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	for i, line := range lines[2 : len(lines)-1] {
		if err := q.parseRun(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrRequest, i+3, err)
		}
	}
	if !bytes.Equal(q.text(first), text) {
		return nil, fmt.Errorf("%w: not in canonical form", ErrRequest)
	}
	return q, nil
}

func (q *Request) parseRun(line string) error {
	from, to, isRun := strings.Cut(line, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	last := first
	if err == nil && isRun {
		last, err = strconv.ParseInt(to, 10, 64)
	}
	if n := len(q.Blocks); err == nil && n > 0 && first <= q.Blocks[n-1] {
		return fmt.Errorf("block %d is out of order", first)
	}
	if err != nil || first < 0 || last < first || last >= manifest.MaxSpace/manifest.BlockSize {
		return fmt.Errorf("%q: want a block number, or two with a hyphen", line[:min(len(line), 40)])
	}
	for n := first; n <= last; n++ {
		q.Blocks = append(q.Blocks, n)
	}
	return nil
}

// check refuses a request that is not for the reader's bundle.
func (q *Request) check(r *Reader) error {
	if root := r.verified.Root(); q.Root != root {
		return fmt.Errorf("%w: it is for the bundle with root %s, and this one has %s", ErrRequest, q.Root, root)
	}
	if last := q.Blocks[len(q.Blocks)-1]; last >= BlocksPer(r.size) {
		return fmt.Errorf("%w: it asks for block %d of %d", ErrRequest, last, BlocksPer(r.size))
	}
	return nil
}

// Answer writes the blocks that a request for this bundle asks for: the
// request's text with another first line, an empty line, and the blocks, each
// proven.
func (r *Reader) Answer(q *Request, w io.Writer) error {
	if err := q.check(r); err != nil {
		return err
	}
	if _, err := w.Write(append(q.text(answerLine), '\n')); err != nil {
		return err
	}
	for _, number := range q.Blocks {
		data, err := r.Block(number)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// SupplyAnswer supplies the reader with the blocks of an answer of size bytes.
// It checks that the answer is for this bundle and whole; the blocks are
// proven when they are used.
func (r *Reader) SupplyAnswer(from io.ReaderAt, size int64) error {
	head := make([]byte, min(size, MaxRequest+1))
	if _, err := io.ReadFull(io.NewSectionReader(from, 0, size), head); err != nil {
		return err
	}
	text, _, ok := bytes.Cut(head, []byte("\n\n"))
	if !ok {
		return fmt.Errorf("%w: no end of the answer's head", ErrRequest)
	}
	q, err := parseRequest(answerLine, append(bytes.Clone(text), '\n'))
	if err != nil {
		return err
	}
	if err := q.check(r); err != nil {
		return err
	}
	at := int64(len(text)) + 2
	want := at
	for _, number := range q.Blocks {
		want += r.blockSize(number)
	}
	if size != want {
		return fmt.Errorf("%w: the answer has %d bytes, want %d", ErrRequest, size, want)
	}
	r.Supply(func(number int64, data []byte) bool {
		i, found := slices.BinarySearch(q.Blocks, number)
		if !found {
			return false
		}
		// Only the space's last block, which is the last here too, is short.
		n, _ := from.ReadAt(data, at+int64(i)*manifest.BlockSize)
		return n == len(data)
	})
	return nil
}
