package intake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// maxFiles is how many files of a bundle a stream may have.
const maxFiles = 1 << 15

// Take reads a stream to its end. Bytes that lie there already are not written
// again, and a block that is proven by texts that came before is not overwritten.
// A stream that ends early is an error wrapping manifest.ErrIncomplete; what
// came of it stays. Take ends with ctx, though a read of the stream may stay behind.
func (f *Folder) Take(ctx context.Context, stream io.Reader, show progress.Sink) error {
	t := &taking{folder: f, show: show, seen: map[string]bool{}, next: make([]byte, manifest.BlockSize), there: make([]byte, manifest.BlockSize)}
	done := make(chan error, 1)
	go func() { done <- t.run(ctx, stream) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taking is one call of Take.
type taking struct {
	folder      *Folder
	show        progress.Sink
	seen        map[string]bool
	last        string // file
	next, there []byte // a block each
}

func (t *taking) run(ctx context.Context, stream io.Reader) error {
	in := tar.NewReader(stream)
	for {
		header, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, tar.ErrHeader):
			return fmt.Errorf("%w behind %q; what came before it is kept", tarfs.ErrMalformed, t.last)
		case err != nil:
			return t.cut(err)
		}
		if err := t.entry(ctx, header, in); err != nil {
			return err
		}
	}
}

// cut is the error of a stream that broke off.
func (t *taking) cut(cause error) error {
	where := "before its first file"
	if t.last != "" {
		where = fmt.Sprintf("in or behind %q", t.last)
	}
	return fmt.Errorf("%w: the stream ended %s (%w); what came of it is kept", manifest.ErrIncomplete, where, cause)
}

// entry takes one file. Names that no file of a bundle has are passed over.
func (t *taking) entry(ctx context.Context, header *tar.Header, from io.Reader) error {
	name := strings.TrimPrefix(header.Name, "./")
	if header.Typeflag == tar.TypeDir {
		return nil
	}
	if header.Typeflag != tar.TypeReg || header.Size < 0 {
		return fmt.Errorf("%w: %q is no regular file", tarfs.ErrMalformed, strings.ToValidUTF8(name, "?"))
	}
	_, signature := manifest.SignaturePrincipal(name)
	if name != manifest.SumsName && !signature && manifest.CheckName(name) != nil {
		return nil
	}
	if t.seen[name] || len(t.seen) == maxFiles {
		return fmt.Errorf("%w: %q comes twice, or more than %d files come", tarfs.ErrMalformed, name, maxFiles)
	}
	t.seen[name], t.last = true, name
	if name == manifest.SumsName && (t.folder.Complete() || t.folder.known != nil) {
		return t.compare(header.Size, from)
	}
	if t.folder.Complete() {
		return nil // the reader passes over it
	}
	if known := t.folder.known; known != nil && known.texts[name] != nil {
		return t.keep(name)
	}
	if err := t.file(ctx, name, header.Size, from); err != nil {
		return err
	}
	if t.folder.known == nil && (name == manifest.CopyName || name == manifest.SumsName) {
		return t.folder.learn()
	}
	return nil
}

// compare looks whether the bundle that is known is the one that comes.
func (t *taking) compare(size int64, from io.Reader) error {
	if size > manifest.MaxSums {
		return nil
	}
	text, err := io.ReadAll(from)
	if err != nil {
		return t.cut(err)
	}
	root := manifest.DigestOf(text)
	if _, err := manifest.ParseSums(text); err == nil && root != t.folder.root() {
		return fmt.Errorf("%w: its root is %s, and that of the folder's %s", ErrOther, root, t.folder.root())
	}
	if t.folder.Complete() {
		return nil
	}
	return t.keep(manifest.SumsName) // if it came damaged, it is known all the same
}

// keep writes a small file that is known, if it is not there.
func (t *taking) keep(name string) error {
	if exists(t.folder.path, aside, name) {
		return nil
	}
	return t.folder.in.Put(name, t.folder.known.texts[name])
}

// file takes a file's bytes, block by block.
func (t *taking) file(ctx context.Context, name string, size int64, from io.Reader) (err error) {
	f, err := t.open(name, size)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	task := t.show.Start(name, size)
	defer task.Done()
	for at := int64(0); at < size; at += manifest.BlockSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := t.next[:min(manifest.BlockSize, size-at)]
		n, err := io.ReadFull(from, data)
		if n > 0 {
			if werr := t.block(f, name, at, data[:n]); werr != nil {
				return werr
			}
		}
		if err != nil {
			return t.cut(err)
		}
		task.Add(int64(n))
	}
	if have, err := f.Size(); err != nil || have > size {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// open opens the file to be continued, where an earlier try left it.
func (t *taking) open(name string, size int64) (*transfer.Amendment, error) {
	// A try that was broken off at its very end has moved some files already.
	if !exists(t.folder.path, aside, name) && exists(t.folder.path, name) {
		if err := t.folder.in.Adopt(t.folder.to, name); err != nil {
			return nil, err
		}
	}
	f, err := t.folder.in.Continue(name)
	if err != nil {
		return nil, err
	}
	have, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	medium, err := transfer.MediumOf(t.folder.path)
	if err == nil {
		err = medium.Takes(name, size)
	}
	if err == nil && medium.Free < size-have {
		err = fmt.Errorf("%w: %q has %s free, and %q of the stream takes %s", transfer.ErrFull, t.folder.path, human.Bytes(medium.Free), name, human.Bytes(size-have))
	}
	if err != nil {
		f.Abandon()
		return nil, err
	}
	return f, nil
}

// block writes bytes of one block, unless they or better ones are there.
func (t *taking) block(f *transfer.Amendment, name string, at int64, data []byte) error {
	index := at / manifest.BlockSize
	n, _ := f.ReadAt(t.there, at) // what cannot be read is written
	if bytes.Equal(t.there[:min(n, len(data))], data) {
		return nil
	}
	if known := t.folder.known; known != nil {
		if size := known.size[name]; size > at && known.holds(name, index, t.there[:min(int64(n), size-at)]) {
			return nil
		}
	}
	_, err := f.WriteAt(data, at)
	return err
}

func exists(path ...string) bool {
	_, err := os.Lstat(filepath.Join(path...))
	return err == nil
}
