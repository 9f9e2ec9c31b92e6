package volume_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// TestProtectNoticesOtherBytes holds that parity is not computed of bytes that
// the medium gives back otherwise.
func TestProtectNoticesOtherBytes(t *testing.T) {
	files, layout := newFiles(), volume.Layout{Stem: "s", Size: 4 * block}
	w, err := volume.NewWriter(layout, files.Create)
	must(t, err)
	w.KeepChecks()
	_, err = w.Write(pattern(9 * block))
	must(t, err)
	set, err := w.Close()
	must(t, err)
	files.MapFS["s.001.vol"].Data[block] ^= 4
	err = set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, place{files}, progress.Discard)
	if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), "block 1 of volume s.001.vol") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	files.MapFS["s.001.vol"].Data[block] ^= 4
	if err := set.Protect(ctx, layout, volume.Protection{Percent: 5}, place{files}, progress.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestProtectWaitsForVolumes has volumes that cannot be closed: parity behind
// them is computed beside the closing, whose error is not lost.
func TestProtectWaitsForVolumes(t *testing.T) {
	for _, blocks := range []int64{3, 4, 9} {
		files, layout := failing{newFiles(), "close", ".vol"}, volume.Layout{Stem: "s", Size: 4 * block}
		w, err := volume.NewWriter(layout, files.Create)
		must(t, err)
		w.KeepChecks()
		_, err = w.Write(pattern(blocks * block))
		must(t, err)
		set, err := w.Close()
		if err == nil {
			err = set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, files, progress.Discard)
		}
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), ".vol") {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
}

// TestProtectErrors has parity files that cannot be created, written or closed.
func TestProtectErrors(t *testing.T) {
	for _, step := range []string{"create", "write", "close"} {
		for _, onTheWay := range []bool{false, true} {
			files, layout := failing{newFiles(), step, ".par"}, volume.Layout{Stem: "s", Size: 4 * block}
			w, err := volume.NewWriter(layout, files.Create)
			must(t, err)
			if onTheWay {
				must(t, w.Protect(volume.Protection{Percent: 5}, 9*block))
			} else {
				w.KeepChecks()
			}
			_, err = w.Write(pattern(9 * block))
			must(t, err)
			set, err := w.Close()
			if err == nil && !onTheWay {
				err = set.Protect(t.Context(), layout, volume.Protection{Percent: 5}, files, progress.Discard)
			}
			if !errors.Is(err, errFull) {
				t.Errorf("%s, on the way %t: %v", step, onTheWay, err)
			}
		}
	}
}

var errFull = errors.New("no space left")

// failing fails at a step of files of a kind.
type failing struct {
	bundletest.Files
	step, kind string
}

func (f failing) Open(name string) (io.ReaderAt, error) { return place{f.Files}.Open(name) }

func (f failing) Create(name string) (io.WriteCloser, error) {
	w, err := f.Files.Create(name)
	if !strings.HasSuffix(name, f.kind) || err != nil {
		return w, err
	}
	if f.step == "create" {
		return nil, errFull
	}
	return failingFile{w, f.step}, nil
}

type failingFile struct {
	io.WriteCloser
	step string
}

func (f failingFile) Write(p []byte) (int, error) {
	if f.step == "write" {
		return 0, errFull
	}
	return f.WriteCloser.Write(p)
}

func (f failingFile) Close() error {
	if f.step == "close" {
		return errFull
	}
	return f.WriteCloser.Close()
}
