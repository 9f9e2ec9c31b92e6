package journey

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// Stream writes the bundle in tar form: its small files in front, as copy.tar,
// so that whoever receives it can prove every block as it comes; then all files
// as in a folder, SHA256SUMS last.
func (b *Bundle) Stream(w io.Writer, show progress.Sink) error {
	t := transfer.NewTar(w)
	texts, err := b.texts()
	if err != nil {
		return err
	}
	if err := t.Put(manifest.CopyName, manifest.MarshalCopy(texts)); err != nil {
		return err
	}
	for _, f := range b.Texts.Manifest.Large() {
		if err := b.streamFile(t, f, show); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if name == manifest.SumsName {
			continue
		}
		if err := t.Put(name, texts[name]); err != nil {
			return err
		}
	}
	if err := t.Put(manifest.SumsName, b.Texts.Text()); err != nil {
		return err
	}
	return t.Close()
}

func (b *Bundle) streamFile(t *transfer.Tar, listed manifest.Volume, show progress.Sink) error {
	f, err := b.Files.Open(listed.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != listed.Size {
		return fmt.Errorf("%q has %d bytes, want %d", listed.Name, info.Size(), listed.Size)
	}
	task := show.Start(listed.Name, listed.Size)
	defer task.Done()
	return t.PutFrom(listed.Name, listed.Size, io.TeeReader(f, counter{task}))
}

// counter tells a task of bytes.
type counter struct{ progress.Task }

func (c counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

// texts returns the small files: those that are listed, the signatures and
// SHA256SUMS.
func (b *Bundle) texts() (map[string][]byte, error) {
	names := b.small()
	for _, principal := range b.Texts.Signatures {
		name, err := manifest.SignatureName(principal)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	files := map[string][]byte{manifest.SumsName: b.Texts.Text()}
	for _, name := range names {
		data, err := fs.ReadFile(b.Files, name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}
