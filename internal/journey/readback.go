package journey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

func (b *Bundle) readBack(ctx context.Context, at Place, sender transfer.Sender, names []string) (Outcome, error) {
	want := manifest.Sums{manifest.SumsName: manifest.DigestOf(b.Texts.Text())}
	for _, name := range names {
		want[name] = b.Texts.Sums()[name]
	}
	if err := b.eachSignature(func(name string, armored []byte) error {
		want[name] = manifest.DigestOf(armored)
		return nil
	}); err != nil {
		return Written, err
	}
	if sender.Progress == nil {
		sender.Progress = progress.Discard
	}
	outcome, wrong, err := ReadBack(ctx, at, want, sender.Progress)
	for _, name := range wrong {
		f, ferr := b.openFile(name)
		if errors.Is(ferr, fs.ErrNotExist) {
			continue
		}
		if ferr == nil {
			ferr = errors.Join(sender.Forget(at, f.File), f.closer.Close())
		}
		err = errors.Join(err, ferr)
	}
	if err == nil {
		b.settle(at, sender, names)
	}
	return outcome, err
}

// ReadBack reads files of a place back and compares their hashes. Those that
// are others or cannot be read are returned with an error; the place is not
// called complete any more then, so that the next attempt writes them anew.
func ReadBack(ctx context.Context, at Place, want manifest.Sums, show progress.Sink) (outcome Outcome, wrong []string, err error) {
	names := want.Names()
	files, err := at.ReadBack(ctx, show, names...)
	if err != nil && ctx.Err() == nil && errors.Is(err, transfer.ErrIO) {
		wrong = append(wrong, names[len(files)])
	}
	outcome = ReadMedium
	for _, f := range files {
		if manifest.Digest(f.SHA256) != want[f.Name] {
			wrong = append(wrong, f.Name)
			err = errors.Join(err, fmt.Errorf("%w: %q", ErrChanged, f.Name))
		}
		if f.Source != transfer.FromMedium {
			outcome = ReadCached
		}
	}
	if err == nil {
		return outcome, nil, nil
	}
	if r, ok := at.(remover); ok && len(wrong) > 0 {
		// What cannot be written either stays as it is: the error is told.
		_ = r.Remove(manifest.SumsName)
	}
	return Written, wrong, err
}
