// Package journey brings the files of a bundle from where they are to another
// folder or server: what is whole there stays, what was cut goes on, SHA256SUMS
// comes last, and a folder is read back past the page cache before it is
// called safe.
package journey

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/media"
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

	Proven bool // Files hands out proven bytes only
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
// called again after it failed: what is whole there stays, blocks that differ
// are written, what is missing is sent. A place that has files of another
// bundle is an error that wraps ErrOther.
func (b *Bundle) Send(ctx context.Context, to Place, there fs.FS, sender transfer.Sender) (Outcome, error) {
	return b.send(ctx, load{to: to, there: there, sender: sender, names: b.names()})
}

// SendStick is Send for one of the sticks that the bundle is spread over: it
// gets the stick's files, and all that any single stick has.
func (b *Bundle) SendStick(ctx context.Context, to Place, there fs.FS, sender transfer.Sender, stick media.Stick) (Outcome, error) {
	stick.Root = b.Texts.Root
	return b.send(ctx, load{to: to, there: there, sender: sender, names: append(b.small(), stick.Files...), stick: &stick})
}

// SendPart brings these files of the bundle to a place that is not complete
// with them: SHA256SUMS does not come along.
func (b *Bundle) SendPart(ctx context.Context, to Place, there fs.FS, sender transfer.Sender, names []string) error {
	_, err := b.send(ctx, load{to: to, there: there, sender: sender, names: append(b.small(), names...), part: true})
	return err
}

// ReadStick reads back what SendStick has brought.
func (b *Bundle) ReadStick(ctx context.Context, at Place, sender transfer.Sender, stick media.Stick) (Outcome, error) {
	return b.readBack(ctx, at, sender, append(b.small(), stick.Files...))
}

// ReadBack reads back what Send has brought. Where the medium holds other
// bytes, it is not called complete any more (SHA256SUMS goes), the error wraps
// ErrChanged, and the next Send writes these blocks anew.
func (b *Bundle) ReadBack(ctx context.Context, at Place, sender transfer.Sender) (Outcome, error) {
	return b.readBack(ctx, at, sender, b.names())
}

// names returns the listed names: the small files, then the large ones.
func (b *Bundle) names() []string {
	names := b.small()
	for _, f := range b.large() {
		names = append(names, f.Name)
	}
	return names
}

// small returns the listed names of the small files.
func (b *Bundle) small() []string {
	large := map[string]bool{}
	for _, f := range b.large() {
		large[f.Name] = true
	}
	return slices.DeleteFunc(b.Texts.Sums().Names(), func(name string) bool { return large[name] })
}

// large returns the files whose blocks are listed, in the order in which they are.
func (b *Bundle) large() []manifest.Volume { return b.Texts.Manifest.Large() }

// signatures writes the signatures, side by side.
func (b *Bundle) signatures(to Place) error {
	var g errgroup.Group
	err := b.eachSignature(func(name string, armored []byte) error {
		g.Go(func() error { return to.Put(name, armored) })
		return nil
	})
	return errors.Join(err, g.Wait())
}

// eachSignature calls do with each signature file of the bundle.
func (b *Bundle) eachSignature(do func(name string, armored []byte) error) error {
	for _, principal := range b.Texts.Signatures {
		name, err := manifest.SignatureName(principal)
		if err != nil {
			return err
		}
		armored, err := fs.ReadFile(b.Files, name)
		if err != nil {
			return err
		}
		if err := do(name, armored); err != nil {
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
