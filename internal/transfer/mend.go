package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"airlock/internal/progress"

	"golang.org/x/sys/unix"
)

// mendStep is how much is compared at a time.
const mendStep = 1 << 20

// Mend makes a file of the folder equal to f: what the medium gives back of it
// is compared piece by piece, and only pieces that differ, or cannot be read,
// are written, in their place. It returns how many bytes it wrote; they are
// durable then. A file that is not there is an error.
func (d *Dir) Mend(ctx context.Context, f File, show progress.Sink) (written int64, err error) {
	if err := CheckName(f.Name); err != nil {
		return 0, err
	}
	old := d.openStanding(f.Name)
	defer old.close()
	out, err := d.open(f.Name, unix.O_RDWR)
	if err != nil {
		return 0, err
	}
	to := &dirFile{File: out, d: d, aside: f.Name}
	task := show.Start(f.Name, f.Size)
	defer task.Done()
	written, err = to.mend(ctx, f, old, task)
	if err == nil {
		err = to.named("syncing", to.Sync())
	}
	if cerr := to.Close(); err == nil && cerr != nil {
		err = to.named("closing", cerr)
	}
	if err == nil {
		err = d.place.sync()
	}
	return written, err
}

func (f *dirFile) mend(ctx context.Context, src File, old *standing, task progress.Task) (written int64, err error) {
	size, err := f.size()
	if err != nil {
		return 0, err
	}
	if err := f.truncate(min(size, src.Size)); err != nil {
		return 0, err
	}
	b := make([]byte, mendStep)
	for off := int64(0); off < src.Size; off += mendStep {
		if err := ctx.Err(); err != nil {
			return written, err
		}
		part := b[:min(mendStep, src.Size-off)]
		if _, err := (source{src.Bytes}).ReadAt(part, off); err != nil {
			return written, err
		}
		if !old.holds(part, off) {
			if err := f.writeAt(part, off); err != nil {
				return written, err
			}
			if written += int64(len(part)); written%syncEvery == 0 {
				if err := f.named("syncing", f.Sync()); err != nil {
					return written, err
				}
			}
		}
		task.Add(int64(len(part)))
	}
	return written, nil
}

// Arrived tells whether the file is at dst, whole and durable, as far as the
// journal and a look at its end can tell.
func (s Sender) Arrived(ctx context.Context, dst Dest, f File) (bool, error) {
	if err := CheckName(f.Name); err != nil {
		return false, err
	}
	t := s.trip(dst, f)
	defer t.task.Done()
	if s.Journal.durable(t.record) != f.Size || f.Size == 0 {
		return false, nil
	}
	return t.arrived(ctx)
}

// Forget has the journal know nothing of a file any more: it was found to be
// another than was sent.
func (s Sender) Forget(dst Dest, f File) error {
	if s.Journal == nil {
		return nil
	}
	t := s.trip(dst, f)
	defer t.task.Done()
	err := s.Journal.dir.Remove(t.record.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forgetting %q: %w", f.Name, err)
	}
	return nil
}
