package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"airlock/internal/progress"
)

// Files returns the files of the server's folder, to be read: an fs.FS,
// fs.ReadDirFS and fs.StatFS whose files are io.ReaderAt. Only regular files
// are opened (ErrNotRegular), sub-folders are not entered. A connection that is
// lost is made anew in the midst of a file, up to five times in a row.
func (s *Server) Files() *ServerFiles { return &ServerFiles{s} }

// ServerFiles is the files of a Server.
type ServerFiles struct{ s *Server }

// Open opens a file, or with "." the folder itself.
func (r *ServerFiles) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		list, err := r.ReadDir(".")
		if err != nil {
			return nil, err
		}
		return &remoteDir{r: r, list: list}, nil
	}
	info, err := r.Stat(name)
	if err != nil {
		return nil, err
	}
	return &remoteFile{s: r.s, name: name, info: info}, nil
}

// Stat tells of a regular file without following a link, or of ".".
func (r *ServerFiles) Stat(name string) (info fs.FileInfo, err error) {
	if !fs.ValidPath(name) || name != path.Base(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	err = r.s.reading(func(l *link) error {
		return l.do(func() (err error) {
			if name == "." { // it may be a link
				info, err = l.sftp.Stat(r.s.path(name))
			} else {
				info, err = l.sftp.Lstat(r.s.path(name))
			}
			return err
		})
	})
	if err == nil && name == "." {
		return dot{info}, nil
	}
	if err == nil {
		err = plain(info)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info, nil
}

// plain returns nil for what a server says of a regular file.
func plain(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return ErrNotRegular
	case info.Size() < 0:
		return fmt.Errorf("%w: a size of %d bytes", fs.ErrInvalid, info.Size())
	}
	return nil
}

// dot is the folder's FileInfo under the name that it has here.
type dot struct{ fs.FileInfo }

func (dot) Name() string { return "." }

// maxEntries bounds what a server can make us hold.
const maxEntries = 1 << 16

// ReadDir lists the folder, sorted by name. Only "." is a folder here.
func (r *ServerFiles) ReadDir(name string) (list []fs.DirEntry, err error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	var infos []fs.FileInfo
	err = r.s.reading(func(l *link) error {
		return l.do(func() (err error) { infos, err = l.sftp.ReadDir(r.s.path(".")); return err })
	})
	if err == nil && len(infos) > maxEntries {
		err = fmt.Errorf("%w: more than %d files", fs.ErrInvalid, maxEntries)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: r.s.path("."), Err: err}
	}
	r.s.isThere()
	for _, i := range infos {
		if fs.ValidPath(i.Name()) && i.Name() == path.Base(i.Name()) && i.Name() != "." {
			list = append(list, fs.FileInfoToDirEntry(i))
		}
	}
	sortEntries(list)
	return list, nil
}

// reading runs a step that changes nothing: the folder is not created for it.
func (s *Server) reading(step func(*link) error) error {
	return s.persist(s.ctx, step)
}

// ReadBack reads the named files back and returns what they hold now, as
// Dir.ReadBack does. What the server reads them from, its memory or its disk,
// nobody here can know: Source is FromCache.
func (s *Server) ReadBack(ctx context.Context, sink progress.Sink, names ...string) ([]ReadFile, error) {
	var list []ReadFile
	for _, name := range names {
		one, err := s.readBack(ctx, sink, name)
		if err != nil {
			return list, fmt.Errorf("reading back %q from the server: %w", s.path(name), err)
		}
		list = append(list, one)
	}
	return list, nil
}

func (s *Server) readBack(ctx context.Context, sink progress.Sink, name string) (one ReadFile, err error) {
	f, err := s.Files().Open(name)
	if err != nil {
		return one, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return one, err
	}
	task := sink.Start(name, info.Size())
	defer task.Done()
	h := sha256.New()
	err = inOrder(ctx, f.(io.ReaderAt), 0, info.Size(), func(b []byte) error {
		h.Write(b)
		task.Add(int64(len(b)))
		return nil
	})
	if err != nil {
		return one, err
	}
	return ReadFile{Name: name, Size: info.Size(), SHA256: [sha256.Size]byte(h.Sum(nil)), Source: FromCache}, nil
}

