package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// receiving is the flags of receive.
type receiving struct {
	readBack bool
	lost     bool
	trusted  commands.Trust
	sftp     commands.SFTP
	output   commands.Output
}

func receiveCommand(env *cli.Env) *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use:   "receive SOURCE… DIR",
		Short: "Copy a bundle from sticks, a server or a pipe into a folder, proven",
		Long: `Copies a bundle into a folder. It must be signed by somebody you trust, and every
block is proven before it is written. What is whole in the folder stays, what
was cut goes on; the bundle there is complete, and durable, when SHA256SUMS
stands. On a medium that can be taken away it is read back past the page cache
as well, on a fixed disk with --read-back. A source is a folder, a tar file,
sftp://[user@]host[:port]/folder, or - for a tar stream on standard input.

A bundle that is spread over sticks comes from several sources at once, or stick
by stick in any order: the next one is asked for, or named in another run, and
what has arrived stays. Where a stick is lost, and the bundle has parity enough,
what was on it is made again: type "lost" when it is asked for, or say --lost.

A stream that ends early is incomplete: what came of it is kept, and the same
stream sent again completes it. What came damaged is made again from parity.`,
		Example: `  unbundle receive sftp://courier@far.example/releases/shop-1.4.0 /srv/bundles/shop-1.4.0
  unbundle receive /media/usb1 /media/usb2 /srv/bundles/shop-1.4.0
  unbundle receive /media/usb /srv/bundles/shop-1.4.0
  unbundle receive --lost /media/usb /srv/bundles/shop-1.4.0
  unbundle receive - /srv/bundles/shop-1.4.0 < /dev/diode`,
		Args: cli.Args("SOURCE", "DIR…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return r.run(cmd, env, args[:last], args[last])
		},
	}
	cmd.Flags().BoolVar(&r.readBack, "read-back", false, "read back from a fixed disk too what was written there")
	cmd.Flags().BoolVar(&r.lost, "lost", false, "no further stick will come: make what is missing again from parity")
	r.trusted.Add(cmd)
	r.sftp.Add(cmd)
	r.output.Add(cmd)
	return cmd
}

// readsBack reports whether what was received is read back from DIR: always
// where the medium can be taken away.
func (r *receiving) readsBack(to string) (bool, error) {
	medium, err := transfer.MediumOf(to)
	return r.readBack || medium.Removable, err
}

func (r *receiving) run(cmd *cobra.Command, env *cli.Env, from []string, to string) error {
	if err := r.sftp.Needed(cmd, from...); err != nil {
		return err
	}
	if err := commands.CheckMounted(to); err != nil {
		return err
	}
	if len(from) == 1 && from[0] == "-" {
		if r.lost {
			return cli.Usagef("--lost is for sticks: of a stream, what is missing is made again by itself")
		}
		return r.stream(cmd, env, to)
	}
	in := &arrival{receiving: r, cmd: cmd, env: env, to: to, state: filepath.Join(to, ".journal")}
	open := r.sftp.Opener(cmd, env, filepath.Dir(filepath.Clean(to)))
	left, err := in.take(open, from)
	if err != nil {
		return err
	}
	asker, place := commands.NewAsker(env), from[len(from)-1]
	for left != nil {
		answer, err := asker.Ask(cmd.Context(), left.question(place), transfer.NewWatch(place).Mounted)
		if errors.Is(err, commands.ErrNoTerminal) {
			return in.later(left, place)
		}
		if err != nil {
			return err
		}
		next, at := (*remainder)(nil), cmp.Or(answer, place)
		if answer == lostAnswer {
			err, at = in.without(left, left.there), place
		} else {
			next, err = in.take(open, []string{at})
		}
		if err != nil && cmd.Context().Err() != nil {
			return err
		}
		if err != nil { // is said, and another stick can be put in
			fmt.Fprintf(env.Stderr, "%s: %s: %s\n", cmd.Root().Name(), cli.Printable(at), cli.Printable(err.Error()))
			continue
		}
		left, place = next, at
	}
	return nil
}

// received is receive's result for programs.
type received struct {
	Release   string            `json:"release"`
	Folder    string            `json:"folder"`
	Outcome   string            `json:"outcome"`
	MadeAgain *commands.Repairs `json:"madeAgain,omitempty"`
	Missing   []string          `json:"missing,omitempty"`  // volumes that no source has had yet
	Makeable  bool              `json:"makeable,omitempty"` // parity can make all of them again: --lost
}

