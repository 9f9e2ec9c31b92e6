package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"airlock/internal/aside"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// setAside makes a folder of its own for a bundle that is read back while it is
// packed, on its way to where that is not possible: a stream or a server.
func (c *creation) setAside(env *cli.Env, o create.Options) (err error) {
	if o.Plain() || c.out != "-" && !commands.IsURL(c.out) {
		return nil
	}
	for _, path := range aside.RemoveAbandoned(c.from.spool) {
		c.note(env, fmt.Sprintf("%s is removed: a create that was killed has left it", path))
	}
	c.aside, err = aside.Make(c.from.spool)
	return err
}

// unsetAside has the bundle go straight to where it is to be, if it was settled
// that nothing will be read back.
func (c *creation) unsetAside(o *create.Options) error {
	if c.aside == nil || !o.Plain() {
		return nil
	}
	err := c.aside.Remove()
	c.aside = nil
	return errors.Join(err, c.shape(o))
}

// at is where the bundle is written at first.
func (c *creation) at() string {
	if c.aside != nil {
		return c.aside.Path
	}
	return c.out
}

// clear removes what was set aside, unless all of it is there and has not got
// further. Then it gets another name, so that nobody removes it.
func (c *creation) clear(ctx context.Context, err error) error {
	if c.aside == nil {
		return err
	}
	if _, serr := os.Stat(filepath.Join(c.aside.Path, manifest.SumsName)); err == nil || serr != nil || ctx.Err() != nil {
		return errors.Join(err, c.aside.Remove())
	}
	kept := cli.Quote(c.aside.Keep())
	return cli.Hint(err, "all was packed, and is kept in %s; to send it on, and remove it then: bundle send %[1]s %s && rm -r %[1]s", kept, cli.Quote(c.out))
}

// asideTarget packs into the folder that was set aside and sends it on: to a
// stream at the end, for a tar tells the sizes of files first.
func (c *creation) asideTarget(cmd *cobra.Command, env *cli.Env, size int64) (*target, error) {
	c.note(env, fmt.Sprintf("it is packed in %s first, which is removed at the end: packing small reads back what was written", c.aside.Path))
	if err := checkSpace(c.aside.Path, size); err != nil {
		return nil, err
	}
	dir, err := transfer.NewDir(c.aside.Path)
	if err != nil {
		return nil, err
	}
	if c.out != "-" {
		return c.followedTarget(cmd.Context(), env, dir, size)
	}
	w, err := standardOutput(cmd)
	if err != nil {
		return nil, err
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that goes away is an error of Write, and does not end the process
	return &target{
		sink: dir,
		finish: func(ctx context.Context, _ *create.Result, show progress.Sink) error {
			err := sendFolder(c.aside.Path, func(b *journey.Bundle) error { return stream(ctx, b, w, show) })
			if err == nil {
				err = c.aside.Remove()
			}
			return err
		},
		abandon:  func() error { return nil },
		farewell: toStandardOutput,
	}, nil
}

// followedTarget packs into the folder that was set aside, and sends it on to a
// server meanwhile. What has not arrived in this way goes once all is packed, as
// bundle send sends it.
func (c *creation) followedTarget(ctx context.Context, env *cli.Env, dir *transfer.Dir, size int64) (*target, error) {
	server, err := c.freeServer(ctx, env, size)
	if err != nil {
		return nil, err
	}
	f := aside.Follow(dir, server)
	return &target{
		sink: f,
		finish: func(ctx context.Context, _ *create.Result, show progress.Sink) error {
			err := f.End(show)
			if err != nil && ctx.Err() == nil {
				f.Clear()
				err = sendFolder(c.aside.Path, func(b *journey.Bundle) error { return sendToServer(ctx, b, server, show) })
			}
			if err == nil {
				err = c.aside.Remove()
			}
			return errors.Join(err, server.Close())
		},
		abandon: func() error {
			err := server.Close()
			f.Leave()
			return err
		},
		farewell: "written to " + c.out,
	}, nil
}

// sendFolder opens the bundle in a folder for send.
func sendFolder(path string, send func(*journey.Bundle) error) error {
	files, err := media.Open(path)
	if err != nil {
		return err
	}
	defer files.Close()
	texts, err := manifest.Read(files)
	if err != nil {
		return err
	}
	return send(&journey.Bundle{Texts: texts, Files: files})
}

func sendToServer(ctx context.Context, b *journey.Bundle, server *transfer.Server, show progress.Sink) error {
	journal, err := openJournal()
	if err != nil {
		return err
	}
	_, err = sendAndSettle(ctx, b, server, transfer.Sender{Journal: journal, Progress: show})
	return err
}

// stream writes the bundle to a pipe. It ends with ctx: a write that nobody
// reads cannot be broken off, so it is left behind.
func stream(ctx context.Context, b *journey.Bundle, w io.Writer, show progress.Sink) error {
	done := make(chan error, 1)
	go func() { done <- b.Stream(w, show) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
