package volume_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// folder is a place whose files are read while they are written. It fails at a
// step of files of a kind, if that is set.
type folder struct{ dir, step, kind string }

func (f folder) Open(name string) (io.ReaderAt, error) { return os.Open(filepath.Join(f.dir, name)) }

func (f folder) Create(name string) (io.WriteCloser, error) {
	w, err := os.Create(filepath.Join(f.dir, name))
	switch {
	case err != nil || f.kind == "" || !strings.HasSuffix(name, f.kind):
		return w, err
	case f.step == "create":
		return nil, errors.Join(errFull, w.Close())
	}
	return failingFile{w, f.step}, nil
}

// groupOf6 has bursts of four blocks mended, in each six of the space.
func groupOf6() *manifest.Parity { return &manifest.Parity{Data: 3, Blocks: 2, Stripes: 2} }

// followed writes a space with parity of groups of six blocks.
func followed(ctx context.Context, at folder, space []byte) (*volume.Set, error) {
	w, err := volume.NewWriter(volume.Layout{Stem: "shop-1.0", Size: 4 * block}, at.Create)
	if err != nil {
		return nil, err
	}
	if err := w.FollowGroups(ctx, groupOf6(), 0, at); err != nil {
		return nil, err
	}
	for rest := space; len(rest) > 0; {
		n := min(len(rest), 100_000)
		if _, err := w.Write(rest[:n]); err != nil {
			_, closed := w.Close()
			return nil, errors.Join(err, closed)
		}
		rest = rest[n:]
	}
	return w.Close()
}

// TestFollow holds that each group of a space bears a burst as long as its
// parity, wherever the space and its volumes end.
func TestFollow(t *testing.T) {
	for _, size := range []int64{1, block, 6 * block, 7 * block, 12 * block, 12*block + 1, 17*block - 3} {
		at, space := folder{dir: t.TempDir()}, pattern(size)
		set, err := followed(t.Context(), at, space)
		must(t, err)
		files := newFiles()
		entries, err := os.ReadDir(at.dir)
		must(t, err)
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(at.dir, e.Name()))
			must(t, err)
			must(t, files.Put(e.Name(), data))
		}
		p := &protected{files.MapFS, seal(t, files, set, space), space, set.Parity}
		data, all := p.blocks()
		mends(t, fmt.Sprint(size, " bytes, parity alone"), p, numbers(data, all))
		for first := int64(0); first < data; first += 6 {
			for _, from := range []int64{first, first + 2} {
				if bad := numbers(from, min(from+4, first+6, data)); len(bad) > 0 {
					mends(t, fmt.Sprint(size, " bytes, from block ", from), p, bad)
				}
			}
		}
	}
}

func numbers(from, to int64) (all []int64) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// TestFollowErrors has files that cannot be created, written or closed, and one
// who gives up.
func TestFollowErrors(t *testing.T) {
	for _, kind := range []string{".vol", ".par"} {
		for _, step := range []string{"create", "write", "close"} {
			for _, blocks := range []int64{3, 17} { // of one volume, and of several
				if _, err := followed(t.Context(), folder{t.TempDir(), step, kind}, pattern(blocks*block)); !errors.Is(err, errFull) {
					t.Errorf("%s of %s, %d blocks: %v", step, kind, blocks, err)
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := followed(ctx, folder{dir: t.TempDir()}, pattern(17*block)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestFollowNoticesOtherBytes has a medium that gives back zeros.
func TestFollowNoticesOtherBytes(t *testing.T) {
	at := folder{dir: t.TempDir()}
	w, err := volume.NewWriter(volume.Layout{Stem: "s", Size: 4 * block}, at.Create)
	must(t, err)
	must(t, w.FollowGroups(t.Context(), groupOf6(), 0, forgetful{at}))
	_, err = w.Write(pattern(9 * block))
	_, closed := w.Close()
	if err := errors.Join(err, closed); !errors.Is(err, volume.ErrDamaged) {
		t.Error(err)
	}
}

// forgetful is a place that reads as zeros.
type forgetful struct{ folder }

func (forgetful) Open(string) (io.ReaderAt, error) { return zeroReader{}, nil }

type zeroReader struct{}

func (zeroReader) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestFollowInGiBs holds what groups Follow makes: of 2 GiB, one of which
// bears a burst of 100 MiB with 5 % of parity.
func TestFollowInGiBs(t *testing.T) {
	at := folder{dir: t.TempDir()}
	w, err := volume.NewWriter(volume.Layout{Stem: "s", Size: volume.DefaultSize}, at.Create)
	must(t, err)
	must(t, w.Follow(t.Context(), volume.Protection{Percent: 5}, 8000*block, at, progress.Discard))
	_, err = w.Write(pattern(block))
	must(t, err)
	set, err := w.Close()
	must(t, err)
	if p := set.Parity; p.Data != 200 || p.Blocks != 10 || p.Stripes != 10 {
		t.Errorf("%+v", p)
	}
}

// TestFollowLarge holds that a space is followed once it is large, each group as
// by Follow, and that a smaller one is left to Set.Protect with all that takes.
func TestFollowLarge(t *testing.T) {
	layout := volume.Layout{Stem: "shop-1.0", Size: 4 * block}
	for _, size := range []int64{block, 12*block - 5, 12 * block, 12*block + 1, 19 * block} {
		at, space := folder{dir: t.TempDir()}, pattern(size)
		w, err := volume.NewWriter(layout, at.Create)
		must(t, err)
		must(t, w.FollowGroups(t.Context(), groupOf6(), 12, at))
		_, err = w.Write(space)
		must(t, err)
		set, err := w.Close()
		must(t, err)
		if size <= 12*block {
			if set.Parity != nil {
				t.Fatalf("%d bytes were followed", size)
			}
			must(t, set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, at, progress.Discard))
			continue
		}
		whole, err := followed(t.Context(), folder{dir: t.TempDir()}, space)
		must(t, err)
		if !reflect.DeepEqual(set.Parity, whole.Parity) || !reflect.DeepEqual(set.Sums, whole.Sums) || !bytes.Equal(set.Blocks, whole.Blocks) {
			t.Errorf("%d bytes: %+v, by Follow %+v", size, set.Parity, whole.Parity)
		}
	}
}
