// Package journey brings the files of a bundle from where they are to another
// folder or server: what is whole there stays, what was cut goes on, SHA256SUMS
// comes last, and a folder is read back past the page cache before it is
// called safe.
package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// ErrOther is wrapped where a place holds another bundle already.
var ErrOther = errors.New("it holds another bundle already, and nothing of it is overwritten")

// ErrChanged is wrapped where a medium gave back other bytes than were written.
var ErrChanged = errors.New("the medium gives back other bytes than were written")

// Bundle is a bundle's files, to be sent.
type Bundle struct {
	Texts *manifest.Unverified
	Files fs.FS // each an io.ReaderAt
}

// Place is where a bundle is brought to: a *transfer.Dir or *transfer.Server.
type Place interface {
	transfer.Dest
	Sync() error
	ReadBack(ctx context.Context, sink progress.Sink, names ...string) ([]transfer.ReadFile, error)
}

// Outcome says how a bundle got to a place.
type Outcome int

// Outcomes of Send and ReadBack.
const (
	Written    Outcome = iota // not read back
	Already                   // it was there
	ReadCached                // read back, but perhaps from memory
	ReadMedium                // read back from the medium itself
)

// Send brings the bundle to a place whose present files there lists. It may be
// called again after it failed.
func (b *Bundle) Send(ctx context.Context, to Place, there fs.FS, sender transfer.Sender) (Outcome, error) {
	if sums, err := manifest.ReadSums(there); err == nil {
		if !bytes.Equal(sums, b.Texts.Text()) {
			return Written, ErrOther
		}
		return Already, errors.Join(b.signatures(to), b.Copy(to))
	} else if !errors.Is(err, manifest.ErrIncomplete) {
		return Written, err
	}
	if err := removeCopy(to, there); err != nil {
		return Written, err
	}
	files, closers, err := b.listed()
	defer func() {
		for _, c := range closers {
			c.Close()
		}
	}()
	if err != nil {
		return Written, err
	}
	if err := sender.Send(ctx, to, files...); err != nil {
		return Written, err
	}
	if err := errors.Join(b.signatures(to), b.Copy(to)); err != nil {
		return Written, err
	}
	if err := to.Put(manifest.SumsName, b.Texts.Text()); err != nil {
		return Written, err
	}
	return Written, to.Sync()
}

// removeCopy removes the copy.tar that is there without a bundle: it may have
// the texts of another one, which would then seem to be damaged.
func removeCopy(to Place, there fs.FS) error {
	at, ok := to.(interface{ Remove(name string) error })
	if _, err := fs.Stat(there, manifest.CopyName); err != nil || !ok {
		return nil
	}
	return at.Remove(manifest.CopyName)
}

// listed opens the files that SHA256SUMS lists, volumes in their order last.
func (b *Bundle) listed() ([]transfer.File, []io.Closer, error) {
	var files []transfer.File
	var closers []io.Closer
	for _, name := range b.names() {
		f, err := b.Files.Open(name)
		if err != nil {
			return nil, closers, err
		}
		closers = append(closers, f)
		info, err := f.Stat()
		if err != nil {
			return nil, closers, err
		}
		at, ok := f.(io.ReaderAt)
		if !ok {
			return nil, closers, fmt.Errorf("%q cannot be read at random", name)
		}
		files = append(files, transfer.File{Name: name, Size: info.Size(), SHA256: b.Texts.Sums()[name], Bytes: at})
	}
	return files, closers, nil
}

// names returns the listed names: the small files, then volumes and parity.
func (b *Bundle) names() []string {
	var large []string
	for _, f := range b.Texts.Manifest.Large() {
		large = append(large, f.Name)
	}
	return append(b.small(), large...)
}

// small returns the listed names but volumes and parity.
func (b *Bundle) small() []string {
	large := map[string]bool{}
	for _, f := range b.Texts.Manifest.Large() {
		large[f.Name] = true
	}
	return slices.DeleteFunc(b.Texts.Sums().Names(), func(name string) bool { return large[name] })
}

// signatures writes the signatures.
func (b *Bundle) signatures(to Place) error {
	for _, principal := range b.Texts.Signatures {
		name, err := manifest.SignatureName(principal)
		if err != nil {
			return err
		}
		armored, err := fs.ReadFile(b.Files, name)
		if err != nil {
			return err
		}
		if err := to.Put(name, armored); err != nil {
			return err
		}
	}
	return nil
}

// Copy writes the second place of the small files, which a bundle with parity
// has, with the signatures that there are.
func (b *Bundle) Copy(to interface {
	Put(name string, data []byte) error
}) error {
	if b.Texts.Manifest.Parity == nil {
		return nil
	}
	files, err := b.texts()
	if err != nil {
		return err
	}
	return to.Put(manifest.CopyName, manifest.MarshalCopy(files))
}

// Size returns how many bytes the bundle's volumes and parity have.
func (b *Bundle) Size() int64 { return b.Texts.Manifest.SpaceSize() + b.Texts.Manifest.Parity.Size() }

// ReadBack reads every listed file of a place back and compares its hash.
func ReadBack(ctx context.Context, at Place, sums manifest.Sums, show progress.Sink) (Outcome, error) {
	files, err := at.ReadBack(ctx, show, sums.Names()...)
	if err != nil {
		return Written, err
	}
	outcome := ReadMedium
	var wrong []error
	for _, f := range files {
		if manifest.Digest(f.SHA256) != sums[f.Name] {
			wrong = append(wrong, fmt.Errorf("%w: %q", ErrChanged, f.Name))
		}
		if f.Source != transfer.FromMedium {
			outcome = ReadCached
		}
	}
	return outcome, errors.Join(wrong...)
}

// String says the outcome for people.
func (o Outcome) String() string {
	switch o {
	case Already:
		return "it was there already"
	case ReadCached:
		return "read back, though perhaps from memory: unmount it before you remove it"
	case ReadMedium:
		return "read back from the medium: safe to remove"
	}
	return "written"
}
