package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/intake"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/repair"
	"airlock/internal/transfer"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// stream receives a bundle from standard input.
func (r *receiving) stream(cmd *cobra.Command, env *cli.Env, to string) error {
	allowed, err := r.trusted.Read()
	if err != nil {
		return err
	}
	folder, err := intake.Open(to, allowed, env.Now())
	if err != nil {
		return err
	}
	show, stop := cli.Progress(env.Stderr, r.output.Quiet)
	title, outcome, err := r.takeIn(cmd.Context(), env, folder, cmd.InOrStdin(), streaming{to, allowed, show})
	stop()
	if errors.Is(err, manifest.ErrIncomplete) {
		return cli.Hint(err, "send the same stream again to the same folder: what came is kept in %s, and is not written again", cli.Quote(to))
	}
	if _, serr := os.Stat(intake.Aside(to)); errors.Is(err, intake.ErrOther) && serr != nil {
		return cli.Hint(err, "choose another folder")
	}
	if errors.Is(err, intake.ErrOther) {
		return cli.Hint(err, "choose another folder, or remove what came of that bundle: rm -r %s", cli.Quote(intake.Aside(to)))
	}
	if errors.Is(err, transfer.ErrFull) {
		return cli.Hint(err, "make room there and send the same stream again: what came is kept in %s", cli.Quote(to))
	}
	if err != nil {
		return err
	}
	return r.tell(cmd, received{Release: title, Folder: to, Outcome: outcome.String()})
}

// streaming says where a stream goes.
type streaming struct {
	to      string
	allowed *trust.AllowedSigners
	show    progress.Sink
}

// takeIn takes a stream, makes good what is bad of it, and moves it to its place.
func (r *receiving) takeIn(ctx context.Context, env *cli.Env, folder *intake.Folder, stream io.Reader, s streaming) (string, journey.Outcome, error) {
	if err := folder.Take(ctx, stream, s.show); err != nil {
		return "", journey.Already, err
	}
	if folder.Complete() {
		there, err := transfer.OpenDir(s.to)
		if err != nil {
			return "", journey.Already, err
		}
		v, err := manifest.Open(there, s.allowed, env.Now())
		if err != nil {
			return "", journey.Already, err
		}
		return v.Manifest().Title(), journey.Already, nil
	}
	files, err := folder.Files()
	if err != nil {
		return "", journey.Already, err
	}
	v, err := manifest.Open(files, s.allowed, env.Now())
	if err != nil {
		return "", journey.Already, err
	}
	if err := mendStream(ctx, env, folder, files, v, s); err != nil {
		return "", journey.Already, err
	}
	if err := folder.Finish(v); err != nil {
		return "", journey.Already, err
	}
	dir, err := transfer.NewDir(s.to)
	if err != nil {
		return "", journey.Already, err
	}
	outcome := journey.Written
	reads, err := r.readsBack(s.to)
	if err == nil && reads {
		outcome, _, err = journey.ReadBack(ctx, dir, v.Unproven().Sums(), s.show)
	}
	return v.Manifest().Title(), outcome, err
}

// mendStream proves what came, and makes again what is bad.
func mendStream(ctx context.Context, env *cli.Env, folder *intake.Folder, files fs.FS, v *manifest.Verified, s streaming) error {
	space, err := volume.NewHurtReader(v, files)
	if err != nil {
		return err
	}
	defer space.Close()
	done, err := repair.InPlace(ctx, space, folder.Aside(), s.show)
	if damage := (*volume.Damage)(nil); errors.As(err, &damage) {
		return cli.Hint(cli.Hint(err, "%s", cli.RejectedHint),
			"what came whole is kept in %s; send the same stream again to the same folder, and only what is bad is taken of it", cli.Quote(s.to))
	}
	if err != nil {
		return err
	}
	if done.Blocks+len(done.Texts) > 0 {
		fmt.Fprintf(env.Stderr, "unbundle: note: %s and %s came damaged, and were made again\n", cli.Count(done.Blocks, "block"), cli.Count(len(done.Texts), "small file"))
	}
	return nil
}
