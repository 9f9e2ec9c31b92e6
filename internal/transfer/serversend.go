package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/pkg/sftp"
)

const flagsNew = os.O_RDWR | os.O_CREATE | os.O_EXCL

func (s *Server) identity() string { return s.name }
func (s *Server) small() int       { return 8 }

// lanes is two where each file travels over all connections: one goes on while
// another is finished.
func (s *Server) lanes() int { return min(2, len(s.slots)) }

// changing runs a step that writes, having created the folder.
func (s *Server) changing(step func(*link) error) error {
	return s.persist(s.ctx, func(l *link) error {
		if err := s.makeFolder(l); err != nil {
			return err
		}
		return step(l)
	})
}

func (s *Server) unfinished(ctx context.Context, aside string, size int64) (slowFile, error) {
	fresh := false
	p, err := s.openPart(ctx, aside, s.take, func(l *link, name string) (*sftp.File, error) {
		if err := s.makeFolder(l); err != nil {
			return nil, err
		}
		f, err := l.openFile(name, flagsNew)
		if fresh = err == nil; fresh || errors.Is(err, ErrCut) {
			return f, err
		}
		if again := l.regular(name); errors.Is(again, fs.ErrNotExist) {
			return nil, err
		} else if again != nil {
			return nil, again
		}
		return l.openFile(name, os.O_RDWR)
	})
	if err != nil {
		return nil, err
	}
	p.fresh = fresh
	s.warm(size)
	if !s.isWide(size) {
		return p, nil
	}
	return s.widen(ctx, p), nil
}

func (s *Server) existing(ctx context.Context, name string) (slowFile, error) {
	return s.openPart(ctx, name, s.take, (*link).readRegular)
}

// readRegular opens a file if it is a regular one.
func (l *link) readRegular(name string) (*sftp.File, error) {
	if err := l.regular(name); err != nil {
		return nil, err
	}
	return l.read(name)
}

func (l *link) read(name string) (f *sftp.File, err error) {
	return l.openFile(name, os.O_RDONLY)
}

// taking is take or spread.
type taking func(context.Context) (*link, func(), error)

func (s *Server) openPart(ctx context.Context, name string, take taking, open func(*link, string) (*sftp.File, error)) (*part, error) {
	l, give, err := take(ctx)
	if err != nil {
		return nil, err
	}
	f, err := open(l, s.path(name))
	if err != nil {
		give()
		return nil, fmt.Errorf("opening %q on the server: %w", s.path(name), s.because(l, err))
	}
	return &part{s: s, l: l, f: f, give: give, name: name}, nil
}

// part is a file on the server, open on one connection.
type part struct {
	s    *Server
	l    *link
	f    *sftp.File
	give func()
	name string
	once sync.Once

	fresh   bool // it was made when it was opened
	durable bool // all of it: nothing was written since it was made so
}

func (p *part) Close() (err error) {
	p.once.Do(func() {
		err = p.l.do(p.f.Close)
		p.give()
	})
	return err
}

func (p *part) size() (n int64, err error) {
	err = p.l.do(func() error {
		info, err := p.f.Stat()
		if err == nil {
			n = info.Size()
		}
		return err
	})
	return n, err
}

func (p *part) truncate(size int64) error {
	if p.fresh && size == 0 {
		return nil
	}
	if now, err := p.size(); err != nil || now == size {
		return err
	}
	return p.named("truncating", p.l.do(func() error { return p.f.Truncate(size) }))
}

func (p *part) firm() bool { return p.l.fsync }

func (p *part) named(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q on the server: %w", op, p.s.path(p.name), p.s.because(p.l, err))
}

// ReadAt asks for all packets of b at once, at most 4 MiB at a time.
func (p *part) ReadAt(b []byte, off int64) (int, error) {
	if len(b) <= p.l.packet {
		return p.readPacket(b, off)
	}
	type answer struct {
		n   int
		err error
	}
	count := (len(b) + p.l.packet - 1) / p.l.packet
	answers := make([]answer, count)
	var wg sync.WaitGroup
	room := make(chan struct{}, inFlight/p.l.packet)
	for i := range count {
		room <- struct{}{}
		wg.Go(func() {
			from := i * p.l.packet
			n, err := p.readPacket(b[from:min(from+p.l.packet, len(b))], off+int64(from))
			answers[i] = answer{n, err}
			<-room
		})
	}
	wg.Wait()
	total := 0
	for _, a := range answers {
		total += a.n
		if a.err != nil {
			return total, a.err
		}
	}
	return total, nil
}

func (p *part) readPacket(b []byte, off int64) (n int, err error) {
	end := false
	err = p.l.do(func() (err error) {
		if n, err = p.f.ReadAt(b, off); err == io.EOF {
			end, err = true, nil
		}
		return err
	})
	if !end || n == len(b) {
		return n, err
	}
	// The end of the file, or of the connection? The library says EOF for both.
	if _, err := p.size(); err != nil {
		return n, err
	}
	return n, io.EOF
}

