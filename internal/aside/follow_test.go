package aside

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// elsewhere is a place that takes files as fast as it is let, and fails when told.
type elsewhere struct {
	mu    sync.Mutex
	files map[string]*bytes.Buffer // without those that were not closed
	order []string
	full  error // of Write
	gate  chan struct{}
}

func (e *elsewhere) Create(name string) (io.WriteCloser, error) {
	return &arriving{e: e, name: name}, nil
}

func (e *elsewhere) Put(name string, data []byte) error {
	w, _ := e.Create(name)
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

type arriving struct {
	e    *elsewhere
	name string
	got  bytes.Buffer
}

func (a *arriving) Write(p []byte) (int, error) {
	<-a.e.gate
	if a.e.full != nil {
		return 0, a.e.full
	}
	return a.got.Write(p)
}

func (a *arriving) Close() error {
	a.e.mu.Lock()
	defer a.e.mu.Unlock()
	a.e.files[a.name] = &a.got
	a.e.order = append(a.e.order, a.name)
	return nil
}

func (e *elsewhere) has(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.files[name] != nil
}

var errFull = errors.New("full")

// write writes two volumes and a small file into a folder that is followed.
func write(t *testing.T, f *Follower) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"a.vol": bytes.Repeat([]byte("volume "), 400_000), "b.vol": bytes.Repeat([]byte("next "), 300_000), "SHA256SUMS": []byte("sums")}
	for _, name := range []string{"a.vol", "b.vol"} {
		w, err := f.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for data := files[name]; len(data) > 0; data = data[min(len(data), 100_003):] {
			if _, err := w.Write(data[:min(len(data), 100_003)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Put("SHA256SUMS", files["SHA256SUMS"]); err != nil {
		t.Fatal(err)
	}
	return files
}

func follower(t *testing.T) (*Follower, *elsewhere) {
	t.Helper()
	dir, err := transfer.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{files: map[string]*bytes.Buffer{}, gate: make(chan struct{})}
	return Follow(dir, e), e
}

// TestFollow holds that writing does not wait for the other place, that files
// arrive in their order, each whole, and that what is whole goes on its way at once.
func TestFollow(t *testing.T) {
	f, e := follower(t)
	files := write(t, f) // while nothing is taken
	if e.has("a.vol") {
		t.Fatal("a file has arrived that was not let pass")
	}
	close(e.gate)
	for deadline := time.Now().Add(30 * time.Second); !e.has("SHA256SUMS"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the files do not arrive by themselves")
		}
	}
	if err := f.End(progress.Discard); err != nil {
		t.Fatal(err)
	}
	if len(e.order) != 3 || e.order[0] != "a.vol" || e.order[2] != "SHA256SUMS" {
		t.Errorf("they have arrived as %q", e.order)
	}
	for name, want := range files {
		if got := e.files[name]; got == nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s has not arrived as it was", name)
		}
	}
}

// TestFollowFails holds that an error of the other place is told at the end,
// and not to who writes.
func TestFollowFails(t *testing.T) {
	f, e := follower(t)
	e.full = errFull
	close(e.gate)
	write(t, f)
	if err := f.End(progress.Discard); !errors.Is(err, errFull) {
		t.Errorf("%v, want %v", err, errFull)
	}
}

// TestFollowLeft holds that a file that is not written to its end does not look
// like a whole one elsewhere.
func TestFollowLeft(t *testing.T) {
	f, e := follower(t)
	close(e.gate)
	w, err := f.Create("a.vol")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("begun")); err != nil {
		t.Fatal(err)
	}
	f.Leave()
	if !errors.Is(f.err, errLeft) || len(e.order) > 0 {
		t.Errorf("%v, and %q are there", f.err, e.order)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
