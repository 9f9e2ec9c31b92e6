package volume

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"airlock/internal/lru"
	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// ErrDamaged is wrapped where volumes do not hold the bytes that were signed:
// missing, cut short, swapped, or with blocks of another hash.
var ErrDamaged = errors.New("damaged")

// Reader reads the space of a verified bundle. Every block is hashed after it
// was read and before any byte of it is handed out, so a medium that gives
// other bytes on a second reading is caught as well. A block that is bad or
// cannot be read is made again from its stripe, if there is parity for it, and
// hashed like any other. It is safe for use by several goroutines and holds at
// most 4 MiB of blocks, and while it mends 60 MiB more, or 80 MiB with as much
// parity as is allowed.
type Reader struct {
	verified *manifest.Verified
	fsys     fs.FS
	sums     []byte
	files    []section // the volumes, then the parity files
	volumes  []section // the beginning of files
	size     int64

	blocks *lru.Cache[int64, []byte] // by block number
	mender mender
}

// section is one file's place among the blocks; a volume's place in the space.
type section struct {
	file  io.ReaderAt // nil: it cannot be read
	close io.Closer
	wrong error // what is wrong with the file as a whole
	name  string
	what  string // "volume" or "parity file"
	start int64  // offset in the space and what follows it
	size  int64
	have  int64 // bytes of it that are there
	first int64 // number of its first block
}

const cachedBlocks = 4