// remoteFile is a file on the server. The connection is chosen when it is read.
type remoteFile struct {
	s    *Server
	name string
	info fs.FileInfo

	mu     sync.Mutex // held while it is opened or closed
	parts  []*part    // on connections of their own, as far as they can be made
	turn   int        // of the next read
	closed bool

	next  int64 // where Read goes on
	ahead []byte
	at    int64 // of ahead's first byte
}

func (f *remoteFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// ReadAt reads from the file as it was when it was opened: another size now is
// an error. It may be called by several goroutines.
func (f *remoteFile) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	if off >= f.info.Size() {
		return 0, io.EOF
	}
	want := min(int64(len(b)), f.info.Size()-off)
	n := 0
	for try := 0; ; try++ {
		p, err := f.open()
		if err == nil {
			var k int
			k, err = p.ReadAt(b[n:want], off+int64(n))
			if n += k; k > 0 && try > 0 {
				try = 0
			}
		}
		switch {
		case err == nil && want < int64(len(b)):
			return n, io.EOF
		case err == nil:
			return n, nil
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		case errors.Is(err, ErrCut) && f.s.ctx.Err() == nil && try < len(again):
			if pause(f.s.ctx, again[try]) == nil {
				continue
			}
		}
		return n, &fs.PathError{Op: "read", Path: f.name, Err: err}
	}
}

// open returns the file on a connection that lives. Those of a large file take
// turns.
func (f *remoteFile) open() (*part, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fs.ErrClosed
	}
	lanes := 1
	if f.s.isWide(f.info.Size()) {
		lanes = len(f.s.slots)
	}
	f.turn = (f.turn + 1) % lanes
	if f.turn < len(f.parts) && !f.parts[f.turn].l.dead() {
		return f.parts[f.turn], nil
	}
	p, err := f.another()
	if err != nil {
		return nil, err
	}
	if f.turn >= len(f.parts) {
		f.parts = append(f.parts, p)
		return p, nil
	}
	_ = f.parts[f.turn].Close()
	f.parts[f.turn] = p
	return p, nil
}

// another opens the file once more. The first time that is just after it was
// looked at; later it may have become another one.
func (f *remoteFile) another() (*part, error) {
	if len(f.parts) == 0 {
		f.s.warm(f.info.Size())
		return f.s.openPart(f.s.ctx, f.name, f.s.take, (*link).read)
	}
	p, err := f.s.openPart(f.s.ctx, f.name, f.s.spread, (*link).readRegular)
	if err != nil {
		return nil, err
	}
	size, err := p.size()
	if err == nil && size != f.info.Size() {
		err = fmt.Errorf("%w: it had %d bytes and now has %d", fs.ErrInvalid, f.info.Size(), size)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Read reads ahead: an answer takes a whole round trip.
func (f *remoteFile) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if f.next < f.at || f.next >= f.at+int64(len(f.ahead)) {
		if f.ahead == nil {
			f.ahead = make([]byte, min(inFlight, max(f.info.Size(), 1)))
		}
		n, err := f.ReadAt(f.ahead[:cap(f.ahead)], f.next)
		f.ahead, f.at = f.ahead[:n], f.next
		if n == 0 {
			return 0, err
		}
	}
	n := copy(b, f.ahead[f.next-f.at:])
	f.next += int64(n)
	return n, nil
}

func (f *remoteFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	f.ahead = nil
	for _, p := range f.parts {
		go p.Close() // nothing was written: what it says is no news
	}
	return nil
}

// remoteDir is the folder, opened as a file.
type remoteDir struct {
	r    *ServerFiles
	list []fs.DirEntry
}

func (d *remoteDir) Stat() (fs.FileInfo, error) { return d.r.Stat(".") }
func (d *remoteDir) Close() error               { return nil }

func (d *remoteDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: errors.New("is a folder")}
}

// ReadDir returns the next n entries, or with n ≤ 0 all that are left.
func (d *remoteDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.list) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	list := d.list[:n]
	d.list = d.list[n:]
	return list, nil
}

// persist runs a step on some connection, and on a new one when that is lost.
func (s *Server) persist(ctx context.Context, step func(*link) error) error {
	for try := 0; ; try++ {
		l, give, err := s.take(ctx)
		if err == nil {
			err = step(l)
			give()
		}
		if !errors.Is(err, ErrCut) || ctx.Err() != nil || try == len(again) {
			return err
		}
		if perr := pause(ctx, again[try]); perr != nil {
			return fmt.Errorf("%w: %w", perr, err)
		}
	}
}
