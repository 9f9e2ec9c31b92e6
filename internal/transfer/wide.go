package transfer

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
)

// isWide reports whether a file of that size travels over all connections at once:
// from 16 MiB on. Below that, logging in again takes longer than it saves.
func (s *Server) isWide(size int64) bool { return len(s.slots) > 1 && size >= s.resend/4 }

// warm begins to make the connections that there may be, for the files after one
// of that size. Nobody waits for them. A wide file makes its own.
func (s *Server) warm(size int64) {
	if size < s.resend/16 || s.isWide(size) {
		return
	}
	for _, one := range s.slots {
		go func() {
			if !one.rests() {
				_, _ = one.link(s.ctx, s.dialer) // without it the others do
			}
		}()
	}
}

// wide is a file on the server that is written over several connections. The
// first one's handle does all the rest.
type wide struct {
	*part
	more []*part
}

// widen opens a file that is being written on the other connections too, as far
// as they can be made.
func (s *Server) widen(ctx context.Context, p *part) *wide {
	parts := make([]*part, len(s.slots))
	var opening sync.WaitGroup
	for i, one := range s.slots {
		opening.Go(func() {
			if q, err := s.onAnother(ctx, one, p); err == nil {
				parts[i] = q
			}
		})
	}
	opening.Wait()
	w := &wide{part: p}
	for _, q := range parts {
		if q != nil {
			w.more = append(w.more, q)
		}
	}
	return w
}

// onAnother opens the file of p on another connection, or returns nil if it is p's.
func (s *Server) onAnother(ctx context.Context, one *slot, p *part) (*part, error) {
	if one.rests() {
		return nil, nil
	}
	l, err := one.link(ctx, s.dialer)
	if err != nil || l == p.l {
		return nil, err
	}
	q := &part{s: s, l: l, name: p.name, give: s.use(ctx, l)}
	err = l.do(func() (err error) { q.f, err = l.sftp.OpenFile(s.path(p.name), os.O_RDWR); return err })
	if err != nil {
		q.give()
		return nil, err
	}
	return q, nil
}

func (w *wide) closeMore() {
	for _, q := range w.more {
		_ = q.Close() // all that it wrote was answered
	}
}

func (w *wide) Close() error {
	w.closeMore()
	return w.part.Close()
}

func (w *wide) commit(name string) error {
	w.closeMore()
	return w.part.commit(name)
}

// pipeTo has every piece go to the connection that waits for the fewest answers.
func (w *wide) pipeTo() pipeTo {
	to := w.part.pipeTo()
	parts := append([]*part{w.part}, w.more...)
	waiting := make([]atomic.Int32, len(parts))
	to.workers *= len(parts)
	to.write = func(b []byte, off int64) error {
		best := 0
		for i := range waiting {
			if waiting[i].Load() < waiting[best].Load() {
				best = i
			}
		}
		waiting[best].Add(1)
		defer waiting[best].Add(-1)
		return parts[best].write(b, off)
	}
	return to
}
