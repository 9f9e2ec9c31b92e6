package transfer

import (
	"crypto/sha256"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// earlyLeast is from what size on a file is read back early: a smaller one is
	// read back in no time.
	earlyLeast = 4 << 20
	// earlyChunk is read at a time: meanwhile, ext4 lets nobody write to the file.
	earlyChunk = 1 << 20
	// earlyLag is how much may be left to read when the file is complete: nobody
	// waits for more, and who reads it later shows how it gets on.
	earlyLag = 128 << 20
)

// earlier is what of a folder's files was read back while they were written.
type earlier struct {
	medium *Medium // nil: nothing is

	mu   sync.Mutex
	read map[string]earlyFile
}

// earlyFile is a file that was read back, and what it was then.
type earlyFile struct {
	ReadFile
	stat unix.Stat_t
}

// ReadBackEarly has ReadBack tell of what Send brings by what was read of it past
// the page cache while more of it was written, piece by piece as each was durable
// (FromDisk). A medium that takes more than it holds gives back such a piece and
// loses it to a later one, so this is done only where the folder is on no removable
// one. The others, small files, and what has changed since, are read by ReadBack.
func (d *Dir) ReadBackEarly() error {
	m, err := MediumOf(d.place.path)
	if err != nil {
		return err
	}
	if r := (&reader{medium: m}); !m.Removable && m.FileSystem != "tmpfs" && !r.userSpace() {
		d.early.medium, d.early.read = &m, map[string]earlyFile{}
	}
	return nil
}

// note notes what was read of a file that is complete, for ReadBack.
func (e *earlier) note(name string, f *os.File, sum [sha256.Size]byte) {
	one := earlyFile{ReadFile: ReadFile{Name: name, SHA256: sum, Source: FromDisk}}
	if unix.Fstat(int(f.Fd()), &one.stat) != nil {
		return
	}
	one.Size = one.stat.Size
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read[name] = one
}

// of returns what was read of a file, if it is still as it was.
func (e *earlier) of(name string, f *os.File) (ReadFile, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one, ok := e.read[name]
	var now unix.Stat_t
	if !ok || unix.Fstat(int(f.Fd()), &now) != nil {
		return ReadFile{}, false
	}
	was := one.stat
	same := now.Dev == was.Dev && now.Ino == was.Ino && now.Size == was.Size && now.Mtim == was.Mtim && now.Ctim == was.Ctim
	return one.ReadFile, same
}

// earlyReader reads a file back while it is written.
type earlyReader struct {
	f    *os.File
	r    reader
	size int64

	mu     sync.Mutex
	news   *sync.Cond
	upTo   int64 // so much of it is durable
	at     int64 // so much of it was read
	closed bool
	done   chan struct{} // closed when nothing is read any more
	sum    *[sha256.Size]byte
}

// readEarly begins to read back a file that is going to have a size; nil if
// that is not to be, or cannot be.
func (d *Dir) readEarly(name string, size int64) *earlyReader {
	if d.early.medium == nil || size < earlyLeast {
		return nil
	}
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	e := &earlyReader{f: f, r: reader{medium: *d.early.medium}, size: size, done: make(chan struct{})}
	e.news = sync.NewCond(&e.mu)
	go e.run()
	return e
}

// durable says that all bytes below upTo are.
func (e *earlyReader) durable(upTo int64) {
	if e == nil {
		return
	}
	e.mu.Lock()
	e.upTo = upTo
	e.mu.Unlock()
	e.news.Broadcast()
}

// finish returns the hash of the file when all of it, which is durable, was read;
// false if it could not be, or if much is left to read.
func (e *earlyReader) finish() (sum [sha256.Size]byte, ok bool) {
	if e == nil {
		return sum, false
	}
	e.mu.Lock()
	soon := e.upTo == e.size && e.size-e.at <= earlyLag
	e.mu.Unlock()
	if !soon {
		return sum, false
	}
	<-e.done
	if e.sum == nil {
		return sum, false
	}
	return *e.sum, true
}

// close ends the reading.
func (e *earlyReader) close() {
	if e == nil {
		return
	}
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.news.Broadcast()
	<-e.done
}

// run reads what is durable. An error is found again by who reads it later.
func (e *earlyReader) run() {
	defer close(e.done)
	defer e.f.Close()
	defer e.r.close()
	h := sha256.New()
	for at := int64(0); at < e.size; {
		n, err := e.some(h, at)
		if err != nil {
			return
		}
		at += n
	}
	e.sum = (*[sha256.Size]byte)(h.Sum(nil))
}

// some waits until bytes behind at are durable, and hashes some of them.
func (e *earlyReader) some(h io.Writer, at int64) (int64, error) {
	end, err := e.wait(at)
	if err != nil {
		return 0, err
	}
	fd := int(e.f.Fd())
	if at == 0 {
		flags, err := unix.FcntlInt(e.f.Fd(), unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(e.f.Fd(), unix.F_SETFL, flags|unix.O_DIRECT)
		}
		if err != nil {
			return 0, err
		}
	}
	b, err := e.r.buffer(0)
	if err != nil {
		return 0, err
	}
	want := min(end-at, earlyChunk)
	n := 0
	err = retry(func() (err error) { n, err = unix.Pread(fd, b[:(want+sector-1)/sector*sector], at); return err })
	if err == nil && int64(n) < want {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, err
	}
	h.Write(b[:want])
	return want, nil
}

// wait returns up to where may be read: whole sectors, until the last one.
func (e *earlyReader) wait(at int64) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = at
	for {
		end := e.upTo
		if end < e.size {
			end -= end % sector
		}
		switch {
		case e.closed:
			return 0, os.ErrClosed
		case end > at:
			return end, nil
		}
		e.news.Wait()
	}
}
