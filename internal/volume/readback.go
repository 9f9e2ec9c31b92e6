package volume

import (
	"fmt"
	"io"

	"airlock/internal/manifest"
)

// ReadAt reads back what was written, as it is: what still waits to be written
// is waited for. The file of a volume is opened by the function that was given
// to ReadBack. It may be called while another goroutine writes.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) {
	if w.open == nil {
		return 0, fmt.Errorf("reading back at %d: the volumes cannot be read while they are written", off)
	}
	held, from := w.held(p, off)
	for read := 0; read < from; {
		n := min(int64(from-read), w.layout.Size-off%w.layout.Size)
		if err := w.readVolume(p[read:read+int(n)], off); err != nil {
			return read, err
		}
		read, off = read+int(n), off+n
	}
	if from+held < len(p) {
		return from + held, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

// ReadBack makes ReadAt possible: open opens a volume for reading while it is
// written.
func (w *Writer) ReadBack(open func(name string) (io.ReaderAt, error)) { w.open = open }

// held copies what p wants of the block being filled, and returns how many
// bytes that is and how many bytes of p come before it.
func (w *Writer) held(p []byte, off int64) (held, from int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	start := w.offset / manifest.BlockSize * manifest.BlockSize
	if w.fill == nil || off+int64(len(p)) <= start {
		return 0, min(len(p), int(max(w.offset-off, 0)))
	}
	from = int(max(start-off, 0))
	held = copy(p[from:], w.fill.data[off+int64(from)-start:])
	return held, from
}

func (w *Writer) readVolume(p []byte, off int64) error {
	w.mu.Lock()
	for w.written < off+int64(len(p)) && w.failed == nil {
		w.wrote.Wait()
	}
	err := w.failed
	w.mu.Unlock()
	if err != nil {
		return err
	}
	i := int(off / w.layout.Size)
	for len(w.readers) <= i {
		r, err := w.open(w.layout.Name(len(w.readers)))
		if err != nil {
			return err
		}
		w.readers = append(w.readers, r)
	}
	_, err = w.readers[i].ReadAt(p, off%w.layout.Size)
	return err
}
