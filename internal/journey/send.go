package journey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"

	"golang.org/x/sync/errgroup"

	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/progress"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// load is what one place gets.
type load struct {
	to     Place
	there  fs.FS
	sender transfer.Sender
	names  []string
	stick  *media.Stick // the place is one of several
	part   bool         // SHA256SUMS stays away
}

// file is a file to be sent, open.
type file struct {
	transfer.File
	closer io.Closer
}

// remover is a place that files can be removed from.
type remover interface{ Remove(name string) error }

// spacious is a place that can be asked how many bytes may still be written there.
type spacious interface{ FreeSpace() (int64, error) }

// mender is a place in which single blocks can be written anew.
type mender interface {
	Mend(ctx context.Context, f transfer.File, show progress.Sink) (int64, error)
}

func (b *Bundle) send(ctx context.Context, l load) (Outcome, error) {
	if l.sender.Progress == nil {
		l.sender.Progress = progress.Discard
	}
	free := l.free()
	have, err := b.Look(l.there)
	if err != nil {
		return Written, err
	}
	files, err := b.open(l.names)
	defer func() {
		for _, f := range files {
			f.closer.Close()
		}
	}()
	if err != nil {
		return Written, err
	}
	if have.Sums && have.whole(files) && !l.part {
		return Already, errors.Join(b.signatures(l.to), b.Copy(l.to), l.mark(have))
	}
	if err := b.fits(have, free); err != nil {
		return Written, err
	}
	if err := errors.Join(l.removeCopy(have), l.begin(have)); err != nil {
		return Written, err
	}
	if err := l.bring(ctx, have, files); err != nil {
		return Written, err
	}
	var texts errgroup.Group
	texts.Go(func() error { return b.signatures(l.to) })
	if !l.part { // copy.tar has SHA256SUMS, so it stays away too
		texts.Go(func() error { return b.Copy(l.to) })
	}
	if err := texts.Wait(); err != nil {
		return Written, err
	}
	if l.part {
		return Written, l.to.Sync()
	}
	if err := errors.Join(l.to.Put(manifest.SumsName, b.Texts.Text()), l.mark(have)); err != nil {
		return Written, err
	}
	return Written, l.to.Sync()
}

// free asks a place that can tell how many bytes it has free, and does not wait
// for the answer. A place that does not tell has enough.
func (l *load) free() <-chan int64 {
	answer := make(chan int64, 1)
	to, ok := l.to.(spacious)
	if !ok {
		answer <- math.MaxInt64
		return answer
	}
	go func() {
		free, err := to.FreeSpace()
		if err != nil { // what is wrong with the place, the next step says
			free = math.MaxInt64
		}
		answer <- free
	}()
	return answer
}

// fits refuses a place that has not the room for the bundle, before anything is
// written there. What it has of the bundle counts as free.
func (b *Bundle) fits(have *Holding, answer <-chan int64) error {
	free := <-answer
	if free == math.MaxInt64 {
		return nil
	}
	sizes, err := b.SmallSizes()
	if err != nil {
		return err
	}
	need := b.Size()
	for _, size := range sizes {
		need += size
	}
	there := have.Bytes()
	if free >= need-there {
		return nil
	}
	takes := human.Bytes(need)
	if there > 0 {
		takes += ", of which " + human.Bytes(there) + " are there"
	}
	return fmt.Errorf("%w: it has %s free, and the bundle takes %s", transfer.ErrFull, human.Bytes(free), takes)
}

// begin has a place that is called complete, and is not, called so no more,
// and says on a stick which one it is.
func (l *load) begin(have *Holding) error {
	if r, ok := l.to.(remover); ok && have.Sums && l.stick == nil {
		if err := r.Remove(manifest.SumsName); err != nil {
			return err
		}
	}
	if l.stick == nil {
		return nil
	}
	return l.mark(have)
}

// removeCopy removes a copy.tar that is there without a bundle: it may have the
// texts of another one, which would then seem to be damaged.
func (l *load) removeCopy(have *Holding) error {
	r, ok := l.to.(remover)
	if !ok || have.Sums {
		return nil
	}
	if _, err := fs.Stat(l.there, manifest.CopyName); err != nil {
		return nil
	}
	return r.Remove(manifest.CopyName)
}

// mark writes stick.json where it belongs, and removes it where all is.
func (l *load) mark(have *Holding) error {
	if l.stick != nil {
		return l.to.Put(media.StickName, l.stick.Marshal())
	}
	if r, ok := l.to.(remover); ok && have.Stick != nil && !l.part {
		return r.Remove(media.StickName)
	}
	return nil
}

