package gunzip

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// Step is the distance in bytes of content at which a File keeps Points, as
// long as there is room for them.
const Step = 2 << 20

// Points is room for the points of several Files. Each takes 32 KiB. When they
// become too many, only those at every second place that is left are kept, and so on:
// the more content is read, the further is the way to any of it.
type Points struct {
	most int

	mu    sync.Mutex
	count int
	every int64 // of content
	files []*File
}

// NewPoints returns room for so many points, at least one.
func NewPoints(most int) *Points { return &Points{most: max(most, 1), every: Step} }

// File reads the content of a gzip stream at any offset. It is safe for use by
// several goroutines, one at a time of which reads.
type File struct {
	stream io.ReaderAt
	size   int64 // of the stream
	points *Points
	at     []*Point // by offset; guarded by points.mu

	mu sync.Mutex // held while reading
}

// NewFile returns the content of a stream of size bytes.
func NewFile(stream io.ReaderAt, size int64, points *Points) *File {
	return &File{stream: stream, size: size, points: points}
}

// ReadAt implements io.ReaderAt for the content. What lies between the nearest
// Point and off is inflated first. That the content is wrong further on is not noticed.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("gunzip: negative offset")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	z := f.nearest(off)
	for z.offset < off {
		if err := z.skip(min(off, untilStep(z.offset)) - z.offset); err != nil {
			return 0, err
		}
		f.keep(z)
	}
	n := 0
	for n < len(p) {
		part := min(int64(len(p)-n), untilStep(z.offset)-z.offset)
		got, err := z.Read(p[n : n+int(part)])
		if n += got; err != nil {
			return n, err
		}
		f.keep(z)
	}
	return n, nil
}

// untilStep returns the next place of a Point.
func untilStep(offset int64) int64 { return (offset/Step + 1) * Step }

// nearest returns an Inflater at off or before.
func (f *File) nearest(off int64) *Inflater {
	f.points.mu.Lock()
	i, found := f.find(off)
	if !found {
		i--
	}
	var from *Point
	if i >= 0 {
		from = f.at[i]
	}
	f.points.mu.Unlock()
	if from == nil {
		return New(f.stream, f.size)
	}
	return Resume(f.stream, f.size, from)
}

func (f *File) find(off int64) (int, bool) {
	return slices.BinarySearchFunc(f.at, off, func(p *Point, off int64) int { return int(min(max(p.offset-off, -1), 1)) })
}

// keep keeps where z stands, if it is a place of a Point.
func (f *File) keep(z *Inflater) {
	if z.offset%Step != 0 {
		return
	}
	s := f.points
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := f.find(z.offset)
	if found {
		return
	}
	p := z.Point()
	if p == nil {
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

// thin drops points until there is room for a quarter of them again.
func (s *Points) thin() {
	for {
		s.count = 0
		s.files = slices.DeleteFunc(s.files, func(f *File) bool {
			f.at = slices.DeleteFunc(f.at, func(p *Point) bool { return p.offset%s.every != 0 })
			s.count += len(f.at)
			return len(f.at) == 0
		})
		if s.count <= s.most*3/4 {
			return
		}
		s.every *= 2
	}
}
