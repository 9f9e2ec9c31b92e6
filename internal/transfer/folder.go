package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is wrapped by the error for a name that is a symbolic link, a
// FIFO, a device or anything else but a regular file. It is an fs.ErrInvalid.
var ErrNotRegular error = notRegular{}

type notRegular struct{}

func (notRegular) Error() string        { return "not a regular file" }
func (notRegular) Is(target error) bool { return target == fs.ErrInvalid }

// ErrGone is wrapped by the error for a folder that is on another device than
// before: a stick was unplugged and its mount point, an empty folder on the
// system's own disk, is what the path names now.
var ErrGone = errors.New("no longer on the same device (was the medium removed?)")

// place is a folder that is opened anew for every step and recognised by its
// device; not by its inode, since FAT and exFAT number a folder anew when the
// kernel has forgotten it. It holds nothing open in between, so the medium can
// be unmounted as soon as the last step is over.
type place struct {
	path string
	dev  uint64
	fat  bool // the file system is FAT
}

func openPlace(path string) (place, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return place{}, &fs.PathError{Op: "opening", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return place{}, &fs.PathError{Op: "opening", Path: path, Err: err}
	}
	return place{path: path, dev: uint64(st.Dev), fat: isFAT(fd)}, nil
}

// open returns the folder itself, having found that it is still the same. A
// desktop removes the mount point of a stick that was pulled out.
func (p place) open() (*os.File, error) {
	fd, err := unix.Open(p.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENODEV || err == unix.ENXIO {
		return nil, fmt.Errorf("%q: %w: %w", p.path, ErrGone, err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "opening", Path: p.path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "opening", Path: p.path, Err: err}
	}
	if uint64(st.Dev) != p.dev {
		unix.Close(fd)
		return nil, fmt.Errorf("%q: %w", p.path, ErrGone)
	}
	return os.NewFile(uintptr(fd), p.path), nil
}

// with runs step on the folder's descriptor.
func (p place) with(step func(dirfd int) error) error {
	d, err := p.open()
	if err != nil {
		return err
	}
	err = step(int(d.Fd()))
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

func (p place) sync() error {
	return p.with(func(dirfd int) error {
		if err := syncFolder(dirfd); err != nil {
			return &fs.PathError{Op: "syncing", Path: p.path, Err: explain(err)}
		}
		return nil
	})
}

// syncFolder makes the names in a folder durable. A file system that has no
// such thing says EINVAL; there the file's own fsync is all there is.
func syncFolder(dirfd int) error {
	err := retry(func() error { return unix.Fsync(dirfd) })
	if err == unix.EINVAL {
		return nil
	}
	return err
}

// openRegular opens a regular file of the folder, never through a link and
// without ever waiting for the other end of a FIFO.
func openRegular(dirfd int, name string, flags int) (*os.File, error) {
	if err := lookRegular(dirfd, name); err != nil {
		return nil, err
	}
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	var fd int
	err := retry(func() (err error) { fd, err = unix.Openat(dirfd, name, flags, 0o644); return err })
	switch {
	case err == unix.ELOOP:
		return nil, ErrNotRegular
	case err != nil:
		return nil, err
	}
	if err := mustBeRegular(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mustBeRegular looks again at what was opened: it may have been exchanged
// since lookRegular.
func mustBeRegular(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ErrNotRegular
	}
	return unix.SetNonblock(fd, false)
}

// lookRegular returns nil for a regular file, ErrNotRegular for anything else
// and ENOENT for nothing. It opens nothing: opening a device can act on it.
func lookRegular(dirfd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ErrNotRegular
	}
	return nil
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
