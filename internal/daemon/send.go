package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// job is an image to be sent.
type job struct {
	name  string // for people
	id    manifest.Digest
	bytes int64 // of blobs that it reads from the bundle
	// files returns what is sent, the document that makes an image of it last;
	// read is told of bytes from the bundle. With exact, no size is guessed.
	files func(ctx context.Context, exact bool, read func(int)) ([]file, error)
	needs []*job        // they carry what this one leaves out
	done  chan struct{} // closed when the Engine has it
}

// load is Load.
func (e *Engine) load(ctx context.Context, r *release, p *load.Plan, show progress.Sink) error {
	jobs, err := e.store.jobs(ctx, r, p)
	if err != nil {
		return err
	}
	if len(jobs) > 0 { // else the Engine was just asked
		if err := e.sendAll(ctx, jobs, show); err != nil {
			return err
		}
		if err := e.store.check(ctx, r); err != nil {
			return err
		}
	}
	return e.setNames(ctx, r, p)
}

// check is Check.
func (e *Engine) check(ctx context.Context, r *release, p *load.Plan) error {
	if err := e.store.check(ctx, r); err != nil {
		return err
	}
	return e.checkNames(ctx, p.Names)
}

// sendAll sends the images, several at a time. They start in order, so that
// one that waits for another never keeps that one from starting.
func (e *Engine) sendAll(ctx context.Context, jobs []*job, show progress.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(e.parallel)
	for _, j := range jobs {
		group.Go(func() error {
			task := show.Start(j.name, j.bytes)
			defer task.Done()
			if err := e.send(ctx, j, task); err != nil {
				return fmt.Errorf("image %q: %w", j.name, err)
			}
			close(j.done)
			return nil
		})
	}
	return group.Wait()
}

// send sends an image, a second time if the size of a layer was guessed wrong.
func (e *Engine) send(ctx context.Context, j *job, task progress.Task) error {
	err := e.try(ctx, j, task, false)
	if errors.Is(err, errSize) {
		err = e.try(ctx, j, progress.Discard.Start("", 0), true)
		if errors.Is(err, errSize) { // counted, yet other bytes now
			err = fmt.Errorf("%w: %w", ErrRejected, err)
		}
	}
	return err
}

func (e *Engine) try(ctx context.Context, j *job, task progress.Task, exact bool) error {
	files, err := j.files(ctx, exact, func(n int) { task.Add(int64(n)) })
	if err != nil {
		return err
	}
	_, err = e.api.ImageInspect(ctx, j.id.String())
	isNew := cerrdefs.IsNotFound(err)
	err = e.post(ctx, newTarball(ctx, files, func(ctx context.Context) error { return waitFor(ctx, j.needs) }))
	if err != nil && isNew && ctx.Err() == nil {
		// What an Engine made of a bad image is not left to be named by hand.
		if _, removing := e.api.ImageRemove(ctx, j.id.String(), client.ImageRemoveOptions{}); removing != nil && !cerrdefs.IsNotFound(removing) {
			err = errors.Join(err, fmt.Errorf("removing %s: %w", j.id, removing))
		}
	}
	return err
}

// waitFor returns when the Engine has all of them.
func waitFor(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// post sends a tar to be loaded. The tar's own error comes first: the
// connection's is only what follows from it.
func (e *Engine) post(ctx context.Context, t *tarball) error {
	err := e.exchange(ctx, t)
	if t.err != nil && !errors.Is(t.err, io.EOF) {
		return t.err
	}
	return err
}

func (e *Engine) exchange(ctx context.Context, t *tarball) error {
	answer, err := e.api.ImageLoad(ctx, t, client.ImageLoadWithQuiet(true))
	if err != nil {
		return err
	}
	defer answer.Close()
	return readAnswer(answer)
}

// maxAnswer bounds what is read of an answer, in messages.
const maxAnswer = 1 << 20

// unpackFailed begins what an Engine with a containerd store says, among other
// lines and without calling it an error, of an image it cannot unpack.
const unpackFailed = "Error unpacking image"

// readAnswer reads the Engine's messages to their end and returns the first
// error among them.
func readAnswer(r io.Reader) error {
	decoder := json.NewDecoder(r)
	for range maxAnswer {
		var m struct {
			jsonstream.Message
			Plain string `json:"error"` // as old Engines spell it too
		}
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the engine's answer: %w", err)
		case m.Error != nil:
			return fmt.Errorf("engine: %w", m.Error)
		case m.Plain != "":
			return fmt.Errorf("engine: %s", m.Plain)
		case strings.HasPrefix(m.Stream, unpackFailed):
			return fmt.Errorf("%w: engine: %s", ErrRejected, strings.TrimSpace(m.Stream))
		}
	}
	return errors.New("reading the engine's answer: no end to it")
}
