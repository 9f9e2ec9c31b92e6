package media_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/media"
	"airlock/internal/progress"
	"airlock/internal/transfer"
	"airlock/internal/trust"
)

const goldenDir = "../archive/testdata/golden"

// goldenTar returns the golden bundle in tar form.
func goldenTar(t testing.TB, prefix string) []byte {
	t.Helper()
	entries, err := os.ReadDir(goldenDir)
	if err != nil || len(entries) == 0 {
		t.Fatal(len(entries), err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(goldenDir, e.Name()))
		must(t, err)
		must(t, w.WriteHeader(&tar.Header{Name: prefix + e.Name(), Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg}))
		_, err = w.Write(data)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// prove opens a bundle and proves all of it.
func prove(t testing.TB, files fs.FS) {
	t.Helper()
	text, err := os.ReadFile("../archive/testdata/allowed_signers")
	must(t, err)
	allowed, err := trust.ParseAllowedSigners(text)
	must(t, err)
	blobs, err := archive.Open(files, allowed, bundletest.Created)
	must(t, err)
	defer blobs.Close()
	must(t, blobs.Verify(t.Context(), progress.Discard))
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.tar")
	must(t, os.WriteFile(path, goldenTar(t, "./"), 0o644))
	for _, p := range []string{goldenDir, path} {
		files, err := media.Open(p)
		must(t, err)
		prove(t, files)
		must(t, files.Close())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	must(t, os.WriteFile(text, []byte("no tar file"), 0o644))
	cut := filepath.Join(dir, "cut.tar")
	must(t, os.WriteFile(cut, goldenTar(t, "")[:3000], 0o644))
	for _, path := range []string{text, cut, os.DevNull} {
		if files, err := media.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", path, files, err)
		}
	}
	if _, err := media.Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestReceive takes a stream that is a pipe, and one that is a file.
func TestReceive(t *testing.T) {
	raw := goldenTar(t, "")
	spool := t.TempDir()
	files, err := media.Receive(io.MultiReader(bytes.NewReader(raw)), spool)
	must(t, err)
	prove(t, files)
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("%v lies in the spool folder, %v", left, err)
	}
	must(t, files.Close())

	path := filepath.Join(t.TempDir(), "bundle.tar")
	must(t, os.WriteFile(path, raw, 0o644))
	f, err := os.Open(path)
	must(t, err)
	files, err = media.Receive(f, filepath.Join(spool, "absent"))
	must(t, err)
	prove(t, files)
	must(t, files.Close())
}

func TestReceiveRefuses(t *testing.T) {
	raw, spool := goldenTar(t, ""), t.TempDir()
	broken := errors.New("connection reset")
	for what, stream := range map[string]io.Reader{
		"nothing":        strings.NewReader(""),
		"no tar file":    strings.NewReader(strings.Repeat("x", 2000)),
		"cut":            bytes.NewReader(raw[:len(raw)/2]),
		"cut by its end": bytes.NewReader(raw[:len(raw)-1024]),
		"broken":         io.MultiReader(bytes.NewReader(raw[:1500]), failing{broken}),
		"endless zeros":  io.MultiReader(bytes.NewReader(raw), &zeros{left: 1 << 40}),
	} {
		files, err := media.Receive(struct{ io.Reader }{stream}, spool)
		if err == nil {
			t.Errorf("%s: %v", what, files)
		}
		if noBundle := strings.HasPrefix(what, "no"); errors.Is(err, media.ErrNoBundle) != noBundle || (what != "broken" && !strings.Contains(err.Error(), "standard input")) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "broken" && !errors.Is(err, broken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A file of more bytes than the folder has room for is refused at its header.
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "shop.000.vol", Size: 1 << 60, Typeflag: tar.TypeReg}))
	if _, err := media.Receive(&b, spool); !errors.Is(err, transfer.ErrFull) || !strings.Contains(err.Error(), "free, and the next file of the stream takes 1.2 EB") {
		t.Errorf("2^60 bytes: %v", err)
	}
	if _, err := media.Receive(&b, filepath.Join(spool, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("%v lies in the spool folder, %v", left, err)
	}
}

type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	clear(p)
	z.left -= int64(len(p))
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
