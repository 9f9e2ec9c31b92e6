package create

import (
	"errors"
	"io"

	"airlock/internal/archive"
)

// What a machine of two cores does a second, in bytes of content: 1.46 GB of
// images of Debian, Java, Node.js and Go (the "small" contest of scripts/bench,
// Python left out), packed small from a registry on the same machine onto its
// disk, 31 to 34 s, and its second release loaded on the first into an OCI
// layout, 26 to 28 s. They are constants, so that the same inputs give the same
// bundle whatever else the machine does.
const (
	packRate    = 43e6 // finding copies, compressing, proving the recipe beside it
	rebuildRate = 55e6 // decoding, and compressing a layer again as it was
)

// sampling says which pages of a content are tried: of the first so many one in
// so many, the first one always.
type sampling struct{ first, every int }

// worth is what packing a blob small costs and gains.
type worth struct {
	content int64 // bytes it decompresses to, estimated
	packed  int64 // bytes it would take in the bundle, estimated
}

// estimate tries some of the blob's first pages, unless it decompresses to so
// much that copies cannot make up for it. A blob that is not gzip after all, or
// damaged, is worth nothing.
func (a *apartItem) estimate(out *archive.Writer, j journey) (worth, error) {
	free := func([]byte) (int, error) { return 0, nil }
	if e, err := a.try(sampling{first: 1, every: 1}, free); err != nil || j.gain(a.Size, e) <= 0 {
		return e, err
	}
	// To try a page takes as long as to pack it: of a small blob it is just one.
	tries := min(max(a.Size*unpacks/archive.FrameSize/8, 1), 4)
	return a.try(sampling{first: 2 * int(tries), every: 2}, out.Estimate)
}

// unpacks is about how much larger than a gzip blob its content is.
const unpacks = 3

// try has some of the blob's first pages tried.
func (a *apartItem) try(s sampling, try func([]byte) (int, error)) (worth, error) {
	z, err := a.inflate()
	if err != nil {
		return worth{packed: a.Size}, nil
	}
	t, err := s.try(z, try)
	return t.worth(a.Size, a.spool.read()), err
}

// trial is what trying some first pages of a content has shown.
type trial struct {
	content int64 // bytes of content that were read
	tried   int64 // of them, those that were tried
	packed  int64 // bytes that those would take
}

// try reads the first pages of a content and has some of them tried. A content
// that is cut counts as far as it goes, and one that is damaged not at all. The
// error is what try returns.
func (s sampling) try(content io.Reader, try func(page []byte) (int, error)) (trial, error) {
	var t trial
	page := make([]byte, archive.FrameSize)
	for i := range s.first {
		n, err := io.ReadFull(content, page)
		t.content += int64(n)
		if n > 0 && i%s.every == 0 {
			size, err := try(page[:n])
			if err != nil {
				return trial{}, err
			}
			t.tried, t.packed = t.tried+int64(n), t.packed+int64(size)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return trial{}, nil
		}
	}
	return t, nil
}

// worth extends a trial to a blob of size bytes, of which read were needed for
// the content that was read. A blob of which nothing was tried is worth nothing.
func (t trial) worth(size, read int64) worth {
	if t.tried == 0 {
		return worth{packed: size}
	}
	whole := t.content
	if 0 < read && read < size {
		whole = max(whole, int64(float64(whole)*float64(size)/float64(read)))
	}
	return worth{content: whole, packed: int64(float64(whole) * float64(t.packed) / float64(t.tried))}
}
