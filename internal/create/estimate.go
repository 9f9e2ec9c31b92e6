package create

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"airlock/internal/archive"
	"airlock/internal/gzipexact"
	"airlock/internal/oci"
)

// More of what a machine does a second, in bytes: conservative figures like
// those of auto.go.
const (
	carryRate = 300e6 // blobs from a near place into a bundle, or from there to a near place
	learnRate = 150e6 // reading and indexing a base's contents: 187e6 were measured there, but a stick may be slower
)

// Bounds of what is fetched for an estimate, in bytes.
const (
	maxSamples = 256 << 20 // of all blobs together, but for minSample of each
	minSample  = 1 << 20
)

// Bounds of what is tried of the beginning of a blob, in pages.
const (
	maxInflated = 32
	maxTried    = 128 // of all blobs together, but for the fewest and most of each
	fewTried    = 2
	mostTried   = 8
)

// perItem is about what the index takes for a document or blob, in bytes.
const perItem = 64

// Estimate is what a release would come to in each way of packing: figures of
// a sample, none of them proven.
type Estimate struct {
	Images int
	Blobs  int   // with the documents
	Bytes  int64 // of them
	Link   int64 // bytes a second of the slowest part of the journey
	Meets  bool  // what is packed is on its way while more is packed
	Modes  []Mode
}

// Mode is what a release would come to in one way of packing.
type Mode struct {
	Pack    Pack
	Bytes   int64         // of the bundle
	Create  time.Duration // with a place near by that images come from
	Journey time.Duration // at the link's rate
	Load    time.Duration // into a registry near by
	Overlap time.Duration // of creation and journey: what is packed is on its way while more is packed
}

// Total returns how long it takes until the far side has the release.
func (m Mode) Total() time.Duration { return m.Create + m.Journey - m.Overlap + m.Load }

// Soonest returns the mode that has the far side have the release first; of
// equals the earlier one.
func (e *Estimate) Soonest() Mode {
	soonest := e.Modes[0]
	for _, m := range e.Modes[1:] {
		if m.Total() < soonest.Total() {
			soonest = m
		}
	}
	return soonest
}

// Estimate fetches the beginning of each blob that the bases do not have and
// tries what packing it would come to. It writes nothing. What blobs of the
// release have in common with each other is not looked for, and every gzip
// layer is taken for one that can be rebuilt exactly. Of the options it takes
// the bases, the link, whether creation and journey meet, and the progress.
func (c *Contents) Estimate(ctx context.Context, o Options) (*Estimate, error) {
	e := &estimating{contents: c, options: o}
	var err error
	if e.plain, err = archive.NewEstimator(archive.NewBases(), 0); err != nil {
		return nil, err
	}
	if e.based, err = archive.NewEstimator(o.Bases, deltaMemory(o.Bases.Size())); err != nil {
		return nil, err
	}
	if err := e.all(ctx); err != nil {
		return nil, err
	}
	return e.sum(), nil
}

// estimating is the making of one estimate.
type estimating struct {
	contents *Contents
	options  Options
	mu       sync.Mutex         // held while a page is tried
	plain    *archive.Estimator // knows no copies
	based    *archive.Estimator // knows the bases
	items    []guess            // in the contents' order
	tries    int                // pages of each item
}

// guess is what one item would take in each way of packing.
type guess struct {
	size  int64
	fast  int64
	small worth
	gzip  bool
	based bool // a base has it
}

// all tries every item, several at a time.
func (e *estimating) all(ctx context.Context) error {
	items := e.contents.items
	e.items = make([]guess, len(items))
	sample := min(max(maxSamples/int64(max(len(items), 1)), minSample), segmentSize)
	e.tries = min(max(maxTried/max(len(items), 1), fewTried), mostTried)
	total := e.options.Progress.Start("sampling", int64(len(items)))
	defer total.Done()
	return e.contents.eachItem(ctx, func(ctx context.Context, i int, it item) (err error) {
		defer total.Add(1)
		e.items[i], err = e.item(ctx, it, sample)
		return err
	})
}

