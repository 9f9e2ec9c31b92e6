package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrTwins is wrapped by the error for a folder on FAT in which one file has
// two names. A power cut, or a stick pulled out, in a rename leaves it so.
// Removing either name would free the bytes of both.
var ErrTwins = errors.New("one file has two names there, as FAT has them after a power cut: " +
	"unmount the medium and check it (fsck.vfat -a), mount it, and run the same command again")

// checkTwins refuses a folder on FAT where a file that was being finished and
// the finished one are the same.
func (p place) checkTwins() error {
	if !p.fat {
		return nil
	}
	return p.with(func(dirfd int) error {
		entries, err := os.ReadDir(p.path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			for _, name := range finished(e.Name()) {
				if same, err := areTwins(dirfd, e.Name(), name); err != nil {
					return fmt.Errorf("comparing %q and %q: %w", e.Name(), name, explain(err))
				} else if same {
					return fmt.Errorf("%q: %q and %q: %w", p.path, e.Name(), name, ErrTwins)
				}
			}
		}
		return nil
	})
}

// finished returns the names that a file may get which is under way (partialName).
func finished(name string) []string {
	rest, ok := strings.CutPrefix(name, partial)
	if !ok {
		return nil
	}
	if len(rest) > 9 && rest[8] == '-' { // a Sender's, with eight digits
		return []string{rest[9:], rest}
	}
	return []string{rest}
}

// areTwins reports whether two files are one. Where they look alike, a byte of
// the first is changed, which the other shows or not, and changed back.
func areTwins(dirfd int, a, b string) (bool, error) {
	fa, err := openRegular(dirfd, a, unix.O_RDWR)
	if err != nil {
		return false, nil // whoever needs it will be told
	}
	defer fa.Close()
	fb, err := openRegular(dirfd, b, unix.O_RDONLY)
	if err != nil {
		return false, nil
	}
	defer fb.Close()
	ia, erra := fa.Stat()
	ib, errb := fb.Stat()
	if err := errors.Join(erra, errb); err != nil {
		return false, err
	}
	old, err := beginning(fa)
	if err != nil || len(old) == 0 || ia.Size() != ib.Size() {
		return false, err
	}
	if other, err := beginning(fb); err != nil || !bytes.Equal(old, other) {
		return false, err
	}
	if err := putFirst(fa, ^old[0]); err != nil {
		return false, err
	}
	now, err := beginning(fb)
	return err == nil && now[0] != old[0], errors.Join(err, putFirst(fa, old[0]))
}

// beginning reads the first bytes of a file from the medium.
func beginning(f *os.File) ([]byte, error) {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return nil, err
	}
	b := make([]byte, 4096)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

func putFirst(f *os.File, b byte) error {
	if _, err := f.WriteAt([]byte{b}, 0); err != nil {
		return err
	}
	return f.Sync()
}
