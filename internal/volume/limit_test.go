package volume

import (
	"errors"
	"io"
	"testing"

	"airlock/internal/manifest"
)

// TestTooManyVolumes holds that volume 10 000 is not begun. The Writer is told
// that it stands at the end of 9999 already.
func TestTooManyVolumes(t *testing.T) {
	created := errors.New("created")
	w, err := NewWriter(Layout{Stem: "s", Size: manifest.BlockSize}, func(string) (io.WriteCloser, error) { return nil, created })
	if err != nil {
		t.Fatal(err)
	}
	w.offset = manifest.MaxVolumes * manifest.BlockSize
	if n, err := w.Write([]byte{1}); n != 0 || err == nil || errors.Is(err, created) {
		t.Errorf("%d bytes, %v", n, err)
	}
	w.Close()
}
