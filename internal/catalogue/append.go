package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Add appends an entry durably: after a power cut it is there whole or not at
// all, and so are all others. Several processes may add at a time.
func (c *Catalogue) Add(e Entry) (err error) {
	line, err := e.Marshal()
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(c.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// The lock goes with the file.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", c.path, err)
	}
	if err := appendLine(f, line); err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	return syncDir(dir)
}

// appendLine writes a line behind the last whole one.
func appendLine(f *os.File, line []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size()+int64(len(line)) > MaxSize {
		return fmt.Errorf("not a regular file of at most %d bytes; move it away to begin a new one", MaxSize)
	}
	end, err := wholeLines(f, info.Size())
	if err != nil {
		return err
	}
	if end < info.Size() {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(line, end); err != nil {
		return err
	}
	return f.Sync()
}

// wholeLines returns where the last line that has its end does end. What
// follows a power cut has left: no line is longer than MaxLine.
func wholeLines(f *os.File, size int64) (int64, error) {
	tail := make([]byte, min(size, MaxLine))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	at := bytes.LastIndexByte(tail, '\n')
	if at < 0 && size > int64(len(tail)) {
		return 0, errors.New("its last line is too long to be one of a history")
	}
	return size - int64(len(tail)) + int64(at) + 1, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
