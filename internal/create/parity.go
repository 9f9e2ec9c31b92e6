package create

import (
	"context"
	"fmt"

	"airlock/internal/manifest"
	"airlock/internal/volume"
)

// readAgain is how many bytes a bundle has at most that is read again to
// compute its parity, in bytes: what was just written is in the page cache of
// any machine then. Larger ones get theirs on the way, against shorter bursts.
const readAgain = 4 << 30

// behind returns where the volumes can be read again to compute parity, or nil
// if it is computed while they are written. It depends on nothing but what is
// written, and to what kind of place.
func (w *writing) behind() volume.Place {
	place, readable := w.sink.(volume.Place)
	if !readable || (w.options.Parity.Spare == 0 && w.contents.MaxBundleSize() > readAgain) {
		return nil
	}
	return place
}

// protect prepares for parity, if some is wanted.
func (w *writing) protect(space *volume.Writer) error {
	switch {
	case !w.options.Parity.Any():
		return nil
	case w.contents.MaxSize(w.options) > manifest.MaxSpace:
		return fmt.Errorf("volumes and parity of more than %d bytes", int64(manifest.MaxSpace))
	case w.behind() != nil:
		space.KeepChecks()
		return nil
	}
	return space.Protect(w.options.Parity, w.contents.MaxBundleSize())
}

// protectBehind computes parity over all that was written, if it was not
// computed on the way.
func (w *writing) protectBehind(ctx context.Context, set *volume.Set, layout volume.Layout) error {
	place := w.behind()
	if place == nil || !w.options.Parity.Any() {
		return nil
	}
	return set.Protect(ctx, layout, w.options.Parity, place, w.options.Progress)
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
