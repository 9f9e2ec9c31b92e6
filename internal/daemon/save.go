package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/distribution/reference"

	"airlock/internal/dockertar"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// Saved is an image that was saved from an Engine: a tar with random access,
// as docker save writes it. Its file has no name and is gone when it is closed.
type Saved struct {
	*os.File
	Size int64           // bytes
	ID   manifest.Digest // what the Engine calls the image: the digest of its config, or of its index or manifest
	// Documents says that the tar is an OCI layout as well and ID a document in
	// it. An Engine with a classic store has forgotten the documents.
	Documents bool
}

// Image opens what was saved as an image, under its ID: the tar names no tag.
// It can be read until s is closed.
func (s *Saved) Image() (*dockertar.Source, error) {
	fsys, err := tarfs.NewWithLinks(s, s.Size)
	if err != nil {
		return nil, fmt.Errorf("saved image %s: %w", s.ID, err)
	}
	source, err := dockertar.Open(fsys, "@"+s.ID.String())
	if err != nil {
		return nil, fmt.Errorf("saved image %s: %w", s.ID, err)
	}
	return source, nil
}

// The spool file must hold the tar: the image's size as the Engine gives it,
// and a tenth more for what it does not count.
func spoolSize(image int64) int64 { return image + image/10 + 1<<20 }

// Save has the Engine write the image NAME[:TAG] or sha256:ID to a file in
// dir, which must have room for all of it.
func (e *Engine) Save(ctx context.Context, name, dir string, show progress.Sink) (*Saved, error) {
	ref, err := parseSource(name)
	if err != nil {
		return nil, err
	}
	found, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	id, err := manifest.ParseDigest(found.ID)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	need := spoolSize(found.Size)
	if free, err := transfer.FreeSpace(dir); err == nil && free < need {
		return nil, fmt.Errorf("image %q: saving it takes %d bytes in %q, %d are free", name, need, dir, free)
	}
	_, documents := e.store.(*containerd)
	s := &Saved{ID: id, Documents: documents}
	task := show.Start(name, found.Size)
	defer task.Done()
	if err := e.spool(ctx, s, dir, task); err != nil {
		return nil, fmt.Errorf("saving image %q: %w", name, err)
	}
	return s, nil
}

// parseSource returns the reference or ID to ask the Engine for.
func parseSource(name string) (string, error) {
	if id, ok := strings.CutPrefix(name, "@"); ok {
		name = id
	}
	if d, err := manifest.ParseDigest(name); err == nil {
		return d.String(), nil
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return reference.TagNameOnly(ref).String(), nil
}

// spool fills s. The image is asked for by its ID, so that a name that moves
// meanwhile changes nothing.
func (e *Engine) spool(ctx context.Context, s *Saved, dir string, task progress.Task) error {
	stream, err := e.api.ImageSave(ctx, []string{s.ID.String()})
	if err != nil {
		return err
	}
	defer stream.Close()
	if s.File, err = os.CreateTemp(dir, "airlock-save-*.partial"); err != nil {
		return err
	}
	if err := os.Remove(s.Name()); err != nil {
		return errors.Join(err, s.Close())
	}
	in := counted{contextReader{ctx, stream}, func(n int) { task.Add(int64(n)) }}
	if s.Size, err = io.Copy(s.File, in); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
