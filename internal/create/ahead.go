package create

import (
	"context"

	"airlock/internal/archive"
)

// decideAhead is how many bytes of blobs behind the one that is to be packed are
// fetched and decided on, the next one in any case: enough for one to begin to be
// taken apart while another is packed, and not so much that packing waits long
// for a slow source.
const decideAhead = 64 << 20

// line is the fetched blobs in the order of their packing, the first of which
// are decided on.
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
			a.proving.run(ctx, a)
		}
	}()
	return l
}

// stop drops what was not packed. The context of newLine must have ended.
func (l *line) stop() {
	close(l.chosen)
	for _, a := range l.first {
		if a.proving != nil {
			a.proving.stop()
		}
	}
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
	if err := l.settle(a); err != nil {
		l.taking.release(a)
		return nil, a.explain(err)
	}
	return a, nil
}

// packedBlob takes note of what others may copy from in a blob that is packed.
func (l *line) packedBlob(a *apartItem) {
	if a.unpacked > 0 {
		l.packed += a.unpacked
	} else if !a.isCompressed() {
		l.packed += a.Size
	}
}

// settle decides anew on a blob that is packed as it is, if there is a good deal
// more to copy from by now.
func (l *line) settle(a *apartItem) error {
	if a.err != nil || a.why != archive.TooSlow || l.packed-a.known < min(a.Size, archive.FrameSize) {
		return a.err
	}
	l.way = l.way.without(a.Size)
	return l.decide(a)
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
		if a.err == nil {
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
	if len(l.first) == maxApart {
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
	case a.gzip && !l.auto:
		l.choose(a)
	case a.gzip:
		return l.decide(a)
	case a.isCompressed():
		l.way = l.way.asItIs(a.Size)
	default:
		l.way = l.way.copied(a.Size, a.Size/unpacks)
	}
	return nil
}

// choose has a gzip blob taken apart.
func (l *line) choose(a *apartItem) {
	a.why, a.proving = archive.Untried, newProving()
	l.chosen <- a
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
	l.choose(a)
	return nil
}
