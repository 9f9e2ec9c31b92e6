package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unsafe"

	"airlock/internal/progress"

	"golang.org/x/sys/unix"
)

// Source says where bytes that were read back came from.
type Source int

const (
	// FromCache: they may have come from memory. They prove nothing about the
	// medium, which could be none (tmpfs) or could not be asked.
	FromCache Source = iota
	// FromMedium: the kernel's copy was dropped, or not used (O_DIRECT), so
	// they came from the device. Only its own cache, if any, was in between.
	FromMedium
)

func (s Source) String() string {
	if s == FromMedium {
		return "medium"
	}
	return "cache"
}

// ReadFile is a file that was read back.
type ReadFile struct {
	Name   string
	Size   int64
	SHA256 [sha256.Size]byte
	Source Source
}

const (
	// readChunk is how much is read at a time; a multiple of every sector size.
	readChunk = 4 << 20
	readAhead = 3 // chunks that are read while one is hashed
)

// ReadBack reads the named files of the folder back from the medium, one after
// the other, and returns what they hold now. Whether they could be read past
// the page cache is told for each. Bytes that are still on their way are
// written out first. The first error ends it.
func (d *Dir) ReadBack(ctx context.Context, sink progress.Sink, names ...string) ([]ReadFile, error) {
	m, err := MediumOf(d.place.path)
	if err != nil {
		return nil, err
	}
	r := &reader{medium: m}
	defer r.close()
	var list []ReadFile
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return list, err
		}
		one, err := d.readBack(ctx, r, sink, name)
		if err != nil {
			return list, fmt.Errorf("reading back %q: %w", d.path(name), explain(err))
		}
		list = append(list, one)
	}
	return list, nil
}

func (d *Dir) readBack(ctx context.Context, r *reader, sink progress.Sink, name string) (one ReadFile, err error) {
	var f *os.File
	err = d.place.with(func(dirfd int) (err error) { f, err = openRegular(dirfd, name, unix.O_RDONLY); return err })
	if err != nil {
		return one, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return one, err
	}
	one = ReadFile{Name: name, Size: info.Size()}
	if one.Source, err = r.pastCache(f, info.Size()); err != nil {
		return one, err
	}
	task := sink.Start(name, info.Size())
	defer task.Done()
	one.SHA256, err = r.hash(ctx, f, info.Size(), task)
	return one, err
}

// reader reads with buffers that O_DIRECT takes: they are mapped, so they
// begin on a page.
type reader struct {
	medium  Medium
	buffers [][]byte
}

func (r *reader) close() {
	for _, b := range r.buffers {
		_ = unix.Munmap(b)
	}
}

// pastCache prepares f to be read from the medium.
func (r *reader) pastCache(f *os.File, size int64) (Source, error) {
	if r.medium.FileSystem == "tmpfs" {
		return FromCache, nil
	}
	fd := int(f.Fd())
	// What is dirty is not dropped, and a direct read of it would only make the
	// kernel write it first.
	if err := retry(func() error { return unix.Fdatasync(fd) }); err != nil && err != unix.EROFS && err != unix.EINVAL {
		return FromCache, err
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return FromCache, nil
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	direct := false
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_DIRECT)
		direct = err == nil && r.takesDirect(f, flags)
	}
	if !direct && resident(fd, size) {
		return FromCache, nil
	}
	if r.userSpace() && !dropDevice(r.medium.Device) {
		return FromCache, nil
	}
	return FromMedium, nil
}

// takesDirect reads once, since some file systems take the flag and refuse the
// reads; then it clears the flag again.
func (r *reader) takesDirect(f *os.File, flags int) bool {
	b, err := r.buffer(0)
	if err == nil {
		err = retry(func() error { _, err := unix.Pread(int(f.Fd()), b[:4096], 0); return err })
	}
	if err == nil {
		return true
	}
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags)
	return false
}

func (r *reader) buffer(i int) ([]byte, error) {
	for len(r.buffers) <= i {
		b, err := unix.Mmap(-1, 0, readChunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return nil, err
		}
		r.buffers = append(r.buffers, b)
	}
	return r.buffers[i], nil
}

// userSpace tells whether a program stands between the file and the device
// (FUSE): it reads the device through the page cache.
func (r *reader) userSpace() bool {
	var st unix.Statfs_t
	return unix.Statfs(r.medium.MountPoint, &st) == nil && uint32(st.Type) == unix.FUSE_SUPER_MAGIC
}

// dropDevice drops the kernel's copy of a device or image file. That needs
// the right to read it, and is not possible if it is not known.
func dropDevice(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fsync(fd) == nil && unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) == nil
}

// resident tells whether any page of the file is in memory, or that may not
// be known.
func resident(fd int, size int64) bool {
	cached, known := cachedBytes(fd, size)
	return !known || cached > 0
}

// cachedBytes returns how many bytes of a file are in memory. False: the kernel
// would not say. To who may not write the file it says that all are (mincore(2)).
func cachedBytes(fd int, size int64) (cached int64, known bool) {
	const window = 1 << 30
	page := int64(os.Getpagesize())
	for off := int64(0); off < size; off += window {
		n := min(window, size-off)
		m, err := unix.Mmap(fd, off, int(n), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return 0, false
		}
		in := make([]byte, (n+page-1)/page)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(n), uintptr(unsafe.Pointer(&in[0])))
		_ = unix.Munmap(m)
		if errno != 0 {
			return 0, false
		}
		for _, p := range in {
			cached += int64(p&1) * page
		}
	}
	return cached, true
}

type chunk struct {
	buffer int
	n      int
	err    error
}

// hash reads ahead of the hashing. A file that is not of that size any more is
// an error.
func (r *reader) hash(ctx context.Context, f *os.File, size int64, task progress.Task) (sum [sha256.Size]byte, err error) {
	free, full := make(chan int, readAhead+1), make(chan chunk, readAhead+1)
	for i := range readAhead + 1 {
		if _, err := r.buffer(i); err != nil {
			return sum, err
		}
		free <- i
	}
	stop := make(chan struct{})
	go func() {
		defer close(full)
		r.readAll(f, size, free, full, stop)
	}()
	defer func() {
		close(stop)
		for range full { // the buffers are unmapped when nobody reads into them
		}
	}()
	h, left := sha256.New(), size
	for c := range full {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		if c.err != nil {
			return sum, c.err
		}
		h.Write(r.buffers[c.buffer][:c.n])
		left -= int64(c.n)
		task.Add(int64(c.n))
		free <- c.buffer
	}
	if left != 0 {
		return sum, io.ErrUnexpectedEOF
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func (r *reader) readAll(f *os.File, size int64, free <-chan int, full chan<- chunk, stop <-chan struct{}) {
	for off := int64(0); off < size; {
		var c chunk
		select {
		case c.buffer = <-free:
		case <-stop:
			return
		}
		// One call each: os.File would go on behind a short read at the end of
		// the file, where O_DIRECT takes no odd offset.
		c.err = retry(func() (err error) { c.n, err = unix.Pread(int(f.Fd()), r.buffers[c.buffer], off); return err })
		c.n = max(c.n, 0)
		off += int64(c.n)
		switch {
		case c.err != nil:
			c.err = fmt.Errorf("at byte %d: %w", off, explain(c.err))
		case c.n == 0:
			c.err = io.ErrUnexpectedEOF
		case off > size:
			c.err = fmt.Errorf("%w: it grew while it was read", fs.ErrInvalid)
		}
		full <- c
		if c.err != nil {
			return
		}
	}
}
