package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a medium or a server can say to a write, for errors.Is. The text of
// each is for people.
var (
	ErrFull     = errors.New("no space left")
	ErrQuota    = errors.New("quota exceeded")
	ErrReadOnly = errors.New("read-only file system")
	ErrIO       = errors.New("input/output error (a bad or removed medium)")
	ErrTooLarge = errors.New("file larger than the file system allows")
)

// explain gives an error of the operating system the name it has here. The
// result wraps both.
func explain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if name := nameOf(err); name != nil {
		return fmt.Errorf("%w: %w", name, err)
	}
	return err
}

func nameOf(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) || isNamed(err) {
		return nil
	}
	switch errno {
	case unix.ENOSPC:
		return ErrFull
	case unix.EDQUOT:
		return ErrQuota
	case unix.EROFS:
		return ErrReadOnly
	case unix.EIO, unix.ENODEV, unix.ENXIO:
		return ErrIO
	case unix.EFBIG:
		return ErrTooLarge
	}
	return nil
}

// isNamed tells whether the error has been named before.
func isNamed(err error) bool {
	for _, name := range []error{ErrFull, ErrQuota, ErrReadOnly, ErrIO, ErrTooLarge} {
		if errors.Is(err, name) {
			return true
		}
	}
	return false
}
