package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"
)

// Server is a folder on an SFTP server that takes and gives files. Its methods
// may be called by several goroutines. It needs no shell there: sessions that
// are confined to SFTP and to a folder will do.
//
// A connection that is lost is made anew by the next step that needs it.
type Server struct {
	url    URL
	name   string // what the journal knows it by
	dialer *dialer
	rate   *bucket
	ctx    context.Context // ends with Dial's or with Close: what lives as long as the connections
	stop   context.CancelFunc
	slots  []*slot
	resend int64 // the constant, but for tests

	ready struct { // the folder was made, if it was missing
		sync.Mutex
		done bool
	}
}

// slot is the place of one connection.
type slot struct {
	mu   sync.Mutex
	l    *link
	rest time.Time // until then it is not tried again beside others
}

// restFor is how long a connection that could not be made is done without, if
// there are others: the server may not want so many.
const restFor = time.Minute

// Dial connects to the server and finds out what it can do. Host keys are
// checked against known_hosts files alone, or against o.Fingerprint: an error
// is then a HostKeyError. When ctx ends, so do the connections.
func Dial(ctx context.Context, u URL, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := newDialer(ctx, u, o)
	if err != nil {
		return nil, err
	}
	last := d.hops[len(d.hops)-1]
	s := &Server{url: u, dialer: d, rate: newBucket(o.RateLimit), resend: resend}
	s.name = fmt.Sprintf("sftp://%s@%s/%s", last.user, last.keyAddress(), u.Dir)
	s.ctx, s.stop = context.WithCancel(ctx)
	for range o.Connections {
		s.slots = append(s.slots, new(slot))
	}
	if _, err := s.slots[0].link(s.ctx, d); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// Close ends the connections.
func (s *Server) Close() error {
	s.stop()
	for _, one := range s.slots {
		one.mu.Lock()
		if one.l != nil {
			one.l.end(fs.ErrClosed)
		}
		one.mu.Unlock()
	}
	return nil
}

// link returns the connection of the slot, made anew if it was lost.
func (s *slot) link(ctx context.Context, d *dialer) (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.l != nil && !s.l.dead() {
		return s.l, nil
	}
	l, err := d.connect(ctx)
	if err != nil {
		s.rest = time.Now().Add(restFor)
		return nil, err
	}
	s.l = l
	return l, nil
}

// living returns the connection that lives and that the fewest files use, or nil.
func (s *Server) living() (best *link) {
	for _, one := range s.slots {
		if one.mu.TryLock() {
			l := one.l
			one.mu.Unlock()
			if l != nil && !l.dead() && (best == nil || l.users.Load() < best.users.Load()) {
				best = l
			}
		}
	}
	return best
}

// take returns a connection that lives, or makes one, and how to give it back. A
// connection ends with ctx, if that ends while it is taken.
func (s *Server) take(ctx context.Context) (*link, func(), error) {
	if l := s.living(); l != nil && s.ctx.Err() == nil {
		return l, s.use(ctx, l), nil
	}
	return s.spread(ctx)
}

// spread is take for what deserves a connection more, which takes ten round
// trips to be made: it returns the connection that the fewest files use, made or
// not, or any that lives if that one cannot be made.
func (s *Server) spread(ctx context.Context) (*link, func(), error) {
	if err := s.ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.name, context.Cause(s.ctx))
	}
	best := s.slots[0]
	for _, one := range s.slots[1:] {
		if one.load() < best.load() {
			best = one
		}
	}
	l, err := best.link(ctx, s.dialer)
	if err != nil {
		if l = s.living(); l == nil {
			return nil, nil, err
		}
	}
	return l, s.use(ctx, l), nil
}

// use counts a user of a connection, which ends with ctx, and returns what ends
// the use.
func (s *Server) use(ctx context.Context, l *link) func() {
	l.users.Add(1)
	stops := []func() bool{
		context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) }),
		context.AfterFunc(s.ctx, func() { l.end(context.Cause(s.ctx)) }),
	}
	return func() {
		l.users.Add(-1)
		for _, stop := range stops {
			stop()
		}
	}
}

// rests reports whether the connection could not be made a short while ago.
func (s *slot) rests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.l == nil || s.l.dead()) && time.Now().Before(s.rest)
}

// load is how busy a connection is; one that is still to be made is as good as
// an idle one, a little less.
func (s *slot) load() int32 {
	if !s.mu.TryLock() {
		return math.MaxInt32 // being made for somebody
	}
	defer s.mu.Unlock()
	switch {
	case s.l != nil && !s.l.dead():
		return s.l.users.Load()
	case time.Now().Before(s.rest):
		return math.MaxInt32
	}
	return 0
}

func (s *Server) path(name string) string { return path.Join(s.url.Dir, name) }

// makeFolder creates the folder, and those above it, when first needed.
func (s *Server) makeFolder(l *link) error {
	s.ready.Lock()
	defer s.ready.Unlock()
	if s.ready.done {
		return nil
	}
	err := l.do(func() error { return l.sftp.Mkdir(s.url.Dir) }) // mostly that is all it takes
	if err != nil {
		err = l.do(func() error { return l.sftp.MkdirAll(s.url.Dir) })
	}
	if err != nil {
		return fmt.Errorf("creating folder %q on the server: %w", s.url.Dir, s.because(l, err))
	}
	s.ready.done = true
	return nil
}

// isThere notes that the folder need not be created.
func (s *Server) isThere() {
	s.ready.Lock()
	defer s.ready.Unlock()
	s.ready.done = true
}

