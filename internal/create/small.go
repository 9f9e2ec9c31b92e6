package create

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/semaphore"

	"airlock/internal/archive"
	"airlock/internal/gzipexact"
	"airlock/internal/progress"
)

// deltaMemory returns how many bytes the table of earlier contents takes for
// so many bytes of blobs and of the bases' contents: enough for all of it up to
// some 100 MB, and then less and less of it.
func deltaMemory(size int64) int { return int(min(max(2*size, 8<<20), 256<<20)) }

// inMemory is up to which size a blob is not spooled to disk.
const inMemory = 1 << 20

// maxSpooled bounds the blobs that are spooled, in bytes, but for two of any
// size: the one that is packed, and the next.
const maxSpooled = 1 << 30

// MaxSpool returns about how many bytes of Options.Spool packing takes at most: of
// blobs, and of the frames of one that is being proven.
func (c *Contents) MaxSpool(o Options) int64 {
	if o.Plain() {
		return 0
	}
	var all, largest int64
	for _, it := range c.items {
		all, largest = all+it.Size, max(largest, it.Size)
	}
	return min(all, maxSpooled+2*largest) + largest
}

// small packs blobs as their contents. While one is packed, the next ones are
// taken apart.
func (w *writing) small(ctx context.Context, out *archive.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	wanted := w.wanted()
	total := w.options.Progress.Start("packing", w.contents.Size())
	defer total.Done()
	t := taking{
		options: w.options, fetched: fetch(ctx, wanted), total: total,
		apart: make(chan *apartItem, maxApart), room: semaphore.NewWeighted(maxSpooled),
	}
	go t.run(ctx, wanted)
	defer t.stop(cancel)
	line := w.newLine(ctx, &t, out, wanted)
	defer func() { cancel(); line.stop() }()
	for _, it := range w.contents.items {
		if based, err := out.AddBased(it.Digest); err != nil {
			return it.explain(err)
		} else if based {
			total.Add(it.Size)
			continue
		}
		a, err := line.next(ctx)
		if err != nil {
			return err
		}
		err = a.pack(out)
		line.packedBlob(a)
		t.release(a)
		if err != nil {
			return it.explain(err)
		}
	}
	return nil
}

// apartItem is a fetched blob, spooled.
type apartItem struct {
	item
	spool    spool
	gzip     bool           // it begins as gzip does
	why      archive.Reason // of a gzip blob: why it is packed as it is
	proving  *proving       // of a gzip blob; nil: packed as it is
	unpacked int64          // of a gzip blob that was packed as its content: bytes of that
	known    int64          // how much there was to copy from when auto decided on it
	err      error
}

// maxApart is how many blobs may wait to be packed.
const maxApart = 16

// taking is what spools blobs ahead of their packing.
type taking struct {
	options Options
	fetched *fetcher
	total   progress.Task
	apart   chan *apartItem
	room    *semaphore.Weighted // of maxSpooled bytes
}

// spoolRoom returns what a blob takes of maxSpooled.
func spoolRoom(it item) int64 { return min(it.Size, maxSpooled/2) }

// run fetches items in order and spools each, until one cannot be.
func (t *taking) run(ctx context.Context, items []item) {
	defer close(t.apart)
	for _, it := range items {
		a := &apartItem{item: it}
		if t.room.Acquire(ctx, spoolRoom(a.item)) != nil {
			return
		}
		err := a.take(t.fetched.next(it, t.total), t.options.Spool)
		a.err = err // and from then on another's
		select {
		case t.apart <- a:
		case <-ctx.Done():
			t.release(a)
			return
		}
		if err != nil {
			return
		}
	}
}

// stop ends spooling, and drops what was not packed.
func (t *taking) stop(cancel context.CancelFunc) {
	t.fetched.stop(cancel)
	for a := range t.apart {
		t.release(a)
	}
}

// release drops a blob that is packed.
func (t *taking) release(a *apartItem) {
	a.spool.close()
	t.room.Release(spoolRoom(a.item))
}

// take reads the blob to its end and spools it. Its digest is judged when it is
// packed, of the bytes that are.
func (a *apartItem) take(r io.Reader, dir string) error {
	if err := a.spool.open(a.Size, dir); err != nil {
		return err
	}
	in := bufio.NewReaderSize(r, 64<<10)
	magic, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	a.gzip = isGzip(magic)
	_, err = io.Copy(a.spool.w, in)
	return err
}

// pack adds the blob to the archive.
func (a *apartItem) pack(out *archive.Writer) error {
	if a.proving != nil {
		defer a.proving.stop()
		packed, err := out.AddGzip(a.Digest, a.Size, archive.Proving{
			Content: a.proving.content, Proof: a.proving.proof, Again: a.inflate,
		})
		if err != nil || packed {
			a.unpacked = a.proving.size
			return err
		}
		a.why = archive.NoEncoder
	}
	r, err := a.spool.reader()
	if err != nil {
		return err
	}
	if a.isCompressed() {
		return out.AddCompressed(a.Digest, a.Size, r, a.why)
	}
	return out.Add(a.Digest, a.Size, r)
}

// isCompressed says that there is nothing to copy in a blob as it is.
func (a *apartItem) isCompressed() bool { return a.gzip || a.isZstd() }

// isGzip reports whether a blob that begins with data says that it is gzip.
func isGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// isZstd reports whether the item is said to be zstd.
func (it item) isZstd() bool { return strings.HasSuffix(it.MediaType, "zstd") }

// inflate returns what the spooled gzip blob decompresses to.
func (a *apartItem) inflate() (io.Reader, error) {
	r, err := a.spool.reader()
	if err != nil {
		return nil, err
	}
	return gzipexact.NewReader(r), nil
}

// spool keeps a blob until it is packed: in memory, or in a file without a name.
type spool struct {
	w      io.Writer
	memory *bytes.Buffer
	file   *os.File
}

func (s *spool) open(size int64, dir string) error {
	if size <= inMemory {
		s.memory = bytes.NewBuffer(make([]byte, 0, size))
		s.w = s.memory
		return nil
	}
	f, err := unnamed(dir)
	if err != nil {
		return err
	}
	s.file, s.w = f, f
	return nil
}

// unnamed creates a file that is gone when it is closed.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".airlock-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()), nil
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

// read returns how many bytes reader's reader has given.
func (s *spool) read() int64 {
	if s.file == nil {
		return int64(s.memory.Len())
	}
	at, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
	}
}
