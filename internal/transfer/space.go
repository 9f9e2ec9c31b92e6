package transfer

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FreeSpace returns how many bytes may still be written at path, which need
// not exist yet: its nearest existing parent is asked.
func FreeSpace(path string) (int64, error) {
	st, _, err := statfs(path)
	if err != nil {
		return 0, err
	}
	return freeBytes(st), nil
}

// statfs asks the file system of path or of its nearest existing parent, and
// returns which of them it was.
func statfs(path string) (st unix.Statfs_t, at string, err error) {
	at, err = filepath.Abs(path)
	if err != nil {
		return st, "", err
	}
	for {
		err = retry(func() error { return unix.Statfs(at, &st) })
		up := filepath.Dir(at)
		if !errors.Is(err, fs.ErrNotExist) || up == at {
			break
		}
		at = up
	}
	if err != nil {
		return st, "", &fs.PathError{Op: "asking for free space at", Path: path, Err: err}
	}
	return st, at, nil
}

func freeBytes(st unix.Statfs_t) int64 {
	return bytesIn(st.Bavail, cmp.Or(uint64(st.Frsize), uint64(st.Bsize)))
}

// bytesIn returns how many bytes so many blocks of a size are.
func bytesIn(blocks, size uint64) int64 {
	if size != 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
