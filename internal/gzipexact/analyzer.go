package gzipexact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"airlock/internal/gzipexact/deflate"
)

var (
	// ErrNotGzip says that the stream is not gzip, or damaged.
	ErrNotGzip = errors.New("not a valid gzip stream")
	// ErrUnknown says that no encoder known here makes this stream.
	ErrUnknown = errors.New("gzip stream of an unknown encoder")
)

// Analyze reads a gzip stream, writes its content to another writer, in order,
// and returns the recipe that makes the stream of it. Of the content it writes
// as much as some encoder has been found to make the stream of, and only with a
// nil error all: the same stream always gives the same bytes. It writes them
// from another goroutine, none any more once it has returned, and reads up to
// 8 MiB ahead of a writer that takes its time. The writer must not change what
// it is given.
//
// The error wraps ErrNotGzip, ErrUnknown, or an error of the stream's reader or
// of the content's writer. The stream may not have been read to its end then.
func Analyze(stream io.Reader, content io.Writer) (Recipe, error) {
	return newSplitter(stream, newReleaser(content)).run()
}

// A tap keeps what has been read through it.
type tap struct {
	r    io.Reader
	kept bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.kept.Write(p[:n])
	return n, err
}

// errUnwanted says that the content's writer has failed.
var errUnwanted = errors.New("content is not wanted")

// A splitter takes a stream apart into members and steps.
type splitter struct {
	tap     tap
	in      *bufio.Reader // on tap
	inflate *deflate.Reader
	content *releaser
	race    *race
	recipe  Recipe
	headers map[string]int
	pool    sync.Pool // of *loan
	seen    int       // bytes of headers and members recorded, at most
	last    [10]byte  // of the DEFLATE stream so far
}

const (
	inSize = 32 << 10
	// firstSize is how much content a stream's first steps have.
	firstSize = 32 << 10
	// A stream that was flushed before it was closed ends in two empty blocks;
	// the header of the first lies in the byte before. The second is stored or
	// has the fixed codes.
	flushedStored = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	flushedFixed  = "\x00\x00\xff\xff\x03\x00"
)

func newSplitter(r io.Reader, content *releaser) *splitter {
	s := &splitter{tap: tap{r: r}, content: content, headers: map[string]int{}}
	s.in = bufio.NewReaderSize(&s.tap, inSize)
	s.inflate = deflate.NewReader(s.in)
	return s
}

func (s *splitter) run() (Recipe, error) {
	err := s.all()
	if s.race != nil {
		winner, found := s.race.finish(err == nil)
		if err == nil && !found {
			err = ErrUnknown
		}
		s.recipe.encoder = winner
	}
	if failed := s.content.end(); failed != nil {
		err = fmt.Errorf("writing content: %w", failed)
	}
	if err != nil {
		return Recipe{}, fmt.Errorf("analysing gzip stream: %w", err)
	}
	return s.recipe, nil
}

// all reads members up to the end or to bytes that are no member.
func (s *splitter) all() error {
	for {
		more, err := anotherMember(s.in, len(s.recipe.members))
		if err != nil {
			return err
		}
		if !more {
			return s.trailing()
		}
		if err := s.member(); err != nil {
			return err
		}
	}
}

func (s *splitter) trailing() error {
	b, err := io.ReadAll(io.LimitReader(s.in, MaxTrailing+1))
	if err != nil {
		return err
	}
	if len(b) > MaxTrailing {
		return fmt.Errorf("more than %d bytes behind the last member: %w", MaxTrailing, ErrUnknown)
	}
	s.recipe.trailing = string(b)
	return nil
}

// taken returns the bytes that have been consumed since it was last called.
func (s *splitter) taken() []byte {
	return bytes.Clone(s.tap.kept.Next(s.tap.kept.Len() - s.in.Buffered()))
}

func (s *splitter) member() error {
	h, err := readHeader(s.in)
	if err != nil {
		return notGzip(err)
	}
	s.taken()
	if s.race == nil {
		s.race = &race{tiers: candidates(h), confirm: s.content.confirm}
	}
	s.inflate.Reset()
	var sum uint32
	var size int64
	clear(s.last[:])
	for end := false; !end; {
		shared, err := s.inflateSome()
		if err != nil && err != io.EOF {
			return notGzip(err)
		}
		end = err == io.EOF
		p := shared.content
		sum = crc32.Update(sum, crc32.IEEETable, p)
		size += int64(len(p))
		if !s.content.add(shared) {
			return errUnwanted
		}
		stream := s.taken()
		s.remember(stream)
		if !s.race.add(step{content: p, shared: shared, stream: stream, end: end, flushed: end && s.flushed()}) {
			return ErrUnknown
		}
		shared.done()
	}
	return s.endMember(h, member{flushed: s.flushed(), size: size}, sum)
}

// inflateSome returns as much as a step has, or what is left and io.EOF.
func (s *splitter) inflateSome() (*loan, error) {
	size := copySize
	if s.race.content < prefixContent {
		size = firstSize // so that candidates are refuted early
	}
	p := lend(&s.pool, size)
	for n := 0; n < size; {
		k, err := s.inflate.Read(p.content[n:])
		if n += k; err != nil {
			return p.cut(n), err
		}
	}
	return p, nil
}

// remember keeps the end of the DEFLATE stream.
func (s *splitter) remember(stream []byte) {
	stream = stream[max(0, len(stream)-len(s.last)):]
	copy(s.last[:], s.last[len(stream):])
	copy(s.last[len(s.last)-len(stream):], stream)
}

// flushed reports whether the stream ends in two empty blocks, not just one.
func (s *splitter) flushed() bool {
	return bytes.HasSuffix(s.last[:], []byte(flushedStored)) || bytes.HasSuffix(s.last[:], []byte(flushedFixed))
}

// endMember checks the member's trailer and records the member.
func (s *splitter) endMember(header string, m member, sum uint32) error {
	if err := checkTrailer(s.in, sum, m.size); err != nil {
		return notGzip(err)
	}
	s.taken()
	at, ok := s.headers[header]
	if !ok {
		at = len(s.recipe.headers)
		s.headers[header] = at
		s.recipe.headers = append(s.recipe.headers, header)
		s.seen += len(header)
	}
	m.header = at
	s.recipe.members = append(s.recipe.members, m)
	// A number takes at most ten bytes.
	if s.seen += 20; s.seen > MaxRecipe-2*MaxTrailing {
		return fmt.Errorf("recipe larger than %d bytes: %w", MaxRecipe, ErrUnknown)
	}
	return nil
}
