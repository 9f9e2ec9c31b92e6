package layout

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestEarly holds that what was written is handed to write-back on the way, all but
// the last few bytes, and is what was given.
func TestEarly(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, data := &early{f: f}, bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	if err := fill(t.Context(), e, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if left := e.written - e.kicked; e.written != int64(len(data)) || left >= 8<<20 {
		t.Errorf("of %d bytes %d were written, and %d wait for the sync", len(data), e.written, left)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file has %d other bytes, %v", len(got), err)
	}
}
