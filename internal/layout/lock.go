package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"airlock/internal/progress"
)

const (
	lockName = ours + ".lock"
	lockPoll = 100 * time.Millisecond
)

// errLocked says that another load has the lock.
var errLocked = errors.New("another load into it is under way")

// lock is the right to change a layout. It ends with the process at the latest.
type lock struct {
	root *os.Root
	file *os.File
}

// acquire waits until no other load holds the lock.
func acquire(ctx context.Context, root *os.Root, show progress.Sink) (*lock, error) {
	var waiting progress.Task
	for {
		l, err := try(root)
		if waiting != nil && !errors.Is(err, errLocked) {
			waiting.Done()
		}
		if !errors.Is(err, errLocked) {
			return l, err
		}
		if waiting == nil {
			waiting = show.Start("waiting for another load into the layout", -1)
		}
		select {
		case <-ctx.Done():
			waiting.Done()
			return nil, errors.Join(errLocked, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// try takes the lock or returns errLocked.
func try(root *os.Root) (*lock, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, err
	}
	// The file may have been removed, or another put there, between the two.
	held, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = root.Lstat(lockName); err == nil && !os.SameFile(held, now) {
			err = errLocked
		}
	}
	if err != nil {
		f.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = errLocked
		}
		return nil, err
	}
	return &lock{root, f}, nil
}

// release removes the lock's file, while it is held, and gives the lock up.
func (l *lock) release() error {
	return errors.Join(l.root.Remove(lockName), l.file.Close())
}