// eachItem calls f for the items, several at a time. An error says which image
// it is about.
func (c *Contents) eachItem(ctx context.Context, f func(ctx context.Context, i int, it item) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, it := range c.items {
		group.Go(func() error {
			if err := f(ctx, i, it); err != nil {
				return it.explain(err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (e *estimating) item(ctx context.Context, it item, sample int64) (guess, error) {
	g := guess{size: it.Size, fast: it.Size, small: worth{packed: it.Size}}
	if g.based = e.options.Bases.Has(it.Digest); g.based {
		return g, nil
	}
	data, err := it.begin(ctx, min(it.Size, sample))
	if err != nil {
		return g, err
	}
	if g.gzip = isGzip(data); g.gzip {
		g.small, err = e.gzip(data, it.Size)
		return g, err
	}
	if it.isZstd() {
		return g, nil
	}
	in := func() (io.Reader, error) { return bytes.NewReader(data), nil }
	fast, err := e.try(e.plain, in)
	if err != nil {
		return g, err
	}
	small, err := e.try(e.based, in)
	g.fast = fast.worth(it.Size, fast.content).packed
	g.small.packed = small.worth(it.Size, small.content).packed
	return g, err
}

// begin returns the first n bytes of an item. They are not proven: nothing but
// an estimate comes of them.
func (it item) begin(ctx context.Context, n int64) ([]byte, error) {
	if it.raw != nil || n == 0 {
		return it.raw[:min(n, int64(len(it.raw)))], nil
	}
	r, err := it.source.Open(ctx, it.Descriptor, 0, n)
	if errors.Is(err, oci.ErrNoRanges) {
		r, err = it.source.Open(ctx, it.Descriptor, 0, it.Size)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, n)
	_, err = io.ReadFull(r, data)
	return data, err
}

// gzip tries the content of a gzip blob of size bytes that begins with data.
func (e *estimating) gzip(data []byte, size int64) (worth, error) {
	var read func() int64
	t, err := e.try(e.based, func() (content io.Reader, err error) {
		content, read = inflateBeginning(data)
		return content, nil
	})
	return t.worth(size, read()), err
}

// inflateBeginning decompresses the beginning of a gzip blob; read returns how
// much of it was needed so far.
func inflateBeginning(data []byte) (content io.Reader, read func() int64) {
	in := bytes.NewReader(data)
	buffered := bufio.NewReaderSize(in, 64<<10)
	return gzipexact.NewReader(buffered), func() int64 { return int64(len(data) - in.Len() - buffered.Buffered()) }
}

// try tries pages from all over what there is of a content, which it opens twice.
func (e *estimating) try(as *archive.Estimator, open func() (io.Reader, error)) (trial, error) {
	content, err := open()
	if err != nil {
		return trial{}, nil // damaged
	}
	n, _ := io.Copy(io.Discard, io.LimitReader(content, maxInflated*archive.FrameSize))
	pages := int((n + archive.FrameSize - 1) / archive.FrameSize)
	if content, err = open(); err != nil {
		return trial{}, nil
	}
	return sampling{first: pages, every: max(1, (pages+e.tries-1)/e.tries)}.try(content, func(page []byte) (int, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return as.Estimate(page)
	})
}

// sum adds up what all items take.
func (e *estimating) sum() *Estimate {
	c, link := e.contents, e.options.Link
	all := &Estimate{Images: len(c.images), Blobs: len(c.items), Bytes: c.Size(), Link: link, Meets: e.options.Meets}
	for _, pack := range []Pack{Fast, Auto, Small} {
		m := Mode{Pack: pack}
		var carried, content int64
		for _, g := range e.items {
			w := g.in(pack, e.options)
			m.Bytes += w.packed + perItem
			content += w.content
			if pack == Fast || !g.based {
				carried += g.size
			}
		}
		m.Create = seconds(carried, carryRate) + seconds(content, packRate)
		m.Journey = seconds(m.Bytes, float64(link))
		if e.options.Meets { // nothing is packed before the bases are learnt
			m.Overlap = min(m.Create, m.Journey)
		}
		if o := e.options; pack == Small || pack == Auto && !(Options{Pack: Auto, Link: o.Link, Meets: o.Meets}).Plain() {
			m.Create += seconds(e.options.Bases.Size(), learnRate)
		}
		m.Load = seconds(c.Size(), carryRate) + seconds(content, rebuildRate)
		all.Modes = append(all.Modes, m)
	}
	return all
}

// in returns what an item takes in one way of packing, and what of it has to be
// packed and rebuilt.
func (g guess) in(pack Pack, o Options) worth {
	switch {
	case pack == Fast:
		return worth{packed: g.fast}
	case g.based:
		return worth{}
	case pack == Auto && g.gzip && (journey{link: float64(o.Link), meets: o.Meets}).gain(g.size, g.small) <= 0:
		return worth{packed: g.size}
	}
	return g.small
}

func seconds(bytes int64, rate float64) time.Duration {
	return time.Duration(float64(bytes) / rate * float64(time.Second))
}
