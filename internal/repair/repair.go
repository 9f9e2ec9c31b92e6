// Package repair brings a damaged bundle back to the bytes that were signed:
// in its place, or as a whole one beside it.
package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// ErrOther is wrapped where the place beside holds another bundle already.
var ErrOther = errors.New("it holds a bundle already, and nothing of it is overwritten")

// Result tells what was wrong and has been put right.
type Result struct {
	Blocks int      // made again
	Files  []string // volumes and parity files that were written to, or all beside
	Texts  []string // small files, copy.tar among them
}

// InPlace mends the bundle that r reads from the folder to. Bad blocks are
// written where they belong, files that are missing made aside and renamed. If
// anything is lost for good, nothing is written and the error is the
// *volume.Damage. It may be called again after it failed.
func InPlace(ctx context.Context, r *volume.Reader, to *transfer.Dir, show progress.Sink) (*Result, error) {
	d, err := r.Survey(ctx, show, func(volume.Block, []byte) error { return nil })
	if err != nil {
		return nil, err
	}
	if !d.Repairable() {
		return nil, d
	}
	m := mending{reader: r, to: to, sizes: sizes(r), open: map[string]*transfer.Amendment{}}
	defer m.abandon()
	m.begin = func(name string) (*transfer.Amendment, error) {
		if slices.Contains(d.Files, name) {
			return to.Rebuild(name)
		}
		return to.Amend(name)
	}
	for _, name := range slices.Concat(d.Files, d.Cut) {
		if _, err := m.file(name); err != nil {
			return nil, err
		}
	}
	if err := r.Mend(ctx, d, show, m.write); err != nil {
		return nil, err
	}
	files, err := m.finish()
	if err != nil {
		return nil, err
	}
	if len(d.Texts) > 0 {
		if err := m.texts(d.Texts); err != nil {
			return nil, err
		}
	}
	return &Result{Blocks: len(d.Bad), Files: files, Texts: d.Texts}, to.Sync()
}

// Beside makes a whole bundle in the folder to, whose files there lists, of
// what r reads: every file is made aside and renamed, SHA256SUMS last.
func Beside(ctx context.Context, r *volume.Reader, to *transfer.Dir, there fs.FS, show progress.Sink) (*Result, error) {
	if _, err := manifest.ReadSums(there); err == nil {
		return nil, ErrOther
	} else if !errors.Is(err, manifest.ErrIncomplete) {
		return nil, err
	}
	m := mending{reader: r, to: to, sizes: sizes(r), open: map[string]*transfer.Amendment{}, begin: to.Rebuild}
	defer m.abandon()
	for _, f := range r.Verified().Manifest().Large() {
		if _, err := m.file(f.Name); err != nil {
			return nil, err
		}
	}
	d, err := r.Survey(ctx, show, m.write)
	if err != nil {
		return nil, err
	}
	if !d.Repairable() {
		return nil, d
	}
	if err := r.Mend(ctx, d, show, m.write); err != nil {
		return nil, err
	}
	files, err := m.finish()
	if err != nil {
		return nil, err
	}
	var texts []string
	for name := range r.Verified().Texts() {
		if name != manifest.SumsName {
			texts = append(texts, name)
		}
	}
	if r.Verified().Manifest().Parity != nil {
		texts = append(texts, manifest.CopyName)
	}
	slices.Sort(texts)
	if err := m.texts(append(texts, manifest.SumsName)); err != nil {
		return nil, err
	}
	return &Result{Blocks: len(d.Bad), Files: files, Texts: d.Texts}, to.Sync()
}

// mending is the writing of files that are being made whole.
type mending struct {
	reader *volume.Reader
	to     *transfer.Dir
	sizes  map[string]int64
	begin  func(name string) (*transfer.Amendment, error)
	open   map[string]*transfer.Amendment
}

// sizes returns what the volumes and parity files have to measure.
func sizes(r *volume.Reader) map[string]int64 {
	all := map[string]int64{}
	for _, f := range r.Verified().Manifest().Large() {
		all[f.Name] = f.Size
	}
	return all
}

// file opens a file that is to be written to, and gives it its size.
func (m *mending) file(name string) (*transfer.Amendment, error) {
	if f, ok := m.open[name]; ok {
		return f, nil
	}
	f, err := m.begin(name)
	if err != nil {
		return nil, err
	}
	m.open[name] = f
	return f, f.Truncate(m.sizes[name])
}

// write writes a block where it belongs.
func (m *mending) write(b volume.Block, data []byte) error {
	f, err := m.file(b.File)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, b.Index*manifest.BlockSize)
	return err
}

// finish makes what was written durable, and returns the names.
func (m *mending) finish() ([]string, error) {
	var names []string
	for name := range m.open {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := m.open[name]
		delete(m.open, name)
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (m *mending) abandon() {
	for _, f := range m.open {
		f.Abandon()
	}
}

// texts writes small files as they were proven.
func (m *mending) texts(names []string) error {
	v := m.reader.Verified()
	for _, name := range names {
		data, ok := v.Text(name)
		if name == manifest.CopyName {
			data, ok = v.Copy(), true
		}
		if !ok {
			return fmt.Errorf("%q is not a small file of the bundle", name)
		}
		if err := m.to.Put(name, bytes.Clone(data)); err != nil {
			return err
		}
	}
	if v.Manifest().Parity != nil && !slices.Contains(names, manifest.CopyName) {
		return m.to.Put(manifest.CopyName, v.Copy())
	}
	return nil
}
