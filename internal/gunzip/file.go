// Package gunzip reads what a gzip stream decompresses to from any offset on.
//
// A File keeps places of the stream while it reads, and goes on from the nearest
// one. What a stream decompresses to is what gzipexact says: the content of its
// members, up to the end or to what is no member.
package gunzip

import (
	"errors"
	"io"
	"slices"
	"sync"

	"airlock/internal/gzipexact"
)

// Step is the distance in bytes of content at which a File keeps places, as
// long as there is room for them.
const Step = 2 << 20

// Points is room for the places of several Files. Each takes 32 KiB. When they
// become too many, those at every second Step are dropped, then at every second
// that is left, and so on: the more content is read, the further is the way to
// any of it. What was read last is near all the same.
type Points struct {
	most int

	mu    sync.Mutex
	count int
	every int64 // how many Steps are between two places that are kept for long
	files []*File
}

// NewPoints returns room for so many places, at least one.
func NewPoints(most int) *Points { return &Points{most: max(most, 1), every: 1} }

// File reads the content of a gzip stream at any offset. It is safe for use by
// several goroutines, one at a time of which reads.
type File struct {
	stream io.ReaderAt
	size   int64 // of the stream
	points *Points
	at     []*gzipexact.Place // by offset; guarded by points.mu

	mu sync.Mutex // held while reading
}

// NewFile returns the content of a stream of size bytes.
func NewFile(stream io.ReaderAt, size int64, points *Points) *File {
	return &File{stream: stream, size: size, points: points}
}

// ReadAt implements io.ReaderAt for the content. What lies between the nearest
// place and off is inflated first. That the content is wrong further on is not
// noticed. Errors but io.EOF are the stream's, or wrap gzipexact.ErrNotGzip.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("gunzip: negative offset")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	z, err := f.nearest(off)
	if err != nil {
		return 0, err
	}
	made := make([]byte, gzipexact.ReadSize)
	read := 0
	for read < len(p) {
		at := z.Offset()
		n, err := z.Read(made)
		if skip := off + int64(read) - at; skip < int64(n) {
			read += copy(p[read:], made[skip:n])
		}
		if err != nil && read < len(p) {
			return read, err
		}
		f.keep(z)
	}
	return read, nil
}

// nearest returns a Reader at off or before.
func (f *File) nearest(off int64) (*gzipexact.Reader, error) {
	f.points.mu.Lock()
	i, found := slices.BinarySearchFunc(f.at, off, func(p *gzipexact.Place, off int64) int { return int(min(max(p.Offset()-off, -1), 1)) })
	if !found {
		i--
	}
	var from *gzipexact.Place
	if i >= 0 {
		from = f.at[i]
	}
	f.points.mu.Unlock()
	if from == nil {
		return gzipexact.NewReader(io.NewSectionReader(f.stream, 0, f.size)), nil
	}
	return gzipexact.Resume(f.stream, f.size, from)
}

// before returns which Step a place is kept for: the next one, if the way to it is
// so short that no Read is certain to end nearer. False: it is not kept.
func before(offset int64) (int64, bool) {
	step := (offset + gzipexact.ReadSize) / Step
	return step, step > 0 && offset <= step*Step
}

// keep keeps where z stands, if it is a place just before a Step.
func (f *File) keep(z *gzipexact.Reader) {
	step, ok := before(z.Offset())
	if !ok {
		return
	}
	s := f.points
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearchFunc(f.at, step, func(p *gzipexact.Place, step int64) int {
		of, _ := before(p.Offset())
		return int(of - step)
	})
	if found && f.at[i].Offset() >= z.Offset() {
		return
	}
	p := z.Place()
	if p == nil {
		return
	}
	if found {
		f.at[i] = p
		return
	}
	if len(f.at) == 0 {
		s.files = append(s.files, f)
	}
	f.at = slices.Insert(f.at, i, p)
	if s.count++; s.count > s.most {
		s.thin()
	}
}

// thin drops places until there is room for a quarter of them again.
func (s *Points) thin() {
	for {
		s.count = 0
		s.files = slices.DeleteFunc(s.files, func(f *File) bool {
			f.at = slices.DeleteFunc(f.at, func(p *gzipexact.Place) bool {
				step, _ := before(p.Offset())
				return step%s.every != 0
			})
			s.count += len(f.at)
			return len(f.at) == 0
		})
		if s.count <= s.most*3/4 {
			return
		}
		s.every *= 2
	}
}
