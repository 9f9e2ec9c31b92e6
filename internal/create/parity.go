package create

import (
	"context"

	"airlock/internal/volume"
)

// protect has parity computed while the space is written, if some is wanted
// and the sink cannot read back: then so much of it as fits in memory, in
// groups, each against bursts as long as its parity.
func (w *writing) protect(space *volume.Writer) error {
	if w.options.Parity == 0 {
		return nil
	}
	if _, readable := w.sink.(volume.Place); readable {
		space.KeepChecks()
		return nil
	}
	return space.Protect(w.options.Parity, w.contents.MaxBundleSize())
}

// protectBehind computes parity over all that was written, if the sink can
// read it back.
func (w *writing) protectBehind(ctx context.Context, set *volume.Set, layout volume.Layout) error {
	place, readable := w.sink.(volume.Place)
	if !readable || w.options.Parity == 0 {
		return nil
	}
	return set.Protect(ctx, layout, w.options.Parity, place, w.options.Progress)
}

// MaxParity returns about how many bytes parity takes with a bundle of at most
// size bytes, and the second place of its small files.
func MaxParity(size int64, percent int) int64 {
	if percent == 0 {
		return 0
	}
	return volume.MaxParity(size, percent) + size/8192
}
