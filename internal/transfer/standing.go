package transfer

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// standing is what a file held before it is written again, read from the
// medium itself: what the kernel has of it in memory proves nothing, above all
// after a failed fsync, which leaves pages that look written.
type standing struct {
	f    *os.File
	r    *reader
	size int64
}

// openStanding opens a file of the folder to compare it with what is to be
// written; nil if there is none, if it has another name elsewhere, or if it
// can only be read from memory.
func (d *Dir) openStanding(name string) *standing {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	s := &standing{f: f, r: &reader{}}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil {
		s.size = st.Size
		s.r.medium, err = MediumOf(d.place.path)
	}
	if err != nil || st.Nlink > 1 || s.size == 0 {
		s.close()
		return nil
	}
	source, err := s.r.pastCache(f, s.size)
	if err != nil || source != FromMedium && s.r.medium.FileSystem != "tmpfs" {
		s.close()
		return nil
	}
	return s
}

func (s *standing) close() {
	if s != nil {
		s.f.Close()
		s.r.close()
	}
}

// sector is what O_DIRECT wants offsets and lengths to be multiples of.
const sector = 4096

// holds tells whether the file has just these bytes at off. What cannot be
// read, and what begins within a sector, counts as other bytes.
func (s *standing) holds(b []byte, off int64) bool {
	if s == nil || off%sector != 0 || off >= s.size {
		return false
	}
	buffer, err := s.r.buffer(0)
	for len(b) > 0 && err == nil {
		part := b[:min(len(b), len(buffer))]
		whole := (len(part) + sector - 1) / sector * sector
		n := 0
		err = retry(func() (err error) { n, err = unix.Pread(int(s.f.Fd()), buffer[:whole], off); return err })
		if err != nil || n < len(part) || !bytes.Equal(buffer[:len(part)], part) {
			return false
		}
		b, off = b[len(part):], off+int64(len(part))
	}
	return err == nil
}
