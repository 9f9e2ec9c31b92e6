package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"airlock/internal/progress"

	"golang.org/x/sync/errgroup"
)

// File is a file to be sent. Its hash says which bytes it has, so that what is
// at the other end from another attempt is known to be the beginning of it.
type File struct {
	Name   string
	Size   int64
	SHA256 [sha256.Size]byte
	Bytes  io.ReaderAt
}

// Dest is a place that files can be sent to: a *Dir or a *Server.
type Dest interface {
	Put(name string, data []byte) error

	identity() string // what the journal knows the place by
	lanes() int       // how many files may travel at once
	small() int       // and how many small ones beside them
	// unfinished opens the file that so many bytes are written to until it is
	// complete, and creates it if it is missing.
	unfinished(ctx context.Context, aside string, size int64) (slowFile, error)
	// existing opens a file to be read.
	existing(ctx context.Context, name string) (slowFile, error)
}

// slowFile is a file of a Dest, open.
type slowFile interface {
	io.ReaderAt
	io.Closer
	size() (int64, error)
	truncate(size int64) error
	pipeTo() pipeTo // all but durable
	firm() bool     // sync makes durable, so that a power cut there loses nothing
	// commit gives the file its name; it is closed then.
	commit(name string) error
}

// Sender sends files so that a cut costs little.
type Sender struct {
	Journal  *Journal      // nil: what a cut interrupts begins anew
	Progress progress.Sink // told of durable bytes; nil: nobody
}

// again are the pauses before a lost connection is made anew. They begin anew
// when one got something across.
var again = [...]time.Duration{time.Second / 5, time.Second, 3 * time.Second, 8 * time.Second, 18 * time.Second}

// Send copies the files to dst, several at once if dst is a server with
// several connections. A file appears under its name when it is whole and
// durable, in the place of what had that name.
//
// It goes on where an earlier call stopped, at the offset of the journal,
// having compared the bytes before it with the source. After a cut at most
// 64 MiB are sent again, over all files under way. A file that an earlier call
// has finished is not sent again. A connection that is lost is made anew; when
// that has not helped five times in a row, the error wraps ErrCut.
//
// Only one Send at a time may send a file of that name to that place.
func (s Sender) Send(ctx context.Context, dst Dest, files ...File) error {
	if s.Progress == nil {
		s.Progress = progress.Discard
	}
	for _, f := range files {
		if err := CheckName(f.Name); err != nil {
			return err
		}
	}
	large, small := files, []File(nil)
	if dst.small() > 1 {
		large, small = nil, nil
		for _, f := range files {
			if f.Size < smallFile {
				small = append(small, f)
			} else {
				large = append(large, f)
			}
		}
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return s.sendSome(ctx, dst, dst.small(), small) })
	both.Go(func() error { return s.sendSome(ctx, dst, dst.lanes(), large) })
	return both.Wait()
}

// smallFile is below what size a file takes round trips rather than bytes.
const smallFile = 1 << 20

// sendSome sends files, so many at once.
func (s Sender) sendSome(ctx context.Context, dst Dest, atOnce int, files []File) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, f := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.send(ctx, dst, f); err != nil {
				return fmt.Errorf("sending %q: %w", f.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (s Sender) send(ctx context.Context, dst Dest, f File) error {
	t := s.trip(dst, f)
	defer t.task.Done()
	for try := 0; ; try++ {
		t.moved = false
		err := t.attempt(ctx)
		if t.moved {
			try = 0
		}
		if !errors.Is(err, ErrCut) || ctx.Err() != nil || try == len(again) {
			return err
		}
		if perr := pause(ctx, again[try]); perr != nil {
			return fmt.Errorf("%w: %w", perr, err)
		}
	}
}

// trip begins a trip, which is the same one for the same file to the same place.
func (s Sender) trip(dst Dest, f File) *trip {
	if s.Progress == nil {
		s.Progress = progress.Discard
	}
	return &trip{
		sender: s, dst: dst, f: f, task: s.Progress.Start(f.Name, f.Size),
		record: record{Place: dst.identity(), Name: f.Name, Size: f.Size, SHA256: hex.EncodeToString(f.SHA256[:])},
		aside:  partialName(hex.EncodeToString(f.SHA256[:4]) + "-" + f.Name),
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// trip is one file on its way.
type trip struct {
	sender Sender
	dst    Dest
	f      File
	record record
	aside  string
	task   progress.Task
	shown  int64 // of progress
	moved  bool  // something new became durable in this attempt
}

func (t *trip) attempt(ctx context.Context) error {
	known := t.sender.Journal.durable(t.record)
	if known == t.f.Size && t.f.Size > 0 {
		if done, err := t.arrived(ctx); done || err != nil {
			return err
		}
	}
	u, err := t.dst.unfinished(ctx, t.aside, t.f.Size)
	if err != nil {
		return err
	}
	defer u.Close()
	from, err := t.resume(u, known)
	if err != nil {
		return err
	}
	if err := u.truncate(from); err != nil {
		return err
	}
	t.show(from)
	to := u.pipeTo()
	to.durable = func(upTo int64) error {
		t.moved = true
		t.show(upTo)
		return t.sender.Journal.note(t.record, upTo)
	}
	if err := newPipe(to, from).pump(ctx, t.f.Bytes, from, t.f.Size); err != nil {
		return err
	}
	return u.commit(t.f.Name)
}

func (t *trip) show(upTo int64) {
	if upTo > t.shown {
		t.task.Add(upTo - t.shown)
		t.shown = upTo
	}
}

// arrived tells whether an earlier attempt finished: all was durable, the
// unfinished file is gone and the finished one looks like it.
func (t *trip) arrived(ctx context.Context) (bool, error) {
	u, err := t.dst.existing(ctx, t.aside)
	if err == nil {
		return false, u.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	u, err = t.dst.existing(ctx, t.f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer u.Close()
	size, err := u.size()
	if err != nil || size != t.f.Size {
		return false, err
	}
	from, err := t.resume(u, size)
	if from != size || err != nil {
		return false, err
	}
	t.show(size)
	return true, nil
}

const (
	// firmTail is how much is compared before an offset that fsync vouches for:
	// enough to see that this is the file. softTail is what a server without
	// fsync may have lost with its power.
	firmTail = 4 << 20
	softTail = 64 << 20
)

// resume returns from where to go on: the known offset if the other end has
// so much and the last of it equals the source, else 0.
func (t *trip) resume(u slowFile, known int64) (int64, error) {
	if known == 0 {
		return 0, nil
	}
	size, err := u.size()
	if err != nil || size < known {
		return 0, err
	}
	tail := int64(softTail)
	if u.firm() {
		tail = firmTail
	}
	err = sameBytes(u, t.f.Bytes, max(0, known-tail), known)
	if errors.Is(err, errDiffer) {
		return 0, nil
	}
	return known, err
}

var errDiffer = errors.New("other bytes")

// sameBytes returns errDiffer if a and b differ, or a ends, in [from, to).
func sameBytes(a, b io.ReaderAt, from, to int64) error {
	const step = 4 << 20
	x, y := make([]byte, min(step, to-from)), make([]byte, min(step, to-from))
	for off := from; off < to; off += step {
		x, y := x[:min(step, to-off)], y[:min(step, to-off)]
		if n, err := a.ReadAt(x, off); n < len(x) {
			if err == io.EOF || err == nil {
				return errDiffer
			}
			return err
		}
		if _, err := (source{b}).ReadAt(y, off); err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			return errDiffer
		}
	}
	return nil
}