// tell prints the result.
func (r *receiving) tell(cmd *cobra.Command, result received) error {
	if r.output.JSON {
		return commands.PrintJSON(cmd, result)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "received %s into %s: %s\n", result.Release, result.Folder, result.Outcome)
	return err
}

// arrival is a bundle on its way into a folder.
type arrival struct {
	*receiving
	cmd   *cobra.Command
	env   *cli.Env
	to    string
	state string // folder of the journal of an unfinished copy
	from  []string
	made  commands.Repairs // so far
}

// take takes in what the sources have. It returns what remains to come: nil
// when the bundle is complete.
func (in *arrival) take(open commands.Opener, from []string) (*remainder, error) {
	allowed, err := in.trusted.Read()
	if err != nil {
		return nil, err
	}
	set, err := commands.OpenSet(open, from)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	verified, err := manifest.Open(set, allowed, in.env.Now())
	if err != nil {
		return nil, commands.AsIncomplete(err, from[0], set)
	}
	in.from = from
	left := &remainder{verified: verified}
	if left.dir, err = transfer.NewDir(in.to); err != nil {
		return nil, err
	}
	if left.there, err = transfer.OpenDir(in.to); err != nil {
		return nil, err
	}
	b := &journey.Bundle{Texts: verified.Unproven(), Files: set}
	have, err := b.Look(left.there)
	if errors.Is(err, journey.ErrOther) {
		return nil, cli.Hint(fmt.Errorf("%q: %w", in.to, err), "this is %s; receive it into another folder", left.title())
	}
	if err != nil {
		return nil, err
	}
	if err := checkRoom(in.to, verified.Manifest(), have.Bytes()); err != nil {
		return nil, err
	}
	// What earlier sticks have brought is read where it is.
	b.Files = set.With(left.there)
	if _, left.missing, err = media.Present(b.Files, b.Texts.Manifest.Large()); err != nil {
		return nil, err
	}
	if _, left.stick, err = set.Missing(); err != nil {
		return nil, err
	}
	if !left.elsewhere() {
		return nil, in.whole(left, b.Files)
	}
	if in.lost {
		return nil, in.final(left, set)
	}
	if err := in.part(left, b); err != nil {
		return nil, left.explain(err)
	}
	return left, left.judge()
}

// part copies the volumes that the sources have, but not the missing ones.
func (in *arrival) part(left *remainder, b *journey.Bundle) error {
	var names []string
	for _, v := range b.Texts.Manifest.Large() {
		if !slices.Contains(left.missing, v.Name) {
			names = append(names, v.Name)
		}
	}
	return in.copying(func(ctx context.Context, sender transfer.Sender) error {
		return b.SendPart(ctx, left.dir, left.there, sender, names)
	})
}

// whole copies what is left of a bundle of which nothing is missing, or can be
// made again, and reads it back where that is to be done.
func (in *arrival) whole(left *remainder, files fs.FS) error {
	reads, err := in.readsBack(in.to)
	if err != nil {
		return err
	}
	space, err := volume.NewReader(left.verified, files)
	if err != nil {
		return err
	}
	defer space.Close()
	b := &journey.Bundle{Texts: left.verified.Unproven(), Files: space.Files(files), Proven: true}
	var outcome journey.Outcome
	err = in.copying(func(ctx context.Context, sender transfer.Sender) error {
		outcome, err = b.Send(ctx, left.dir, left.there, sender)
		if err != nil || outcome == journey.Already {
			return err
		}
		if !reads {
			b.Settle(left.dir, sender)
			return nil
		}
		outcome, err = b.ReadBack(ctx, left.dir, sender)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(in.state); err != nil {
		return err
	}
	in.made.Add(space)
	if left.elsewhere() {
		in.noteLost()
	} else {
		in.made.Note(in.env, in.from...)
	}
	return in.tell(in.cmd, received{Release: left.title(), Folder: in.to, Outcome: outcome.String(), MadeAgain: in.made.Result()})
}

// copying runs a step with a sender that shows how it gets on.
func (in *arrival) copying(step func(context.Context, transfer.Sender) error) error {
	journal, err := transfer.OpenJournal(in.state)
	if err != nil {
		return err
	}
	show, stop := cli.Progress(in.env.Stderr, in.output.Quiet)
	defer stop()
	return step(in.cmd.Context(), transfer.Sender{Journal: journal, Progress: show})
}