// inFlight is how many bytes of one file may be unanswered: twice what OpenSSH
// lets travel on one connection (2 MiB), so that it never waits for us.
const inFlight = 4 << 20

func (p *part) pipeTo() pipeTo {
	to := pipeTo{
		packet: p.l.packet, workers: inFlight / p.l.packet, rate: p.s.rate,
		// Two windows a file, so many files at once.
		window: p.s.resend / 2 / int64(p.s.lanes()),
		write:  p.write,
		sync:   func() error { return nil },
	}
	if p.l.fsync {
		to.sync, to.last = p.syncer(), p.syncAll
	}
	return to
}

func (p *part) write(b []byte, off int64) error {
	return p.named("writing", p.l.do(func() error { _, err := p.f.WriteAt(b, off); return err }))
}

// syncer returns fsync on a handle of its own: on the one that writes it would
// wait for all requests and let none start.
func (p *part) syncer() func() error {
	return func() error {
		var f *sftp.File
		err := p.l.do(func() (err error) {
			f, err = p.l.sftp.OpenFile(p.s.path(p.name), os.O_RDWR)
			return err
		})
		if err == nil {
			err = p.l.do(f.Sync)
			if cerr := p.l.do(f.Close); err == nil {
				err = cerr
			}
		}
		return p.named("syncing", err)
	}
}

func (p *part) commit(name string) error {
	defer p.Close()
	if p.l.fsync && !p.durable {
		if err := p.syncAll(); err != nil {
			return err
		}
	}
	standing := p.l.looking(p.s.path(name))
	if err := p.l.do(p.f.Close); err != nil {
		return p.named("closing", err)
	}
	return p.named("finishing", p.l.rename(p.s.path(p.name), p.s.path(name), <-standing))
}

// syncAll makes the file durable when all that is to be written of it was answered.
func (p *part) syncAll() error {
	err := p.l.do(p.f.Sync)
	p.durable = err == nil
	return p.named("syncing", err)
}

// Create returns a writer of the file of that name. The bytes travel under
// another name; Close makes them durable where the server can and renames, and
// a method Abandon, which may be called instead, removes them. A
// connection that is lost is an error here: use Send for what must survive it.
func (s *Server) Create(name string) (io.WriteCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	u, err := s.openPart(s.ctx, partialName(name), s.spread, func(l *link, path string) (*sftp.File, error) {
		if err := s.makeFolder(l); err != nil {
			return nil, err
		}
		return l.create(path)
	})
	if err != nil {
		return nil, err
	}
	to := u.pipeTo()
	to.durable = func(int64) error { return nil }
	return &stream{ctx: s.ctx, u: u, name: name, pipe: newPipe(to, 0)}, nil
}

// stream is a file that is written from its beginning to its end.
type stream struct {
	ctx  context.Context // the server's
	u    slowFile
	name string
	pipe *pipe
	b    []byte // the piece that is being filled
	room int
	err  error
}

func (w *stream) Write(b []byte) (n int, err error) {
	for len(b) > 0 && w.err == nil {
		if w.b == nil {
			w.b, w.room = w.pipe.buffer()[:0], int(w.pipe.room())
		}
		k := min(len(b), w.room-len(w.b))
		w.b, b, n = append(w.b, b[:k]...), b[k:], n+k
		if len(w.b) == w.room {
			w.err = w.pipe.push(w.ctx, w.b)
			w.b = nil
		}
	}
	return n, w.err
}

func (w *stream) Close() error {
	if errors.Is(w.err, fs.ErrClosed) {
		return w.err
	}
	defer w.u.Close()
	if w.b != nil && w.err == nil {
		w.err = w.pipe.push(w.ctx, w.b)
	}
	err := w.pipe.finish(w.err)
	if err == nil {
		err = w.u.commit(w.name)
	}
	w.err = fs.ErrClosed
	return err
}

// Abandon ends a file that a Create has begun, instead of Close: nothing is left of
// it where that can be done.
func Abandon(w io.WriteCloser) {
	if a, ok := w.(interface{ Abandon() }); ok {
		a.Abandon()
	}
}

// Abandon ends the file without giving it its name, and removes what has
// arrived of it if that can be done.
func (w *stream) Abandon() {
	if errors.Is(w.err, fs.ErrClosed) {
		return
	}
	w.err = fs.ErrClosed
	_ = w.pipe.finish(w.err)
	if p, ok := w.u.(*part); ok {
		_ = p.l.do(func() error { return p.l.sftp.Remove(p.s.path(p.name)) })
	}
	w.u.Close()
}
