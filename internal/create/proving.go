package create

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"airlock/internal/archive"
	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// proving is the search for a gzip blob's recipe, which hands on its content.
type proving struct {
	content *io.PipeReader
	to      *io.PipeWriter
	sum     hash.Hash
	size    int64

	done   chan struct{} // closed when the rest is set
	recipe *gzipexact.Recipe
	err    error
}

func newProving() *proving {
	p := &proving{sum: sha256.New(), done: make(chan struct{})}
	p.content, p.to = io.Pipe()
	return p
}

// run looks for the recipe of a spooled blob while its content is read.
func (p *proving) run(ctx context.Context, a *apartItem) {
	defer close(p.done)
	recipe, err := p.prove(ctx, a)
	if err == nil {
		p.recipe = &recipe
	}
	if errors.Is(err, gzipexact.ErrUnknown) || errors.Is(err, gzipexact.ErrNotGzip) {
		err = nil
	}
	p.err = err
	p.to.CloseWithError(err) // nil: io.EOF
}

// prove returns a recipe of just the bytes that the blob's digest names.
func (p *proving) prove(ctx context.Context, a *apartItem) (gzipexact.Recipe, error) {
	r, err := a.spool.reader()
	if err != nil {
		return gzipexact.Recipe{}, err
	}
	sum := sha256.New()
	recipe, err := gzipexact.Analyze(io.TeeReader(until{ctx, r}, sum), p)
	if err == nil {
		err = archive.CheckDigest(a.Digest, manifest.Digest(sum.Sum(nil)))
	}
	return recipe, err
}

// Write takes the next bytes of content.
func (p *proving) Write(b []byte) (int, error) {
	p.size += int64(len(b))
	p.sum.Write(b)
	return p.to.Write(b)
}

// proof waits for the recipe; nil: there is none.
func (p *proving) proof() (*archive.Content, error) {
	<-p.done
	if p.err != nil || p.recipe == nil {
		return nil, p.err
	}
	return &archive.Content{Digest: manifest.Digest(p.sum.Sum(nil)), Size: p.size, Recipe: *p.recipe}, nil
}

// stop makes run end where more content would be read.
func (p *proving) stop() { p.content.CloseWithError(errStopped) }

var errStopped = errors.New("the content is not read any more")

// until is a reader that fails once the context has ended.
type until struct {
	ctx context.Context
	io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}
