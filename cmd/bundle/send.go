package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// sending is the flags of send.
type sending struct {
	to       []string
	readBack bool
	answer   answering
	sftp     commands.SFTP
	output   commands.Output
}

func sendCommand(env *cli.Env) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send BUNDLE DESTINATION…",
		Short: "Copy a bundle to sticks, folders and SFTP servers",
		Long: `Copies a bundle so that it cannot get lost on the way: what is whole at the
destination stays, what was cut goes on where it stopped, SHA256SUMS comes last.
A folder is read back past the page cache before it is called safe to remove.
Several destinations are served one after the other, each with its own result.
BUNDLE is a folder or a tar file; a destination is a folder,
sftp://[user@]host[:port]/folder, or - for a tar stream on standard output, which
may be sent as often as it takes: unbundle receive - DIR keeps what came.

With --answer only the blocks go that a request of unbundle repair asks for, as
one file, each proven: to a folder, a server, a new file, or - for standard
output.`,
		Example: `  bundle send out /media/usb
  bundle send out sftp://courier@far.example/releases/shop-1.4.0 --limit-rate 5MB/s
  bundle send out /media/usb --answer lost.txt --trust allowed_signers`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, env, args[0], append(args[1:], s.to...))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.to, "to", nil, "another `DESTINATION`")
	f.BoolVar(&s.readBack, "read-back", false, "read back from SFTP servers too, which costs the way back")
	s.answer.add(cmd)
	s.sftp.Add(cmd)
	s.output.Add(cmd)
	return cmd
}

// sent is send's result at one destination, for programs.
type sent struct {
	Destination string `json:"destination"`
	Outcome     string `json:"outcome,omitempty"`
	Error       string `json:"error,omitempty"`
}

func (s *sending) run(cmd *cobra.Command, env *cli.Env, path string, to []string) error {
	if len(to) == 0 {
		return cli.Usagef("where to? name a folder or an sftp:// URL")
	}
	if s.answer.request != "" {
		return s.answer.run(cmd, env, s, path, to)
	}
	files, err := commands.OpenBundle(cmd, path, ".")
	if err != nil {
		return err
	}
	defer files.Close()
	texts, err := manifest.Read(files)
	if err != nil {
		return commands.AsIncomplete(err, path)
	}
	b := &journey.Bundle{Texts: texts, Files: files}
	if to[0] == "-" {
		return s.stream(cmd, env, b, to)
	}
	show, stop := cli.Progress(env.Stderr, s.output.Quiet)
	var results []sent
	var failed []error
	for _, place := range to {
		outcome, err := s.send(cmd.Context(), env, b, place, show)
		result := sent{Destination: place, Outcome: outcome.String()}
		if err != nil {
			err = fmt.Errorf("%s: %w", place, err)
			result = sent{Destination: place, Error: err.Error()}
			failed = append(failed, err)
		}
		results = append(results, result)
	}
	stop()
	if err := s.tell(cmd, texts, results); err != nil {
		return err
	}
	return errors.Join(failed...)
}

func (s *sending) tell(cmd *cobra.Command, texts *manifest.Unverified, results []sent) error {
	if s.output.JSON {
		return commands.PrintJSON(cmd, results)
	}
	for _, r := range results {
		if r.Error == "" {
			fmt.Fprintf(cmd.OutOrStdout(), "%s to %s: %s\n", texts.Manifest.Title(), r.Destination, r.Outcome)
		}
	}
	return nil
}

// send brings the bundle to one place.
func (s *sending) send(ctx context.Context, env *cli.Env, b *journey.Bundle, place string, show progress.Sink) (journey.Outcome, error) {
	journal, err := openJournal()
	if err != nil {
		return journey.Written, err
	}
	sender := transfer.Sender{Journal: journal, Progress: show}
	to, there, err := openPlace(ctx, env, &s.sftp, place)
	if err != nil {
		return journey.Written, err
	}
	if server, ok := to.(*transfer.Server); ok {
		defer server.Close()
	} else if err := checkRoom(place, b); err != nil {
		return journey.Written, err
	}
	outcome, err := b.Send(ctx, to, there, sender)
	if err != nil || (commands.IsURL(place) && !s.readBack) {
		return outcome, err
	}
	return journey.ReadBack(ctx, to, b.Texts.Sums(), show)
}

// openPlace opens a folder or a server to write to, and what is there.
func openPlace(ctx context.Context, env *cli.Env, sftp *commands.SFTP, place string) (journey.Place, fs.FS, error) {
	if commands.IsURL(place) {
		server, err := sftp.Dial(ctx, env, place)
		if err != nil {
			return nil, nil, err
		}
		return server, server.Files(), nil
	}
	dir, err := transfer.NewDir(place)
	if err != nil {
		return nil, nil, err
	}
	there, err := transfer.OpenDir(place)
	return dir, there, err
}

// checkRoom refuses a folder that cannot take a bundle, before anything is
// written. What an earlier run has left there counts as free.
func checkRoom(place string, b *journey.Bundle) error {
	m, err := transfer.MediumOf(place)
	if err != nil {
		return err
	}
	var sizes []int64
	for _, v := range b.Texts.Manifest.Large() {
		if _, err := os.Stat(filepath.Join(place, v.Name)); err != nil {
			sizes = append(sizes, v.Size)
		}
	}
	return m.Fits(sizes...)
}

// openJournal opens the folder that remembers what is durable elsewhere.
func openJournal() (*transfer.Journal, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	return transfer.OpenJournal(filepath.Join(home, ".local", "state", "airlock", "journal"))
}