// bring sends what is missing and mends what is there with the right size but
// other bytes. What the journal says arrived is taken for that until it is
// read back.
func (l *load) bring(ctx context.Context, have *Holding, files []file) error {
	var missing []transfer.File
	for _, f := range files {
		size, there := have.Files[f.Name]
		if !there || size != f.Size {
			missing = append(missing, f.File)
			continue
		}
		arrived, err := l.sender.Arrived(ctx, l.to, f.File)
		if err != nil {
			return err
		}
		if arrived {
			continue
		}
		if m, ok := l.to.(mender); ok {
			if _, err := m.Mend(ctx, f.File, l.sender.Progress); err != nil {
				return fmt.Errorf("completing %q: %w", f.Name, err)
			}
			continue
		}
		missing = append(missing, f.File)
	}
	return l.sender.Send(ctx, l.to, missing...)
}

// open opens listed files of the bundle. Blocks of the large ones are compared
// with blocks.bin as they are read: what is damaged here is not carried on,
// and not blamed on the place that it is brought to.
func (b *Bundle) open(names []string) ([]file, error) {
	blocks, err := manifest.ReadFile(b.Files, manifest.BlocksName, manifest.MaxSmallFile)
	if err != nil {
		return nil, err
	}
	first, size := map[string]int64{}, map[string]int64{}
	var count int64
	for _, v := range b.large() {
		first[v.Name], size[v.Name] = count, v.Size
		count += volume.BlocksPer(v.Size)
	}
	if want := b.Texts.Sums()[manifest.BlocksName]; manifest.DigestOf(blocks) != want || int64(len(blocks)) != count*sha256.Size {
		return nil, fmt.Errorf("%w: %s is not the one that %s lists", volume.ErrDamaged, manifest.BlocksName, manifest.SumsName)
	}
	var files []file
	for _, name := range names {
		f, err := b.openFile(name)
		if err != nil {
			return files, err
		}
		at, large := first[name]
		if large && f.Size != size[name] {
			f.closer.Close()
			return files, fmt.Errorf("%w: %s has %d bytes where it is sent from, want %d", volume.ErrDamaged, name, f.Size, size[name])
		}
		if large && !b.Proven {
			f.Bytes = &checked{from: f.Bytes, name: name, size: f.Size, sums: blocks[at*sha256.Size:]}
		}
		files = append(files, f)
	}
	return files, nil
}

func (b *Bundle) openFile(name string) (file, error) {
	f, err := b.Files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, fmt.Errorf("%w: %s is missing where it is sent from: %w", volume.ErrDamaged, name, err)
	}
	if errors.Is(err, fs.ErrInvalid) {
		return file{}, fmt.Errorf("%w: %s where it is sent from: %w", volume.ErrDamaged, name, err)
	}
	if err != nil {
		return file{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return file{}, err
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		f.Close()
		return file{}, fmt.Errorf("%q cannot be read at random", name)
	}
	return file{transfer.File{Name: name, Size: info.Size(), SHA256: b.Texts.Sums()[name], Bytes: at}, f}, nil
}

// checked reads a volume and hands out blocks that have the listed hash. It may
// be read by several goroutines, whole blocks side by side.
type checked struct {
	from io.ReaderAt
	name string
	size int64
	sums []byte // of its blocks, and what follows

	mu    sync.Mutex
	index int64 // of the block that is held
	block []byte
}

func (c *checked) ReadAt(p []byte, off int64) (int, error) {
	read := 0
	for read < len(p) {
		if off >= c.size {
			return read, io.EOF
		}
		n, err := c.some(p[read:], off)
		if err != nil {
			return read, err
		}
		read, off = read+n, off+int64(n)
	}
	return read, nil
}

// some reads up to the end of the block that off is in.
func (c *checked) some(p []byte, off int64) (int, error) {
	index, inside := off/manifest.BlockSize, off%manifest.BlockSize
	size := min(manifest.BlockSize, c.size-index*manifest.BlockSize)
	if inside == 0 && int64(len(p)) >= size {
		return int(size), c.read(index, p[:size])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block == nil || c.index != index {
		block := make([]byte, size)
		if err := c.read(index, block); err != nil {
			return 0, err
		}
		c.block, c.index = block, index
	}
	return copy(p, c.block[inside:]), nil
}

// read reads a whole block and proves it.
func (c *checked) read(index int64, block []byte) error {
	if n, err := c.from.ReadAt(block, index*manifest.BlockSize); n < len(block) {
		return fmt.Errorf("block %d of %s: %w", index, c.name, err)
	}
	want := manifest.Digest(c.sums[index*sha256.Size : (index+1)*sha256.Size])
	if manifest.DigestOf(block) != want {
		return fmt.Errorf("%w: block %d of %s is not what was signed", volume.ErrDamaged, index, c.name)
	}
	return nil
}
