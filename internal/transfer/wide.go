package transfer

import (
	"context"
	"os"
	"sync"
	"sync/atomic"

	"github.com/pkg/sftp"
)

// isWide reports whether a file of that size travels over all connections at once:
// from 16 MiB on. Below that, logging in again takes longer than it saves.
func (s *Server) isWide(size int64) bool { return len(s.slots) > 1 && size >= s.resend/4 }

// wide is a file on the server that is written over several connections. The
// first one's handle does all the rest.
type wide struct {
	*part
	more []*part
}

// widen opens a file that is being written on the other connections too, as far
// as they can be made.
func (s *Server) widen(ctx context.Context, p *part) *wide {
	parts := make([]*part, len(s.slots)-1)
	var opening sync.WaitGroup
	for i := range parts {
		opening.Go(func() {
			q, err := s.openPart(ctx, p.name, func(l *link, name string) (f *sftp.File, err error) {
				err = l.do(func() (err error) { f, err = l.sftp.OpenFile(name, os.O_RDWR); return err })
				return f, err
			})
			if err == nil {
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
