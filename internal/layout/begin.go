package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeDir makes the folder if there is none, durably, and reports whether it did.
func makeDir(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	above, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return true, err
	}
	defer above.Close()
	return true, above.Sync()
}

// removeDir removes a folder that was made for nothing. It stays if there is
// something in it.
func removeDir(dir string, made bool) error {
	if entries, err := os.ReadDir(dir); !made || err != nil || len(entries) > 0 {
		return nil
	}
	return os.Remove(dir)
}

// begin makes what every layout has, and removes what a killed load left. The
// oci-layout file is first: it tells the next load whose the folder is.
func (w *writer) begin(ctx context.Context) error {
	for _, dir := range []string{".", blobsDir} {
		if err := w.sweep(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, err := w.root.Lstat(markName); errors.Is(err, fs.ErrNotExist) {
		w.begun = true
		text := `{"imageLayoutVersion":"` + version + `"}`
		if err := w.put(ctx, markName, int64(len(text)), strings.NewReader(text)); err != nil {
			return err
		}
	}
	return w.root.MkdirAll(blobsDir, 0o777)
}

// sweep removes the unfinished files in a folder.
func (w *writer) sweep(dir string) error {
	entries, err := fs.ReadDir(w.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ours) || !strings.HasSuffix(e.Name(), partial) {
			continue
		}
		if err := w.root.Remove(dir + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// undo removes what a failed load has begun and put nothing into. A folder
// that cannot be removed is not empty.
func (w *writer) undo() {
	if _, err := w.root.Lstat(indexName); !w.begun || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, name := range []string{blobsDir, "blobs", markName} {
		if err := w.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
