package transfer

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directLeast is from what length on a read goes past the page cache: at a
	// gigabyte a second the cache costs more than hashing what comes out of it.
	directLeast = 256 << 10
	// directRate is below how many bytes a second the page cache costs nothing
	// that anybody would notice, and saves the next pass over the medium.
	directRate = 400 << 20
	// directTrial is after how many bytes the rate is looked at.
	directTrial = 32 << 20
)

// opened is a regular file of a Folder. Large reads of a fast medium go past the
// page cache, if little of the file is in it.
type opened struct {
	*os.File
	first  sync.Once
	begun  time.Time
	direct *os.File     // nil: the page cache it is
	passed atomic.Int64 // bytes read by it
	slow   atomic.Bool
}

// ReadAt reads at an offset (io.ReaderAt).
func (f *opened) ReadAt(b []byte, off int64) (int, error) {
	if len(b) < directLeast || off%sector != 0 || uintptr(unsafe.Pointer(&b[0]))%sector != 0 || f.slow.Load() {
		return f.File.ReadAt(b, off)
	}
	f.first.Do(f.tryDirect)
	if f.direct == nil {
		return f.File.ReadAt(b, off)
	}
	n, err := f.direct.ReadAt(b[:len(b)/sector*sector], off)
	if err != nil { // at the end of the file, or where it cannot be read in large pieces
		return f.File.ReadAt(b, off)
	}
	if passed := f.passed.Add(int64(n)); passed >= directTrial && passed-int64(n) < directTrial {
		f.slow.Store(float64(passed) < directRate*time.Since(f.begun).Seconds())
	}
	if n < len(b) {
		var rest int
		rest, err = f.File.ReadAt(b[n:], off+int64(n))
		n += rest
	}
	return n, err
}

// tryDirect opens the file once more, to be read past the page cache.
func (f *opened) tryDirect() {
	f.begun = time.Now()
	info, err := f.Stat()
	if err != nil {
		return
	}
	cached, known := cachedBytes(int(f.Fd()), info.Size())
	if !known || cached > info.Size()/2 {
		return
	}
	d, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|unix.O_DIRECT, 0)
	if err == nil {
		f.direct = d
	}
}

// Close closes the file.
func (f *opened) Close() error {
	f.first.Do(func() {})
	if f.direct != nil {
		f.direct.Close() // nothing was written
	}
	return f.File.Close()
}
