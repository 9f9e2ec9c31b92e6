package aside

import (
	"errors"
	"io"
	"sync"

	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// Sink is where files go on to.
type Sink interface {
	// Create takes a file of unknown size, which transfer.Abandon can give up.
	Create(name string) (io.WriteCloser, error)
	// Put takes a small file, which appears whole or not at all.
	Put(name string, data []byte) error
}

// Follower is a folder whose files go on to another place while they and the
// next ones are written: at the pace of that place, which nobody waits for.
type Follower struct {
	*transfer.Dir
	to      Sink
	changed sync.Cond // something was written, or nothing will be any more
	done    chan struct{}
	err     error  // of the other place, once done
	broken  string // the volume that it is about

	mu    sync.Mutex
	files []*followed // in the order in which they came
	ended bool
	show  progress.Task // of what is still to be sent, once ended
	sent  int64
}

// followed is a file on its way.
type followed struct {
	name  string
	data  []byte // of a small file
	size  int64  // as far as it is written
	whole bool
}

// Follow sends the files that are made in dir on to another place, in their order. It
// has to be ended or left.
func Follow(dir *transfer.Dir, to Sink) *Follower {
	f := &Follower{Dir: dir, to: to, done: make(chan struct{})}
	f.changed.L = &f.mu
	go func() {
		defer close(f.done)
		f.err = f.run()
	}()
	return f
}

// Create makes a file in the folder, and sends it on while it is written.
func (f *Follower) Create(name string) (io.WriteCloser, error) {
	w, err := f.Dir.Create(name)
	if err != nil {
		return nil, err
	}
	file := &followed{name: name}
	f.change(func() { f.files = append(f.files, file) })
	return &followedWriter{w, f, file}, nil
}

// Put makes a small file in the folder, and sends it on.
func (f *Follower) Put(name string, data []byte) error {
	err := f.Dir.Put(name, data)
	if err == nil {
		f.change(func() {
			f.files = append(f.files, &followed{name: name, data: data, size: int64(len(data)), whole: true})
		})
	}
	return err
}

// followedWriter tells of what was written.
type followedWriter struct {
	io.WriteCloser
	f    *Follower
	file *followed
}

func (w *followedWriter) Write(p []byte) (int, error) {
	n, err := w.WriteCloser.Write(p)
	w.f.change(func() { w.file.size += int64(n) })
	return n, err
}

func (w *followedWriter) Close() error {
	err := w.WriteCloser.Close()
	if err == nil {
		w.f.change(func() { w.file.whole = true })
	}
	return err
}

func (f *Follower) change(what func()) {
	f.mu.Lock()
	what()
	f.mu.Unlock()
	f.changed.Broadcast()
}

// errLeft says that a file was not written to its end.
var errLeft = errors.New("writing was broken off")

// End waits until all files have arrived. The error is the other place's: the
// folder is whole.
func (f *Follower) End(show progress.Sink) error {
	f.mu.Lock()
	left := -f.sent
	for _, file := range f.files {
		left += file.size
	}
	f.show = show.Start("sending", left)
	f.ended = true
	f.mu.Unlock()
	f.changed.Broadcast()
	defer f.show.Done()
	<-f.done
	return f.err
}

// Clear removes what has arrived of a file that has not arrived whole, as far as
// that can be done: the connection may be gone, and the next step makes a new one.
func (f *Follower) Clear() {
	if f.broken == "" {
		return
	}
	if w, err := f.to.Create(f.broken); err == nil {
		transfer.Abandon(w)
	}
}

// Leave ends the following where it stands. The other place must be closed.
func (f *Follower) Leave() {
	f.change(func() { f.ended = true })
	<-f.done
}

// run sends the files one by one.
func (f *Follower) run() error {
	for i := 0; ; i++ {
		f.mu.Lock()
		for len(f.files) <= i && !f.ended {
			f.changed.Wait()
		}
		if len(f.files) <= i {
			f.mu.Unlock()
			return nil
		}
		file := f.files[i]
		f.mu.Unlock()
		if err := f.send(file); err != nil {
			return err
		}
	}
}

func (f *Follower) send(file *followed) error {
	if file.data != nil {
		f.note(file.size)
		return f.to.Put(file.name, file.data)
	}
	in, err := f.Dir.Open(file.name)
	if err != nil {
		return err
	}
	if c, ok := in.(io.Closer); ok {
		defer c.Close()
	}
	out, err := f.to.Create(file.name)
	if err != nil {
		return err
	}
	f.broken = file.name
	buffer := make([]byte, 1<<20)
	for at := int64(0); ; {
		size, whole := f.beyond(file, at)
		if size == at && !whole {
			return errLeft // the file must not look like a whole one there
		}
		if size == at {
			if err := out.Close(); err != nil {
				return err
			}
			f.broken = ""
			return nil
		}
		n, err := in.ReadAt(buffer[:min(int64(len(buffer)), size-at)], at)
		if n == 0 && err != nil {
			return err
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			transfer.Abandon(out)
			return err
		}
		f.note(int64(n))
		at += int64(n)
	}
}

// beyond waits until a file is larger than that, or will not get larger, and
// returns its size and whether it is whole.
func (f *Follower) beyond(file *followed, at int64) (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file.size == at && !file.whole && !f.ended {
		f.changed.Wait()
	}
	return file.size, file.whole
}

// note counts bytes that were sent.
func (f *Follower) note(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent += n
	if f.show != nil {
		f.show.Add(n)
	}
}