// Put writes a small file whole: under another name first, made durable where
// the server can, then renamed. Where the server cannot rename over a file, a
// file of that name that holds other bytes is an error (fs.ErrExist).
func (s *Server) Put(name string, data []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.changing(func(l *link) error {
		if err := s.put(l, name, data); err != nil {
			return fmt.Errorf("writing %q on the server: %w", s.path(name), s.because(l, err))
		}
		return nil
	})
}

func (s *Server) put(l *link, name string, data []byte) error {
	aside := s.path(partialName(name))
	standing := l.looking(s.path(name))
	f, err := l.create(aside)
	if err != nil {
		return err
	}
	for off := 0; off < len(data) && err == nil; off += l.packet {
		b := data[off:min(off+l.packet, len(data))]
		if err = s.rate.wait(s.ctx, len(b)); err == nil {
			err = l.do(func() error { _, err := f.WriteAt(b, int64(off)); return err })
		}
	}
	if err == nil && l.fsync {
		err = l.do(f.Sync)
	}
	if cerr := l.do(f.Close); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.rename(aside, s.path(name), <-standing)
	}
	if errors.Is(err, fs.ErrExist) && l.same(s.path(name), data) {
		err = nil
	}
	if err != nil && !errors.Is(err, ErrCut) {
		err = s.because(l, err) // while the disk is still as full as it was
		_ = l.do(func() error { return l.sftp.Remove(aside) })
	}
	return err
}

// Sync does nothing: what Close and Put return from is as durable as the
// server can make it, and SFTP has no word for a folder.
func (s *Server) Sync() error { return s.ctx.Err() }

// FreeSpace returns how many bytes may still be written to the folder, which need
// not exist yet, or an error wrapping errors.ErrUnsupported if the server does not
// tell. It takes one round trip.
func (s *Server) FreeSpace() (free int64, err error) {
	err = s.reading(func(l *link) error {
		st, err := l.disk(s.url.Dir)
		if err == nil && st.Blocks == 0 { // what has no size of its own does not know
			err = fmt.Errorf("asking the server for free space: %w", errors.ErrUnsupported)
		}
		if err == nil {
			free = available(st)
		}
		return err
	})
	return free, err
}

// create makes a file that did not exist before: what stands there goes first.
func (l *link) create(name string) (f *sftp.File, err error) {
	if f, err = l.openFile(name, flagsNew); err == nil || errors.Is(err, ErrCut) {
		return f, err
	}
	if err := l.regular(name); err == nil {
		err = l.do(func() error { return l.sftp.Remove(name) })
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return l.openFile(name, flagsNew)
}

func (l *link) openFile(name string, flags int) (f *sftp.File, err error) {
	err = l.do(func() (err error) { f, err = l.sftp.OpenFile(name, flags); return err })
	return f, err
}

// looking asks what regular tells, without waiting for the answer.
func (l *link) looking(name string) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- l.regular(name) }()
	return answer
}

// regular returns nil for a regular file, fs.ErrNotExist for nothing and
// ErrNotRegular for anything else: opening a FIFO would hang the server.
func (l *link) regular(name string) error {
	var info fs.FileInfo
	err := l.do(func() (err error) { info, err = l.sftp.Lstat(name); return err })
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	return err
}

// rename puts a file in the place of another, of which regular has told standing.
// Without posix-rename the target must not exist: draft-ietf-secsh-filexfer-02,
// section 6.5.
func (l *link) rename(from, to string, standing error) error {
	if standing == nil && !l.posixRename {
		return fs.ErrExist
	} else if standing != nil && !errors.Is(standing, fs.ErrNotExist) {
		return standing
	}
	return l.do(func() error {
		if l.posixRename {
			return l.sftp.PosixRename(from, to)
		}
		return l.sftp.Rename(from, to)
	})
}

// same tells whether a file holds just these bytes.
func (l *link) same(name string, data []byte) bool {
	f, err := l.readRegular(name)
	if err != nil {
		return false
	}
	defer l.do(f.Close)
	r := &part{l: l, f: f}
	size, err := r.size()
	return err == nil && size == int64(len(data)) && sameBytes(r, bytes.NewReader(data), 0, size) == nil
}

func (l *link) statvfs(dir string) (st *sftp.StatVFS, err error) {
	if !l.space {
		return nil, fmt.Errorf("asking the server for free space: %w", errors.ErrUnsupported)
	}
	err = l.do(func() (err error) { st, err = l.sftp.StatVFS(dir); return err })
	return st, err
}

// disk tells how full the disk of a folder is or, if that does not exist yet, of
// the nearest one above it. All of them are asked for at once.
func (l *link) disk(dir string) (*sftp.StatVFS, error) {
	dirs := []string{dir}
	for up := path.Dir(dir); up != dir; up = path.Dir(dir) {
		dirs, dir = append(dirs, up), up
	}
	answers, errs := make([]*sftp.StatVFS, len(dirs)), make([]error, len(dirs))
	var wg sync.WaitGroup
	for i, dir := range dirs {
		wg.Go(func() { answers[i], errs[i] = l.statvfs(dir) })
	}
	wg.Wait()
	for i, err := range errs {
		if !errors.Is(err, fs.ErrNotExist) {
			return answers[i], err
		}
	}
	return nil, errs[0]
}

// available returns how many bytes whoever is logged in may still write.
func available(st *sftp.StatVFS) int64 { return bytesIn(st.Bavail, cmp.Or(st.Frsize, st.Bsize)) }

// because finds the cause of a bare "Failure" by asking how full the disk is.
func (s *Server) because(l *link, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || isNamed(err) {
		return err
	}
	st, serr := l.disk(s.url.Dir)
	const readOnly = 1 // SSH_FXE_STATVFS_ST_RDONLY
	switch {
	case serr != nil:
	case st.Flag&readOnly != 0:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case available(st) < 1<<20:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
