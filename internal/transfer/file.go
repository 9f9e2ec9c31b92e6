package transfer

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// writeAtOnce is how many bytes one write gives to the kernel, which takes
	// page cache in folios as large as the write: those of 1 MiB and more are
	// memory that a virtual machine's host took back, and cost three to five
	// times the time of smaller ones.
	writeAtOnce = 256 << 10
	// kickEvery is after how many bytes the kernel is told to begin writing
	// them out, so that the device never idles and the last fsync is short.
	kickEvery = 8 << 20
	// syncEvery is after how many bytes they are made durable, next to the
	// writing of the following ones: an unplugged stick costs so much at most
	// and one such run in the kernel's memory.
	syncEvery = 64 << 20
)

// file writes one file and keeps its bytes moving towards the medium.
type file struct {
	place place
	name  string
	f     *os.File
	old   *standing // what the file holds from an earlier attempt; nil: nothing

	size, kicked, synced int64 // written, handed to write-back, and to fdatasync
	reserved             int64 // see place.reserve

	flush chan struct{} // one token a background fdatasync: at most one runs
	wg    sync.WaitGroup

	mu     sync.Mutex
	err    error // the first one: final for this file
	closed bool
}

func newFile(p place, name string, f *os.File) *file {
	return &file{place: p, name: name, f: f, flush: make(chan struct{}, 1)}
}

// Write writes b. After an error, its own or one of the write-back behind it,
// every further call returns that error.
func (w *file) Write(b []byte) (int, error) {
	if err := w.failed(); err != nil {
		return 0, err
	}
	if w.old.holds(b, w.size) {
		w.size += int64(len(b))
		w.kicked, w.synced = w.kicked+int64(len(b)), w.synced+int64(len(b))
		return len(b), nil
	}
	if end := w.size + int64(len(b)); end > w.reserved {
		w.reserved = w.place.reserve(w.f, w.size, end)
	}
	n, err := writeAt(w.f, b, w.size)
	w.size += int64(n)
	if err != nil {
		return n, w.fail("writing", err)
	}
	w.writeBack()
	return n, nil
}

// writeAt writes b, writeAtOnce bytes at a time.
func writeAt(f *os.File, b []byte, off int64) (written int, err error) {
	for written < len(b) && err == nil {
		n := 0
		n, err = f.WriteAt(b[written:min(len(b), written+writeAtOnce)], off+int64(written))
		written += n
	}
	return written, err
}

// Close makes the file and its name durable. A second call is an error.
func (w *file) Close() error {
	w.wg.Wait()
	w.mu.Lock()
	was := w.closed
	w.closed = true
	w.mu.Unlock()
	if was {
		return &fs.PathError{Op: "closing", Path: w.path(), Err: fs.ErrClosed}
	}
	if w.failed() == nil && (w.old != nil && w.old.size > w.size || w.place.fat) {
		if err := w.f.Truncate(w.size); err != nil {
			w.fail("truncating", err)
		}
	}
	w.old.close()
	if w.failed() == nil {
		// A failed fsync is never repeated: the kernel may have marked the
		// pages clean, and the second would succeed over lost bytes.
		if err := w.f.Sync(); err != nil {
			w.fail("syncing", err)
		}
	}
	if err := w.f.Close(); err != nil {
		w.fail("closing", err)
	}
	if w.failed() == nil {
		if err := w.place.sync(); err != nil {
			w.fail("syncing", err)
		}
	}
	return w.failed()
}

func (w *file) path() string { return filepath.Join(w.place.path, w.name) }

func (w *file) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *file) fail(op string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = &fs.PathError{Op: op, Path: w.path(), Err: explain(err)}
	}
	return w.err
}

// writeBack starts what is due.
func (w *file) writeBack() {
	w.kicked = WriteBack(w.f, w.kicked, w.size)
	if w.size-w.synced < syncEvery {
		return
	}
	w.synced = w.size
	w.flush <- struct{}{} // waits for the one before: bounds what is not durable
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		if err := retry(func() error { return unix.Fdatasync(int(w.f.Fd())) }); err != nil {
			w.fail("syncing", err)
		}
		<-w.flush
	}()
}

// WriteBack has the kernel begin to write out the bytes [from, to) of a file if they
// are enough for it, 8 MiB, and returns where the next ones begin: so the disk is busy
// before the last byte, and the sync at the end is short. It waits for nothing.
func WriteBack(f *os.File, from, to int64) int64 {
	if to-from < kickEvery {
		return from
	}
	// Advice: a file system that has none of it still gets the sync at the end.
	_ = unix.SyncFileRange(int(f.Fd()), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
	return to
}
