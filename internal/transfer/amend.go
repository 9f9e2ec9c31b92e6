package transfer

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Amendment is a file of a Dir of which some bytes are written anew. It may be
// written at any offset, in any order.
type Amendment struct {
	f    *dirFile
	name string
}

// Amend opens a file that is there, to write bytes of it in its place. What is
// written shows at once, and is durable when Close has returned nil.
func (d *Dir) Amend(name string) (*Amendment, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	f, err := d.open(name, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	return &Amendment{&dirFile{File: f, d: d, aside: name}, name}, nil
}

// Rebuild makes a file of that name aside. It has its name when Close has
// returned nil, in the place of what had it.
func (d *Dir) Rebuild(name string) (*Amendment, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	aside := partialName(name)
	f, err := d.create(aside)
	if err != nil {
		return nil, err
	}
	return &Amendment{&dirFile{File: f, d: d, aside: aside}, name}, nil
}

// Continue opens a file to write bytes of it in its place, and makes it if it
// is not there. What is written shows at once, and is durable when Close has
// returned nil.
func (d *Dir) Continue(name string) (*Amendment, error) {
	f, err := d.Amend(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	file, err := d.create(name)
	if err != nil {
		return nil, err
	}
	return &Amendment{&dirFile{File: file, d: d, aside: name}, name}, nil
}

// Adopt moves a file here from another folder of the same file system, in the
// place of what had its name. It is durable when Adopt has returned nil.
func (d *Dir) Adopt(from *Dir, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	err := from.place.with(func(fromfd int) error {
		return d.place.with(func(dirfd int) error {
			if err := lookRegular(fromfd, name); err != nil {
				return err
			}
			if err := lookRegular(dirfd, name); err != nil && err != unix.ENOENT {
				return err
			}
			if err := unix.Renameat(fromfd, name, dirfd, name); err != nil {
				return err
			}
			return errors.Join(syncFolder(dirfd), syncFolder(fromfd))
		})
	})
	if err != nil {
		return &fs.PathError{Op: "moving", Path: from.path(name), Err: explain(err)}
	}
	return nil
}

// ReadAt reads what the file has now (io.ReaderAt).
func (a *Amendment) ReadAt(p []byte, off int64) (int, error) { return a.f.ReadAt(p, off) }

// Size returns how many bytes the file has now.
func (a *Amendment) Size() (int64, error) { return a.f.size() }

// WriteAt writes all of p at an offset.
func (a *Amendment) WriteAt(p []byte, off int64) (int, error) {
	n, err := writeAt(a.f.File, p, off)
	return n, a.f.named("writing", err)
}

// Truncate gives the file a size; what is new of it reads as zeros.
func (a *Amendment) Truncate(size int64) error { return a.f.truncate(size) }

// Close makes the file durable, and gives it its name.
func (a *Amendment) Close() error {
	if a.f.aside != a.name {
		return a.f.commit(a.name)
	}
	err := a.f.named("syncing", a.f.Sync())
	if cerr := a.f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Abandon closes the file as it is, instead of Close. A file that was made
// aside is removed.
func (a *Amendment) Abandon() {
	a.f.Close()
	if a.f.aside != a.name {
		a.f.d.remove(a.f.aside)
	}
}
