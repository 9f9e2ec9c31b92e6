package create

import (
	"context"
	"io"

	"airlock/internal/archive"
)

// decideAhead is how many bytes of blobs behind the one that is to be packed auto
// has fetched and decided on, the next one in any case: enough for one to be taken
// apart while another is packed, and not so much that packing waits long for a
// slow source.
const decideAhead = 64 << 20

// line is the fetched blobs in the order of their packing, the first of which
// auto has decided on.
type line struct {
	taking *taking
	out    *archive.Writer
	auto   bool
	way    journey // of all that came, as it is decided so far
	items  []item  // still to come
	first  []*apartItem
	chosen chan *apartItem // to be taken apart
	ended  chan struct{}   // closed when none is being taken apart any more
	packed int64           // bytes of what others may copy from
}

// newLine begins to take apart what is decided on. It has to be stopped.
func (w *writing) newLine(ctx context.Context, t *taking, out *archive.Writer, wanted []item) *line {
	l := &line{
		taking: t, out: out, auto: w.options.Pack == Auto, way: w.options.journey(), items: wanted,
		chosen: make(chan *apartItem, maxApart), ended: make(chan struct{}),
	}
	go func() {
		defer close(l.ended)
		for a := range l.chosen {
			a.err = a.analyzeSpooled(ctx)
			close(a.taken)
		}
	}()
	return l
}

// stop drops what was not packed. The context of newLine must have ended.
func (l *line) stop() {
	close(l.chosen)
	<-l.ended
	for _, a := range l.first {
		l.taking.release(a)
	}
}

// next returns the next blob, as it is to be packed.
func (l *line) next(ctx context.Context) (*apartItem, error) {
	if err := l.fill(ctx); err != nil {
		return nil, err
	}
	a := l.first[0]
	l.first = l.first[1:]
	err := l.settle(a)
	if err != nil {
		l.taking.release(a)
		return nil, a.explain(err)
	}
	switch {
	case a.content != nil:
		l.packed += a.content.Size
	case !a.isCompressed():
		l.packed += a.Size
	}
	return a, nil
}

// settle waits until it is known how a blob is packed. That it is packed as it is
// is decided anew if there is a good deal more to copy from by now.
func (l *line) settle(a *apartItem) error {
	if a.taken == nil {
		if a.err != nil || a.why != archive.TooSlow || l.packed-a.known < min(a.Size, archive.FrameSize) {
			return a.err
		}
		l.way = l.way.without(a.Size)
		if err := l.decide(a); err != nil || a.taken == nil {
			return err
		}
	}
	<-a.taken
	return a.err
}

// fill waits until the first blobs are there, and decides on them.
func (l *line) fill(ctx context.Context) error {
	for l.wantsMore() {
		a, ok := <-l.taking.apart
		if !ok && len(l.first) > 0 {
			return nil // the last of them says why
		}
		if !ok {
			return ctx.Err()
		}
		l.first, l.items = append(l.first, a), l.items[1:]
		if l.auto && a.err == nil {
			a.err = l.consider(a)
		}
	}
	return nil
}

// wantsMore reports whether another blob is to be decided on. It goes by sizes
// alone, so that the same inputs give the same bundle.
func (l *line) wantsMore() bool {
	if len(l.items) == 0 || len(l.first) == 0 {
		return len(l.first) == 0
	}
	if !l.auto || len(l.first) == maxApart {
		return false
	}
	room, behind := spoolRoom(l.items[0]), int64(0)
	for i, a := range l.first {
		room += spoolRoom(a.item)
		if i > 0 {
			behind += a.Size
		}
	}
	return behind < decideAhead && room <= maxSpooled
}

// consider decides on a blob that came.
func (l *line) consider(a *apartItem) error {
	switch {
	case a.gzip:
		return l.decide(a)
	case a.isCompressed():
		l.way = l.way.asItIs(a.Size)
	default:
		l.way = l.way.copied(a.Size, a.Size/unpacks)
	}
	return nil
}

// decide has a gzip blob taken apart if that gets all to the far side sooner.
func (l *line) decide(a *apartItem) error {
	e, err := a.estimate(l.out, l.way)
	if err != nil {
		return err
	}
	a.known = l.packed
	if e.content > 0 && l.way.gain(a.Size, e) <= 0 {
		a.why = archive.TooSlow
		l.way = l.way.asItIs(a.Size)
		return nil
	}
	l.way = l.way.small(e)
	a.taken = make(chan struct{})
	l.chosen <- a
	return nil
}

// analyzeSpooled looks for the recipe of a blob that is spooled.
func (a *apartItem) analyzeSpooled(ctx context.Context) error {
	r, err := a.spool.reader()
	if err != nil {
		return err
	}
	return a.analyze(io.Discard, until{ctx, r})
}

// until is a reader that fails once the context has ended.
type until struct {
	ctx context.Context
	io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}
