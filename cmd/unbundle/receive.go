package main

import (
	"context"
	"errors"
	"fmt"
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
as well, on a fixed disk with --read-back. A source is a folder, a tar file, sftp://[user@]host[:port]/folder, or - for a tar stream
on standard input.

A bundle that is spread over sticks comes from several sources at once, or stick
by stick in any order: the next one is asked for, or named in another run, and
what has arrived stays.

A stream that ends early is incomplete: what came of it is kept, and the same
stream sent again completes it. What came damaged is made again from parity.`,
		Example: `  unbundle receive sftp://courier@far.example/releases/shop-1.4.0 /srv/bundles/shop-1.4.0
  unbundle receive /media/usb1 /media/usb2 /srv/bundles/shop-1.4.0
  unbundle receive /media/usb /srv/bundles/shop-1.4.0
  unbundle receive - /srv/bundles/shop-1.4.0 < /dev/diode`,
		Args: cli.Args("SOURCE", "DIR…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return r.run(cmd, env, args[:last], args[last])
		},
	}
	cmd.Flags().BoolVar(&r.readBack, "read-back", false, "read back from a fixed disk too what was written there")
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
	if err := checkMounted(to); err != nil {
		return err
	}
	if len(from) == 1 && from[0] == "-" {
		return r.stream(cmd, env, to)
	}
	in := &arrival{receiving: r, cmd: cmd, env: env, to: to, state: filepath.Join(to, ".journal")}
	open := r.sftp.Opener(cmd, env, filepath.Dir(filepath.Clean(to)))
	asker := commands.NewAsker(env)
	missing, stick, err := in.take(open, from)
	if err != nil {
		return err
	}
	for len(missing) > 0 {
		place := from[len(from)-1]
		path, err := asker.Ask(cmd.Context(), fmt.Sprintf("%s still missing. Put in the stick and mount it (at %s; elsewhere, type the folder; Enter goes on at once): ",
			commands.Names(missing), place), transfer.NewWatch(place).Mounted)
		if errors.Is(err, commands.ErrNoTerminal) {
			return errors.Join(r.incomplete(cmd, received{in.title, to, "incomplete", missing}), cli.Hint(fmt.Errorf("%w: %s of %s still to come, from another of %s", manifest.ErrIncomplete,
				cli.Count(len(missing), "volume"), in.title, cli.Count(stick.Count, "stick")),
				"put in the next stick, in any order, and run: unbundle receive STICK %s; if it is lost, parity may make it again: unbundle repair STICK… -o DIR", cli.Quote(to)))
		}
		if err != nil {
			return err
		}
		if path == "" {
			path = place
		}
		// What is wrong with one stick is said, and another one can be put in.
		left, of, err := in.take(open, []string{path})
		if err != nil && cmd.Context().Err() != nil {
			return err
		}
		if err != nil {
			fmt.Fprintf(env.Stderr, "%s: %s: %s\n", cmd.Root().Name(), cli.Printable(path), cli.Printable(err.Error()))
			continue
		}
		from, missing, stick = []string{path}, left, of
	}
	return nil
}

// received is receive's result for programs.
type received struct {
	Release string   `json:"release"`
	Folder  string   `json:"folder"`
	Outcome string   `json:"outcome"`
	Missing []string `json:"missing,omitempty"` // volumes that no source has had yet
}

// tell prints the result.
func (r *receiving) tell(cmd *cobra.Command, result received) error {
	if r.output.JSON {
		return commands.PrintJSON(cmd, result)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "received %s into %s: %s\n", result.Release, result.Folder, result.Outcome)
	return err
}

// incomplete prints what is missing for programs; people are told by the error.
func (r *receiving) incomplete(cmd *cobra.Command, result received) error {
	if !r.output.JSON {
		return nil
	}
	return commands.PrintJSON(cmd, result)
}

// arrival is a bundle on its way into a folder.
type arrival struct {
	*receiving
	cmd   *cobra.Command
	env   *cli.Env
	to    string
	state string // folder of the journal of an unfinished copy
	title string
	from  []string
}

// take takes in what the sources have. It returns the volumes that are still
// missing, and what is known of the sticks that they are on; none are when
// the bundle is complete.
func (in *arrival) take(open commands.Opener, from []string) ([]string, *media.Stick, error) {
	allowed, err := in.trusted.Read()
	if err != nil {
		return nil, nil, err
	}
	set, err := commands.OpenSet(open, from)
	if err != nil {
		return nil, nil, err
	}
	defer set.Close()
	verified, err := manifest.Open(set, allowed, in.env.Now())
	if err != nil {
		return nil, nil, commands.AsIncomplete(err, from[0])
	}
	in.title, in.from = verified.Manifest().Title(), from
	dir, err := transfer.NewDir(in.to)
	if err != nil {
		return nil, nil, err
	}
	there, err := transfer.OpenDir(in.to)
	if err != nil {
		return nil, nil, err
	}
	b := &journey.Bundle{Texts: verified.Unproven(), Files: set}
	have, err := b.Look(there)
	if errors.Is(err, journey.ErrOther) {
		return nil, nil, cli.Hint(fmt.Errorf("%q: %w", in.to, err), "this is %s; receive it into another folder", in.title)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := in.checkRoom(verified.Manifest(), have); err != nil {
		return nil, nil, err
	}
	// What earlier sticks have brought is read where it is.
	b.Files = set.With(there)
	missing, stick, err := in.missing(set, b)
	if err != nil {
		return nil, nil, err
	}
	if len(missing) > 0 && stick != nil {
		return missing, stick, in.part(b, dir, there, missing)
	}
	return nil, nil, in.whole(verified, b, dir, there)
}

// missing returns which volumes neither the sources nor the folder have.
func (in *arrival) missing(set *commands.Set, b *journey.Bundle) ([]string, *media.Stick, error) {
	_, missing, err := media.Present(b.Files, b.Texts.Manifest.Large())
	if err != nil {
		return nil, nil, err
	}
	_, stick, err := set.Missing()
	return missing, stick, err
}

func (in *arrival) checkRoom(m *manifest.Manifest, have *journey.Holding) error {
	return checkRoom(in.to, m, have.Bytes())
}

// part copies the volumes that the sources have, but not the missing ones.
func (in *arrival) part(b *journey.Bundle, dir *transfer.Dir, there *transfer.Folder, missing []string) error {
	var names []string
	for _, v := range b.Texts.Manifest.Large() {
		if !slices.Contains(missing, v.Name) {
			names = append(names, v.Name)
		}
	}
	return in.copying(func(ctx context.Context, sender transfer.Sender) error {
		return b.SendPart(ctx, dir, there, sender, names)
	})
}

// whole copies what is left of a bundle of which nothing is missing, and reads
// it back where that is to be done.
func (in *arrival) whole(verified *manifest.Verified, b *journey.Bundle, dir *transfer.Dir, there *transfer.Folder) error {
	reads, err := in.readsBack(in.to)
	if err != nil {
		return err
	}
	space, err := volume.NewReader(verified, b.Files)
	if err != nil {
		return err
	}
	defer space.Close()
	b.Files, b.Proven = space.Files(b.Files), true
	var outcome journey.Outcome
	err = in.copying(func(ctx context.Context, sender transfer.Sender) error {
		outcome, err = b.Send(ctx, dir, there, sender)
		if err != nil || outcome == journey.Already {
			return err
		}
		if !reads {
			b.Settle(dir, sender)
			return nil
		}
		outcome, err = b.ReadBack(ctx, dir, sender)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(in.state); err != nil {
		return err
	}
	commands.NoteRepairs(in.env, space, in.from...)
	return in.tell(in.cmd, received{Release: in.title, Folder: in.to, Outcome: outcome.String()})
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
