package create

import (
	"errors"
	"io"

	"airlock/internal/archive"
)

// What a core does a second, in bytes of content: conservative figures of
// BENCHMARKS.md. They are constants, so that the same inputs give the same
// bundle whatever else the machine does.
const (
	packRate    = 45e6 // finding copies, compressing, proving the recipe beside it
	rebuildRate = 90e6 // compressing a layer again as it was
)

// Of a blob, every sampleEvery-th of its first sampled pages is tried.
const (
	sampled     = 8
	sampleEvery = 2
)

// worth is what packing a blob small costs and gains.
type worth struct {
	content int64 // bytes it decompresses to, estimated
	packed  int64 // bytes it would take in the bundle, estimated
}

// seconds returns how much sooner the far side has the blob if it is packed
// small and the link moves so many bytes a second; negative: later.
func (e worth) seconds(size, link int64) float64 {
	saved := float64(size-e.packed) / float64(link)
	return saved - float64(e.content)/packRate - float64(e.content)/rebuildRate
}

// decide takes a gzip blob apart if that gets it to the far side sooner.
func (w *writing) decide(a *apartItem, out *archive.Writer) error {
	e, err := a.estimate(out)
	if err != nil || e.seconds(a.Size, w.options.Link) <= 0 {
		return err
	}
	r, err := a.spool.reader()
	if err != nil {
		return err
	}
	return a.analyze(io.Discard, r)
}

// estimate tries some of the blob's first pages. A blob that is not gzip after
// all, or damaged, is worth nothing.
func (a *apartItem) estimate(out *archive.Writer) (worth, error) {
	z, err := a.inflate()
	if err != nil {
		return worth{packed: a.Size}, nil
	}
	var content, tried, packed int64
	page := make([]byte, archive.FrameSize)
	for i := range sampled {
		n, err := io.ReadFull(z, page)
		content += int64(n)
		if n > 0 && i%sampleEvery == 0 {
			size, err := out.Estimate(page[:n])
			if err != nil {
				return worth{}, err
			}
			tried, packed = tried+int64(n), packed+int64(size)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return worth{packed: a.Size}, nil
		}
	}
	if tried == 0 {
		return worth{packed: a.Size}, nil
	}
	whole := max(content, a.contentSize(content))
	return worth{content: whole, packed: int64(float64(whole) * float64(packed) / float64(tried))}, nil
}

// contentSize guesses how much the blob decompresses to from how much of it
// was read for the first bytes.
func (a *apartItem) contentSize(first int64) int64 {
	read := a.spool.read()
	if read >= a.Size || read == 0 {
		return first
	}
	return int64(float64(first) * float64(a.Size) / float64(read))
}