// NewReader opens the volumes of a verified bundle in fsys, whose files must
// be io.ReaderAt. It refuses a set without parity in which a volume is missing
// or has another size than was signed, naming it; no block is read yet.
func NewReader(v *manifest.Verified, fsys fs.FS) (*Reader, error) {
	r, err := NewHurtReader(v, fsys)
	if err != nil || r.mender.parity != nil {
		return r, err
	}
	var damage []error
	for i := range r.files {
		damage = append(damage, r.files[i].wrong)
	}
	if err := errors.Join(damage...); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// NewHurtReader is NewReader for whoever wants to know what is left of a
// bundle: it takes sets with missing and cut files whether there is parity or
// not. What was lost for good is an error when it is read.
func NewHurtReader(v *manifest.Verified, fsys fs.FS) (*Reader, error) {
	r := &Reader{verified: v, fsys: fsys, sums: v.File(manifest.BlocksName), blocks: lru.New[int64, []byte](cachedBlocks)}
	var blocks, at int64
	m := v.Manifest()
	for i, listed := range m.Large() {
		s := section{name: listed.Name, what: "volume", start: at, size: listed.Size, first: blocks}
		if i >= len(m.Volumes) {
			s.what = "parity file"
		}
		s.wrong = s.open(fsys)
		r.files = append(r.files, s)
		at += listed.Size
		blocks += BlocksPer(listed.Size)
	}
	r.volumes, r.size = r.files[:len(m.Volumes)], m.SpaceSize()
	err := r.mender.init(m)
	if want := blocks * sha256.Size; int64(len(r.sums)) != want && err == nil {
		err = fmt.Errorf("%w: %s has %d bytes, want %d", ErrDamaged, manifest.BlocksName, len(r.sums), want)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (s *section) open(fsys fs.FS) error {
	f, err := fsys.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s %s is missing", ErrDamaged, s.what, s.name)
	}
	if errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("%w: %s %s: %w", ErrDamaged, s.what, s.name, err)
	}
	if err != nil {
		return err
	}
	s.close = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if file, ok := f.(io.ReaderAt); ok && info.Mode().IsRegular() {
		s.file, s.have = file, min(info.Size(), s.size)
	}
	if !info.Mode().IsRegular() || info.Size() != s.size {
		return fmt.Errorf("%w: %s %s has %d bytes, want %d", ErrDamaged, s.what, s.name, info.Size(), s.size)
	}
	if s.file == nil {
		return fmt.Errorf("%s %s cannot be read at random", s.what, s.name)
	}
	return nil
}

// Close closes the volumes.
func (r *Reader) Close() error {
	var all []error
	for _, s := range r.files {
		if s.close != nil {
			all = append(all, s.close.Close())
		}
	}
	return errors.Join(all...)
}

// Size returns the number of bytes of the space.
func (r *Reader) Size() int64 { return r.size }

// Verified returns the bundle that the volumes belong to.
func (r *Reader) Verified() *manifest.Verified { return r.verified }

// ReadAt reads proven bytes of the space at offset off (io.ReaderAt). An error
// that wraps ErrDamaged names the volume and the block.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return r.readAt(p, off, nil) }

// ReadHashed is ReadAt that adds the bytes to sum as well, in the pass over them
// that proves their block if all of it is read. sum has just the bytes that are
// returned. What is read into one sum has to begin at a multiple of
// twosum.BlockSize, and each time but the last to have such a length.
func (r *Reader) ReadHashed(p []byte, off int64, sum *twosum.Hash) (int, error) {
	if off%twosum.BlockSize != 0 {
		return 0, fmt.Errorf("offset %d is no multiple of %d", off, twosum.BlockSize)
	}
	return r.readAt(p, off, sum)
}

// readAt is ReadAt and, with a sum, ReadHashed.
func (r *Reader) readAt(p []byte, off int64, sum *twosum.Hash) (int, error) {
	if off < 0 || off > r.size {
		return 0, fmt.Errorf("offset %d is outside the volumes' %d bytes", off, r.size)
	}
	read := 0
	for read < len(p) {
		if off == r.size {
			return read, io.EOF
		}
		s := r.at(off)
		n, err := r.copyBlock(p[read:], s, off-s.start, sum)
		if err != nil {
			return read, err
		}
		read, off = read+n, off+int64(n)
	}
	return read, nil
}

// at returns the volume that holds the byte at offset off.
func (r *Reader) at(off int64) *section {
	size := r.volumes[0].size // every volume but the last has it
	i := min(off/size, int64(len(r.volumes)-1))
	return &r.volumes[i]
}

// copyBlock copies proven bytes of a file from offset off on to p, up to the
// end of the block, adds them to sum unless it is nil, and returns how many. A
// block that p takes whole is not kept.
func (r *Reader) copyBlock(p []byte, s *section, off int64, sum *twosum.Hash) (int, error) {
	number, inside := s.first+off/manifest.BlockSize, off%manifest.BlockSize
	if size := r.blockSize(number); inside == 0 && int64(len(p)) >= size {
		return int(size), r.fill(number, p[:size], sum)
	}
	data, err := r.Block(number)
	if err != nil {
		return 0, err
	}
	n := copy(p, data[inside:])
	if sum != nil {
		sum.Write(p[:n])
	}
	return n, nil
}

// Block returns the proven bytes of a block by its number in blocks.bin. They
// must not be changed.
func (r *Reader) Block(number int64) ([]byte, error) {
	return r.blocks.Get(number, func() ([]byte, error) {
		data := make([]byte, r.blockSize(number))
		return data, r.fill(number, data, nil)
	})
}

// fill reads a block into data, which has the block's size, or makes it again,
// and adds it to sum, unless that is nil, once it is proven.
func (r *Reader) fill(number int64, data []byte, sum *twosum.Hash) error {
	err := r.read(number, data, sum)
	if err != nil && r.mender.parity != nil {
		if err = r.mend(number, data); err == nil && sum != nil {
			sum.Write(data)
		}
	}
	return err
}

// locate returns the file that has a block.
func (r *Reader) locate(number int64) *section {
	i, found := slices.BinarySearchFunc(r.files, number, func(s section, n int64) int { return cmp.Compare(s.first, n) })
	if !found {
		i--
	}
	return &r.files[i]
}

// blockSize returns how many bytes a block has.
func (r *Reader) blockSize(number int64) int64 {
	s := r.locate(number)
	return min(manifest.BlockSize, s.size-(number-s.first)*manifest.BlockSize)
}

// read reads a block into data, which has the block's size, and proves it; then
// sum has it too, unless it is nil.
func (r *Reader) read(number int64, data []byte, sum *twosum.Hash) error {
	if err := r.readRaw(number, data); err != nil {
		return err
	}
	return r.prove(number, data, sum)
}

// readRaw reads a block into data, which has the block's size.
func (r *Reader) readRaw(number int64, data []byte) error {
	s := r.locate(number)
	if s.file == nil {
		return s.wrong
	}
	index := number - s.first
	if n, err := s.file.ReadAt(data, index*manifest.BlockSize); n < len(data) {
		return fmt.Errorf("reading block %d of %s %s: %w", index, s.what, s.name, err)
	}
	return nil
}

// prove proves a block that was read; then sum has it too, unless it is nil.
func (r *Reader) prove(number int64, data []byte, sum *twosum.Hash) error {
	if r.proves(number, data, sum) {
		return nil
	}
	s := r.locate(number)
	start := (number - s.first) * manifest.BlockSize
	return fmt.Errorf("%w: block %d of %s %s (bytes %d to %d) is not what was signed",
		ErrDamaged, number-s.first, s.what, s.name, start, start+int64(len(data))-1)
}

// proves reports whether these are a block's bytes; if they are, sum has them
// too, unless it is nil.
func (r *Reader) proves(number int64, data []byte, sum *twosum.Hash) bool {
	want := [sha256.Size]byte(r.sums[number*sha256.Size : (number+1)*sha256.Size])
	if sum != nil {
		return sum.Extend(data, want)
	}
	return sha256.Sum256(data) == want
}
