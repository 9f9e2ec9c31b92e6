package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// receiving is the flags of receive.
type receiving struct {
	trusted commands.Trust
	sftp    commands.SFTP
	output  commands.Output
}

func receiveCommand(env *cli.Env) *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use:   "receive SOURCE… DIR",
		Short: "Copy a bundle from sticks, a server or a pipe into a folder, proven",
		Long: `Copies a bundle into a folder. It must be signed by somebody you trust, and every
block is proven before it is written. What is whole in the folder stays, what
was cut goes on; the bundle there is complete when SHA256SUMS stands. A source
is a folder (several: the sticks that a bundle is spread over), a tar file,
sftp://[user@]host[:port]/folder, or - for a tar stream on standard input.

A stream that ends early is incomplete: what came of it is kept, and the same
stream sent again completes it. What came damaged is made again from parity.`,
		Example: `  unbundle receive - /srv/bundles/shop-1.4.0 < /dev/diode
  unbundle receive sftp://courier@far.example/releases/shop-1.4.0 /srv/bundles/shop-1.4.0
  unbundle receive /media/usb1 /media/usb2 /srv/bundles/shop-1.4.0`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return r.run(cmd, env, args[:last], args[last])
		},
	}
	r.trusted.Add(cmd)
	r.sftp.Add(cmd)
	r.output.Add(cmd)
	return cmd
}

func (r *receiving) run(cmd *cobra.Command, env *cli.Env, from []string, to string) error {
	if len(from) == 1 && from[0] == "-" {
		return r.stream(cmd, env, to)
	}
	allowed, err := r.trusted.Read()
	if err != nil {
		return err
	}
	files, err := commands.OpenBundles(cmd, env, &r.sftp, from, filepath.Dir(filepath.Clean(to)))
	if err != nil {
		return err
	}
	defer files.Close()
	verified, err := manifest.Open(files, allowed, env.Now())
	if err != nil {
		return commands.AsIncomplete(err, from[0])
	}
	space, err := volume.NewReader(verified, files)
	if err != nil {
		return err
	}
	defer space.Close()
	dir, err := transfer.NewDir(to)
	if err != nil {
		return err
	}
	there, err := transfer.OpenDir(to)
	if err != nil {
		return err
	}
	medium, err := transfer.MediumOf(to)
	if err != nil {
		return err
	}
	if need := verified.Manifest().SpaceSize() + verified.Manifest().Parity.Size(); medium.Free < need {
		return fmt.Errorf("%q has %s free, and the bundle takes %s", to, cli.Bytes(medium.Free), cli.Bytes(need))
	}
	state := filepath.Join(to, ".journal") // of an unfinished copy
	journal, err := transfer.OpenJournal(state)
	if err != nil {
		return err
	}
	show, stop := cli.Progress(env.Stderr, r.output.Quiet)
	b := &journey.Bundle{Texts: verified.Unproven(), Files: space.Files(files)}
	outcome, err := b.Send(cmd.Context(), dir, there, transfer.Sender{Journal: journal, Progress: show})
	if err == nil && outcome != journey.Already {
		outcome, err = journey.ReadBack(cmd.Context(), dir, b.Texts.Sums(), show)
	}
	stop()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	commands.NoteRepairs(env, space, from[0])
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "received %s into %s: %s\n", verified.Manifest().Title(), to, outcome)
	return err
}
