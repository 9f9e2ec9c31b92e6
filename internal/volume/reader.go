package volume

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"airlock/internal/lru"
	"airlock/internal/manifest"
)

// ErrDamaged is wrapped where volumes do not hold the bytes that were signed:
// missing, cut short, swapped, or with blocks of another hash.
var ErrDamaged = errors.New("damaged")

// Reader reads the space of a verified bundle. Every block is hashed after it
// was read and before any byte of it is handed out, so a medium that gives
// other bytes on a second reading is caught as well. It is safe for use by
// several goroutines and holds at most 32 MiB of blocks.
type Reader struct {
	verified *manifest.Verified
	sums     []byte
	volumes  []section
	size     int64

	blocks *lru.Cache[int64, []byte] // by block number
}

// section is one volume's place in the space.
type section struct {
	file  io.ReaderAt
	close io.Closer
	name  string
	start int64 // offset in the space
	size  int64
	first int64 // number of its first block
}

const cachedBlocks = 32

// NewReader opens the volumes of a verified bundle in fsys, whose files must
// be io.ReaderAt. It refuses a set in which a volume is missing or has another
// size than was signed, naming it; no block is read yet.
func NewReader(v *manifest.Verified, fsys fs.FS) (*Reader, error) {
	r := &Reader{verified: v, sums: v.File(manifest.BlocksName), blocks: lru.New[int64, []byte](cachedBlocks)}
	var blocks int64
	var damage []error
	for _, listed := range v.Manifest().Volumes {
		s := section{name: listed.Name, start: r.size, size: listed.Size, first: blocks}
		if err := s.open(fsys); err != nil {
			damage = append(damage, err)
		}
		r.volumes = append(r.volumes, s)
		r.size += listed.Size
		blocks += BlocksPer(listed.Size)
	}
	if want := blocks * sha256.Size; int64(len(r.sums)) != want {
		damage = append(damage, fmt.Errorf("%w: %s has %d bytes, want %d", ErrDamaged, manifest.BlocksName, len(r.sums), want))
	}
	if len(damage) > 0 {
		r.Close()
		return nil, errors.Join(damage...)
	}
	return r, nil
}

func (s *section) open(fsys fs.FS) error {
	f, err := fsys.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: volume %s is missing", ErrDamaged, s.name)
	}
	if err != nil {
		return err
	}
	s.close = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != s.size {
		return fmt.Errorf("%w: volume %s has %d bytes, want %d", ErrDamaged, s.name, info.Size(), s.size)
	}
	file, ok := f.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("volume %s cannot be read at random", s.name)
	}
	s.file = file
	return nil
}

// Close closes the volumes.
func (r *Reader) Close() error {
	var all []error
	for _, s := range r.volumes {
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
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > r.size {
		return 0, fmt.Errorf("offset %d is outside the volumes' %d bytes", off, r.size)
	}
	read := 0
	for read < len(p) {
		if off == r.size {
			return read, io.EOF
		}
		s := r.at(off)
		inside := off - s.start
		data, err := r.block(s, inside/manifest.BlockSize)
		if err != nil {
			return read, err
		}
		n := copy(p[read:], data[inside%manifest.BlockSize:])
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

// block returns the proven bytes of a volume's block, from the cache or the file.
func (r *Reader) block(s *section, index int64) ([]byte, error) {
	return r.blocks.Get(s.first+index, func() ([]byte, error) { return r.load(s, index) })
}

func (r *Reader) load(s *section, index int64) ([]byte, error) {
	start := index * manifest.BlockSize
	data := make([]byte, min(manifest.BlockSize, s.size-start))
	return data, r.readBlock(s, index, data)
}

// readBlock reads a block into data, which has the block's size, and proves it.
func (r *Reader) readBlock(s *section, index int64, data []byte) error {
	if n, err := s.file.ReadAt(data, index*manifest.BlockSize); n < len(data) {
		return fmt.Errorf("reading block %d of volume %s: %w", index, s.name, err)
	}
	number := s.first + index
	want := manifest.Digest(r.sums[number*sha256.Size : (number+1)*sha256.Size])
	if manifest.DigestOf(data) != want {
		return fmt.Errorf("%w: block %d of volume %s (bytes %d to %d) is not what was signed",
			ErrDamaged, index, s.name, index*manifest.BlockSize, index*manifest.BlockSize+int64(len(data))-1)
	}
	return nil
}
