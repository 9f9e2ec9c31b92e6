package create_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// TestSmallIntoATar packs a layer and one that differs from it a little, with
// volumes that are read back from the tar and one that is still in memory.
func TestSmallIntoATar(t *testing.T) {
	kit, s, g := bundletest.NewKit(t), newSource(), newGeneration(3<<20)
	first := zip(t, 6, g.content)
	g.next()
	s.image("linux/amd64", first, zip(t, 6, g.content))
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	write := func(to create.Sink) *create.Result {
		result, err := contents.Write(t.Context(), to, create.Options{
			Pack: create.Small, Bases: archive.NewBases(), Spool: t.TempDir(), Progress: progress.Discard, VolumeSize: manifest.BlockSize,
			Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}},
		})
		must(t, err)
		return result
	}
	folder := t.TempDir()
	dir, err := transfer.NewDir(folder)
	must(t, err)
	if r := write(dir); len(r.Manifest.Volumes) < 2 || r.Manifest.SpaceSize() > int64(len(first))*3/2 {
		t.Fatalf("volumes %v, packed from two layers of %d bytes", r.Manifest.Volumes, len(first))
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "x.tar"))
	must(t, err)
	defer f.Close()
	to := transfer.NewTarFile(f)
	write(to)
	must(t, to.Close())
	_, err = f.Seek(0, io.SeekStart)
	must(t, err)
	names := 0
	for r := tar.NewReader(f); ; names++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		got, err := io.ReadAll(r)
		must(t, err)
		if want, err := os.ReadFile(filepath.Join(folder, h.Name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than in a folder: %v", h.Name, err)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != names {
		t.Errorf("%d files in the tar, %d in the folder: %v", names, len(files), err)
	}
}
