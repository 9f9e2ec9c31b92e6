package create

import (
	"context"
	"fmt"

	"airlock/internal/manifest"
	"airlock/internal/volume"
)

// A way of computing parity. The layouts differ in what bursts they survive.
type way int

const (
	noParity way = iota
	behind       // when all is written, over the whole of it
	follow       // of each part of it when that is written
	large        // follow, if it gets so large; else behind
	onTheWay     // of small parts, in memory
)

// way returns how parity is computed. It depends on nothing but what is
// written, and to what kind of place.
func (w *writing) way() way {
	_, readable := w.sink.(volume.Place)
	switch o := w.options; {
	case !o.Parity.Any():
		return noParity
	case readable && (o.Parity.Spare > 0 || w.contents.MaxBundleSize() <= volume.FollowFrom):
		return behind
	case readable && o.Plain() && o.Bases.Empty(): // its size is known before
		return follow
	case readable:
		return large
	}
	return onTheWay
}

// protect prepares for parity, if some is wanted.
func (w *writing) protect(ctx context.Context, space *volume.Writer) error {
	way := w.way()
	if way != noParity && w.contents.MaxSize(w.options) > manifest.MaxSpace {
		return fmt.Errorf("volumes and parity of more than %d bytes", int64(manifest.MaxSpace))
	}
	switch o, size := w.options, w.contents.MaxBundleSize(); way {
	case behind:
		space.KeepChecks()
	case follow:
		return space.Follow(ctx, o.Parity, size, w.sink.(volume.Place), o.Progress)
	case large:
		return space.FollowLarge(ctx, o.Parity, w.sink.(volume.Place), o.Progress)
	case onTheWay:
		return space.Protect(o.Parity, size)
	}
	return nil
}

// protectBehind computes parity over all that was written, if it was not
// computed before.
func (w *writing) protectBehind(ctx context.Context, set *volume.Set, layout volume.Layout) error {
	if way := w.way(); way != behind && way != large || set.Parity != nil {
		return nil
	}
	return set.Protect(ctx, layout, w.options.Parity, w.sink.(volume.Place), w.options.Progress)
}

// MaxSize returns about how many bytes a bundle takes with its parity and the
// second place of its small files.
func (c *Contents) MaxSize(o Options) int64 {
	size := c.MaxBundleSize()
	if !o.Parity.Any() {
		return size
	}
	return size + o.Parity.MaxParity(size, volume.Layout{Size: o.volumeSize()}) + size/8192
}

// volumeSize returns how many bytes a volume has at most.
func (o *Options) volumeSize() int64 {
	if o.VolumeSize == 0 {
		return volume.DefaultSize
	}
	return o.VolumeSize
}
