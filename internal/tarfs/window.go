package tarfs

import (
	"errors"
	"io"
)

// window reads a ReaderAt through one small buffer, so that a header and the
// few bytes before it that archive/tar skips one by one are a single read.
type window struct {
	r     io.ReaderAt
	size  int64
	off   int64 // of the next byte that Read returns
	buf   []byte
	start int64 // offset of buf[0]
	err   error // the first error of r
}

const windowSize = 16 << 10

func newWindow(r io.ReaderAt, size int64) *window {
	return &window{r: r, size: size, buf: make([]byte, 0, windowSize)}
}

func (w *window) Read(p []byte) (int, error) {
	if w.off >= w.size {
		return 0, io.EOF
	}
	if w.off < w.start || w.off >= w.start+int64(len(w.buf)) {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.off-w.start:])
	w.off += int64(n)
	return n, nil
}

// fill loads the bytes at off, all that the buffer takes.
func (w *window) fill() error {
	buf := w.buf[:min(windowSize, w.size-w.off)]
	n, err := w.r.ReadAt(buf, w.off)
	if n < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		w.buf, w.err = w.buf[:0], err
		return err
	}
	w.buf, w.start = buf, w.off
	return nil
}

// Seek moves forward from where the window is, which is all that archive/tar asks for.
func (w *window) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 || offset > w.size-w.off {
		return 0, errors.New("seeking out of the archive")
	}
	w.off += offset
	return w.off, nil
}

// firstNonZero returns the offset of the first byte from off on that is not
// zero, or -1.
func (w *window) firstNonZero(off int64) (int64, error) {
	w.off = off
	var chunk [blockSize]byte
	for {
		n, err := w.Read(chunk[:])
		if errors.Is(err, io.EOF) && w.err == nil {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		for i, b := range chunk[:n] {
			if b != 0 {
				return w.off - int64(n) + int64(i), nil
			}
		}
	}
}
