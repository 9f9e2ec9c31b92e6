package volume_test

import (
	"io"
	"testing"

	"airlock/internal/progress"
	"airlock/internal/volume"
)

// BenchmarkParity writes a space nowhere: without parity, with parity computed
// on the way, and behind.
func BenchmarkParity(b *testing.B) {
	const size = 256 * block
	space := pattern(64 * block)
	for _, c := range []struct {
		name     string
		percent  int
		onTheWay bool
	}{{"none", 0, false}, {"5% on the way", 5, true}, {"5% behind", 5, false}, {"10% behind", 10, false}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				z, layout := &repeated{space: space}, volume.Layout{Stem: "s", Size: volume.DefaultSize}
				w, err := volume.NewWriter(layout, z.Create)
				must(b, err)
				if c.onTheWay {
					must(b, w.Protect(volume.Protection{Percent: c.percent}, size))
				} else if c.percent > 0 {
					w.KeepChecks()
				}
				for range size / len(space) {
					_, err := w.Write(space)
					must(b, err)
				}
				set, err := w.Close()
				must(b, err)
				if c.percent > 0 && !c.onTheWay {
					must(b, set.Protect(b.Context(), layout, volume.Protection{Percent: c.percent}, z, progress.Discard))
				}
			}
		})
	}
}

// repeated is a place that reads as the same bytes again and again.
type repeated struct {
	zeros
	space []byte
}

func (r *repeated) Open(string) (io.ReaderAt, error) { return r, nil }

func (r *repeated) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, r.space[off%int64(len(r.space)):]), nil
}
