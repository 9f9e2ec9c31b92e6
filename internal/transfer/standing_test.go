package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"airlock/internal/progress"
)

// random returns bytes that do not repeat.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestCreateKeeps writes files that are there already, in part: what comes of
// it is always what was written.
func TestCreateKeeps(t *testing.T) {
	want := random(5<<20 + 777)
	for name, old := range map[string][]byte{
		"nothing": nil, "the same": want, "a part": want[:2<<20+5], "more": append(bytes.Clone(want), "more"...),
		"other": random(7 << 20)[1<<20:], "one byte differs": func() []byte { b := bytes.Clone(want); b[3<<20]++; return b }(),
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			file := filepath.Join(path, "x")
			before := time.Unix(1e9, 0)
			if err := errors.Join(os.WriteFile(file, old, 0o644), os.Chtimes(file, before, before)); err != nil {
				t.Fatal(err)
			}
			d, err := NewDir(path)
			if err != nil {
				t.Fatal(err)
			}
			w, err := d.Create("x")
			if err != nil {
				t.Fatal(err)
			}
			for rest := want; len(rest) > 0 && err == nil; {
				n := min(1<<20, len(rest))
				_, err = w.Write(rest[:n])
				rest = rest[n:]
			}
			if err := errors.Join(err, w.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("it holds %d bytes, %v", len(got), err)
			}
			info, err := os.Stat(file)
			if err != nil || info.ModTime().Equal(before) != (name == "the same") {
				t.Errorf("last written at %s, %v", info.ModTime(), err)
			}
		})
	}
}

// TestMend damages a file in several ways; only what differs is written.
func TestMend(t *testing.T) {
	want := random(6<<20 + 99)
	damaged := func(at ...int) []byte {
		b := bytes.Clone(want)
		for _, i := range at {
			b[i] ^= 1
		}
		return b
	}
	for name, c := range map[string]struct {
		old     []byte
		written int64
	}{
		"whole":     {want, 0},
		"one block": {damaged(1<<20, 2<<20-1), 1 << 20},
		"the last":  {damaged(len(want) - 1), 99},
		"two":       {damaged(0, 5<<20), 2 << 20},
		"too short": {want[:4<<20], 2<<20 + 99},
		"too long":  {append(bytes.Clone(want), 1, 2, 3), 0},
		"empty":     {nil, int64(len(want))},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			file := filepath.Join(path, "x")
			if err := os.WriteFile(file, c.old, 0o644); err != nil {
				t.Fatal(err)
			}
			d, err := NewDir(path)
			if err != nil {
				t.Fatal(err)
			}
			f := File{Name: "x", Size: int64(len(want)), Bytes: bytes.NewReader(want)}
			written, err := d.Mend(t.Context(), f, progress.Discard)
			if err != nil || written != c.written {
				t.Errorf("wrote %d bytes, %v; want %d", written, err, c.written)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("it holds %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestMendRefuses(t *testing.T) {
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := File{Name: "x", Size: 5, Bytes: bytes.NewReader([]byte("four"))}
	if _, err := d.Mend(t.Context(), f, progress.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := d.Put("x", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Mend(t.Context(), f, progress.Discard); err == nil {
		t.Error("a source that ends early was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Mend(ctx, f, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := d.Mend(t.Context(), File{Name: "../x"}, progress.Discard); !errors.Is(err, ErrName) {
		t.Errorf("a name outside: %v", err)
	}
}

// TestForget has a file counted as arrived until it is forgotten.
func TestForget(t *testing.T) {
	journal, err := OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data := random(100)
	f, s := File{Name: "x", Size: 100, SHA256: sha256.Sum256(data), Bytes: bytes.NewReader(data)}, Sender{Journal: journal}
	for step, c := range []struct {
		do   func() error
		want bool
	}{
		{func() error { return nil }, false},
		{func() error { return s.Send(t.Context(), d, f) }, true},
		{func() error { return s.Forget(d, f) }, false},
		{func() error { return s.Forget(d, f) }, false},
	} {
		if err := c.do(); err != nil {
			t.Fatal(step, err)
		}
		if got, err := s.Arrived(t.Context(), d, f); err != nil || got != c.want {
			t.Errorf("step %d: arrived %v, %v", step, got, err)
		}
	}
}
