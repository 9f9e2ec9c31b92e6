package transfer

import (
	"context"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// identity is the path alone: a stick that is plugged in again may be another
// device to the kernel. A stick that is another one lacks the unfinished file,
// or holds other bytes at its end.
func (d *Dir) identity() string { return "file://" + d.place.path }

func (d *Dir) lanes() int { return 1 }
func (d *Dir) small() int { return 1 }

func (d *Dir) unfinished(_ context.Context, aside string, _ int64) (slowFile, error) {
	f, err := d.open(aside, unix.O_RDWR)
	if os.IsNotExist(err) {
		f, err = d.create(aside)
	}
	if err != nil {
		return nil, err
	}
	return &dirFile{File: f, d: d, aside: aside}, nil
}

func (d *Dir) existing(_ context.Context, name string) (slowFile, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return &dirFile{File: f, d: d, aside: name}, nil
}

func (d *Dir) open(name string, flags int) (f *os.File, err error) {
	err = d.place.with(func(dirfd int) error {
		if f, err = openRegular(dirfd, name, flags); err != nil {
			return &fs.PathError{Op: "opening", Path: d.path(name), Err: explain(err)}
		}
		return nil
	})
	return f, err
}

// dirFile is a file of a Dir that is being sent.
type dirFile struct {
	*os.File
	d     *Dir
	aside string

	reserved int64 // see place.reserve
}

func (f *dirFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *dirFile) truncate(size int64) error {
	f.reserved = size
	return f.named("truncating", f.Truncate(size))
}

// writeAt writes where the pipe, or whoever mends, has come to.
func (f *dirFile) writeAt(b []byte, off int64) error {
	if end := off + int64(len(b)); end > f.reserved {
		f.reserved = f.d.place.reserve(f.File, f.reserved, end)
	}
	_, err := writeAt(f.File, b, off)
	return f.named("writing", err)
}

func (f *dirFile) firm() bool { return true }

func (f *dirFile) pipeTo() pipeTo {
	kicked := int64(-1) // what is before it was given to write-back
	return pipeTo{
		// In order: FAT fills what lies before a byte with zeros first.
		packet: 1 << 20, window: resend / 2,
		write: func(b []byte, off int64) error {
			if kicked < 0 {
				kicked = off
			}
			err := f.writeAt(b, off)
			if err == nil {
				kicked = WriteBack(f.File, kicked, off+int64(len(b)))
			}
			return err
		},
		sync: f.datasync,
	}
}

// datasync makes the file's bytes durable, and that they are its.
func (f *dirFile) datasync() error {
	return f.named("syncing", retry(func() error { return unix.Fdatasync(int(f.Fd())) }))
}

func (f *dirFile) named(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.d.path(f.aside), Err: explain(err)}
}

// commit renames the file, which is durable, and makes that durable too. See
// Dir.Put for the second Sync.
func (f *dirFile) commit(name string) error {
	err := f.d.place.with(func(dirfd int) error {
		if size, err := f.size(); err != nil {
			return err
		} else if err := f.d.place.trim(f.File, size); err != nil {
			return err
		}
		if err := lookRegular(dirfd, name); err != nil && err != unix.ENOENT {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := unix.Renameat(dirfd, f.aside, dirfd, name); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		return syncFolder(dirfd)
	})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return &fs.PathError{Op: "finishing", Path: f.d.path(name), Err: explain(err)}
	}
	return nil
}
