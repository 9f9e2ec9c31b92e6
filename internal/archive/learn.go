package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"airlock/internal/delta"
	"airlock/internal/gunzip"
	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// found is a page on its way into the index.
type found struct {
	address int64
	data    []byte
}

// learnAll indexes what the bases hold, and notes what each page of it needs.
// While a page is indexed, the next one is read.
func (s *small) learnAll() error {
	indexed := make(chan struct{})
	s.found = make(chan found)
	go func() {
		defer close(indexed)
		for p := range s.found {
			s.index.Add(p.address, p.data)
		}
	}()
	defer func() {
		close(s.found)
		<-indexed
	}()
	carried := s.bases.carried()
	for _, blobs := range carried {
		s.owed += len(blobs)
	}
	points := gunzip.NewPoints(maxPoints)
	for _, r := range s.bases.all {
		b, err := newBase(r.asBase(), r, nil)
		if err == nil {
			s.below = append(s.below, b)
			err = s.learn(r, carried[b.Root], points)
		}
		if err != nil {
			return fmt.Errorf("base %s: %w", r.Manifest().Title(), err)
		}
	}
	return nil
}

// carried returns which unpacked blobs of each base the others copy from, with
// their sizes.
func (b *Bases) carried() map[manifest.Digest]map[manifest.Digest]int64 {
	all := map[manifest.Digest]map[manifest.Digest]int64{}
	for _, r := range b.all {
		for _, below := range r.bases {
			for _, u := range below.Unpacked {
				if all[below.Root] == nil {
					all[below.Root] = map[manifest.Digest]int64{}
				}
				all[below.Root][u.Blob] = u.Size
			}
		}
	}
	return all
}

// learn indexes the pages of a base, and then those that its gzip blobs unpack to.
func (s *small) learn(r *Reader, carried map[manifest.Digest]int64, points *gunzip.Points) error {
	zipped := map[manifest.Digest]bool{}
	for i := range r.index.contents {
		c := &r.index.contents[i]
		if !s.plain && c.isAlone() {
			var err error
			if zipped[c.digest], err = r.isGzip(c); err != nil {
				return err
			}
		}
		for k := range c.frames {
			// Compressed bytes are not found again.
			if err := s.learnFrame(r, c, k, !s.plain && !zipped[c.digest]); err != nil {
				return err
			}
		}
	}
	for _, b := range r.index.blobs {
		size, listed := carried[b.digest]
		if listed {
			s.owed--
			if s.listed() == s.most {
				continue // nothing is copied from it
			}
		}
		// What no known encoder makes, its successors in small bundles are not made by either.
		if !listed && (!zipped[b.digest] || b.kind != asItIs || b.why == NoEncoder || s.isUnpacked(b.digest)) {
			continue
		}
		if err := s.unpack(r, b.digest, size, points); err != nil {
			return err
		}
	}
	return nil
}

// learnFrame takes note of a base's page, and may index it.
func (s *small) learnFrame(r *Reader, c *content, k int, index bool) error {
	n, err := s.baseNeed(r, c, k)
	if err != nil {
		return err
	}
	if index && c.frames[k].kind != Same {
		data, err := r.ownPage(c.first+int64(k), newDescent(r.cache))
		if err != nil {
			return err
		}
		s.found <- found{s.next * FrameSize, data}
	}
	s.needs = append(s.needs, n)
	s.next++
	return nil
}

// isGzip reports whether a content begins as gzip does.
func (r *Reader) isGzip(c *content) (bool, error) {
	var magic [3]byte
	n, err := contentBytes{r, c}.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n == len(magic) && bytes.HasPrefix(magic[:], gzipMagic) && magic[2] == 8, nil
}

// listed returns how many gzip blobs of the bases are listed.
func (s *small) listed() int {
	n := 0
	for i := range s.below {
		n += len(s.below[i].Unpacked)
	}
	return n
}

// isUnpacked reports whether what a blob decompresses to is in the bases besides,
// or there is no room to list it: what bases copy from comes first.
func (s *small) isUnpacked(d manifest.Digest) bool {
	for _, r := range s.bases.all {
		if b, ok := r.index.find(d); ok && b.kind == gzip {
			return true
		}
	}
	for i := range s.below {
		if _, ok := s.below[i].unpackedOf(d); ok {
			return true
		}
	}
	return s.listed()+s.owed >= s.most
}

// unpack numbers and indexes the pages that a gzip blob decompresses to. One
// that is damaged is left out, unless a base copies from it and has told its size.
func (s *small) unpack(r *Reader, d manifest.Digest, size int64, points *gunzip.Points) error {
	c, err := r.gzipContent(d)
	if err != nil {
		return err
	}
	u := newUnpacked(r, c, size, points)
	if !s.plain {
		got, err := s.inflate(u)
		if err != nil && (size > 0 || !errors.Is(err, gzipexact.ErrNotGzip)) {
			return err
		}
		if err != nil || got == 0 {
			return nil
		}
		if size > 0 && got != size {
			return fmt.Errorf("%w: blob %s decompresses to %d bytes, and a base says %d", ErrMalformed, d, got, size)
		}
		u.size = got
	}
	n := frameCount(u.size)
	s.needs = append(s.needs, make([]need, n)...)
	s.next += n
	s.below[len(s.below)-1].list(manifest.Unpacked{Blob: d, Size: u.size}, u)
	return nil
}

// inflate indexes all pages of a gzip blob, and returns its content's size.
func (s *small) inflate(u *unpacked) (int64, error) {
	data, indexed := make([]byte, FrameSize), make([]byte, FrameSize)
	for size := int64(0); ; {
		n, err := u.file.ReadAt(data, size)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("blob %s: %w", u.blob, err)
		}
		s.found <- found{s.next*FrameSize + size, data[:n]} // taken when the one before is indexed
		data, indexed = indexed, data
		if size += int64(n); err == io.EOF {
			return size, nil
		}
	}
}

// baseNeed returns what decoding a base's frame takes.
func (s *small) baseNeed(r *Reader, c *content, i int) (need, error) {
	var sources []int64
	switch f := c.frames[i]; f.kind {
	case Same:
		sources = []int64{f.page}
	case Delta:
		raw, err := r.encoded(c, i)
		if err != nil {
			return need{}, err
		}
		if sources, err = delta.Pages(raw); err != nil {
			return need{}, err
		}
	}
	var n need
	for _, page := range sources {
		of := r.origin(page)
		number, ok := s.below.number(of)
		if !ok && of.unpacked >= 0 {
			return need{depth: maxDepth}, nil // it is not listed: the frame is not to be copied from
		}
		if !ok {
			return need{}, fmt.Errorf("%w: page %d is copied, and is none", ErrMalformed, page)
		}
		if of.base.Reader == r && c.frames[i].kind == Delta {
			n.addNews(number)
		} else {
			n.add(number, s.needs[number])
		}
	}
	return n.tidy(), nil
}
