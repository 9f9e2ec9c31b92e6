package create

import (
	"io"
	"testing"

	"airlock/internal/oci"
	"airlock/internal/volume"
)

// TestWay holds how parity is computed: nothing but what is written, and whether it can
// be read back, decides.
func TestWay(t *testing.T) {
	const gib = 1 << 30
	percent, spare := volume.Protection{Percent: 5}, volume.Protection{Spare: 1}
	for _, c := range []struct {
		what string
		size int64
		sink Sink
		o    Options
		want way
	}{
		{"no parity", gib, folderSink{}, Options{}, noParity},
		{"a small one", gib, folderSink{}, Options{Parity: percent}, behind},
		{"a small one, packed small", gib, folderSink{}, Options{Parity: percent, Pack: Small}, behind},
		{"a large one", 5 * gib, folderSink{}, Options{Parity: percent}, follow},
		{"a large one, packed small", 5 * gib, folderSink{}, Options{Parity: percent, Pack: Small}, large},
		{"a large one with spare volumes", 5 * gib, folderSink{}, Options{Parity: spare, Pack: Small}, behind},
		{"a small tar", gib, tarSink{}, Options{Parity: percent}, onTheWay},
		{"a large tar", 5 * gib, tarSink{}, Options{Parity: percent, Pack: Small}, onTheWay},
	} {
		w := &writing{contents: &Contents{items: []item{{Descriptor: oci.Descriptor{Size: c.size}}}}, sink: c.sink, options: c.o}
		if got := w.way(); got != c.want {
			t.Errorf("%s: way %d, want %d", c.what, got, c.want)
		}
	}
}

type tarSink struct{}

func (tarSink) Create(string) (io.WriteCloser, error) { return nil, io.ErrClosedPipe }
func (tarSink) Put(string, []byte) error              { return io.ErrClosedPipe }

type folderSink struct{ tarSink }

func (folderSink) Open(string) (io.ReaderAt, error) { return nil, io.ErrClosedPipe }
