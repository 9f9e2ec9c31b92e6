package transfer

import (
	"os"

	"golang.org/x/sys/unix"
)

// reserveStep is how much of a file is reserved at a time at most, in bytes.
const reserveStep = 64 << 20

// reserve gives a file on FAT the clusters up to an offset, and makes the
// chain of them durable, before the file's size says that it has them.
//
// Linux writes a file's directory entry before the table that links its
// clusters. A power cut in between leaves a size that goes beyond the chain,
// and the kernel makes the whole file system read-only as soon as somebody
// reads there. Syncing the folder, on the other hand, writes the table and not
// the file's new size. Elsewhere, and where it does not work, nothing happens:
// it is a precaution.
//
// It returns up to where the file has clusters now: some more than were asked
// for, so that this is seldom done, but little of what is free.
func (p place) reserve(f *os.File, from, to int64) int64 {
	if !p.fat {
		return to + reserveStep
	}
	_ = p.with(func(dirfd int) error {
		var st unix.Statfs_t
		if err := unix.Fstatfs(dirfd, &st); err != nil {
			return err
		}
		to += min(reserveStep, freeBytes(st)/16)
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil && err != unix.ENOSPC {
			return err
		}
		return syncFolder(dirfd)
	})
	return to
}

// trim gives back what a cut attempt had reserved for a file beyond its size,
// which FAT would otherwise be confused by when the file grows.
func (p place) trim(f *os.File, size int64) error {
	if !p.fat {
		return nil
	}
	return f.Truncate(size)
}

// isFAT tells whether an open folder is on FAT.
func isFAT(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && uint32(st.Type) == unix.MSDOS_SUPER_MAGIC
}
