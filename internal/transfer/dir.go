package transfer

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir is a folder that takes files. Its methods may be called by several
// goroutines, each for other names.
//
// Each of them first finds that the path is still on the device that NewDir saw,
// and otherwise returns an error wrapping ErrGone: nothing is written to the
// empty mount point that an unplugged stick leaves behind.
type Dir struct{ place place }

// NewDir returns the folder at path. It creates it, and the folders above it
// that are missing, and refuses a path that is something else, and a folder on
// FAT in which a file has two names (ErrTwins).
func NewDir(path string) (*Dir, error) {
	path = filepath.Clean(path)
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	p, err := openPlace(path)
	if err != nil {
		return nil, err
	}
	if err := p.checkTwins(); err != nil {
		return nil, err
	}
	return &Dir{p}, nil
}

// Create returns a writer of the file of that name. The bytes go straight to
// that name, since a bundle is complete only once its SHA256SUMS stands. What
// an earlier attempt has left there is read from the medium as the writing
// comes to it, and only what differs is written, so that an attempt that was
// cut goes on at reading speed; where the medium cannot be read past the page
// cache, the file is removed first. Anything else of that name is refused
// (ErrNotRegular). Close makes the file durable; its error, like that of
// Write, means that the file must be written again from the start.
func (d *Dir) Create(name string) (io.WriteCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	old := d.openStanding(name)
	var f *os.File
	var err error
	if old != nil {
		f, err = d.open(name, unix.O_RDWR)
	} else {
		f, err = d.create(name)
	}
	if err != nil {
		old.close()
		return nil, err
	}
	w := newFile(d.place, name, f)
	if w.old = old; old != nil {
		w.reserved = old.size
		if err := d.place.trim(f, old.size); err != nil {
			w.fail("truncating", err)
		}
	}
	return w, nil
}

// Open opens a file that Create was called for, to be read while it is still
// being written.
func (d *Dir) Open(name string) (io.ReaderAt, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return os.Open(d.path(name))
}

// Put writes a small file whole: who opens that name sees the old bytes or the
// new ones, after a power cut too.
func (d *Dir) Put(name string, data []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	aside := partialName(name)
	f, err := d.create(aside)
	if err != nil {
		return err
	}
	err = d.replace(f, name, data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		d.remove(aside)
		return &fs.PathError{Op: "writing", Path: d.path(name), Err: explain(err)}
	}
	return nil
}

// Sync makes the names of the folder durable and flushes the file system that
// it is on.
func (d *Dir) Sync() error {
	return d.place.with(func(dirfd int) error {
		err := syncFolder(dirfd)
		if err == nil {
			err = retry(func() error { return unix.Syncfs(dirfd) })
		}
		if err != nil {
			return &fs.PathError{Op: "syncing", Path: d.place.path, Err: explain(err)}
		}
		return nil
	})
}

// Remove removes a file, for good when Sync has returned.
func (d *Dir) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return d.place.with(func(dirfd int) error {
		err := lookRegular(dirfd, name)
		if err == nil {
			err = unix.Unlinkat(dirfd, name, 0)
		}
		if err != nil {
			return &fs.PathError{Op: "removing", Path: d.path(name), Err: explain(err)}
		}
		return nil
	})
}

func (d *Dir) path(name string) string { return filepath.Join(d.place.path, name) }

// create makes a file that did not exist: what stood there goes first. So no
// write reaches a file that has a second name elsewhere, and no page that an
// earlier fsync failed on is taken for written.
func (d *Dir) create(name string) (f *os.File, err error) {
	err = d.place.with(func(dirfd int) error {
		err := lookRegular(dirfd, name)
		if err == nil {
			err = unix.Unlinkat(dirfd, name, 0)
		}
		if err == nil || err == unix.ENOENT {
			f, err = openNew(dirfd, name)
		}
		if err != nil {
			return &fs.PathError{Op: "creating", Path: d.path(name), Err: explain(err)}
		}
		return nil
	})
	return f, err
}

func openNew(dirfd int, name string) (*os.File, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	var fd int
	err := retry(func() (err error) { fd, err = unix.Openat(dirfd, name, flags, 0o644); return err })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// replace writes data to f and puts it in the place of name. The second Sync
// is for vfat, which marks the file dirty again when it is renamed.
func (d *Dir) replace(f *os.File, name string, data []byte) error {
	d.place.reserve(f, 0, int64(len(data)))
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return d.place.with(func(dirfd int) error {
		if err := lookRegular(dirfd, name); err != nil && err != unix.ENOENT {
			return err
		}
		if err := unix.Renameat(dirfd, partialName(name), dirfd, name); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		return syncFolder(dirfd)
	})
}

// remove clears away what an attempt left; that it may fail is no news.
func (d *Dir) remove(name string) {
	_ = d.place.with(func(dirfd int) error { return unix.Unlinkat(dirfd, name, 0) })
}
