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
	"airlock/internal/human"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// sending is the flags of send.
type sending struct {
	to       []string
	readBack bool
	span     bool
	anew     bool
	replace  bool
	media    string
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
A place that has another bundle on it, or a part of one, is refused; --replace
removes that one first. Several destinations are served one after the other,
each with its own result.
BUNDLE is a folder or a tar file; a destination is a folder,
sftp://[user@]host[:port]/folder, or - for a tar stream on standard output, which
may be sent as often as it takes: unbundle receive - DIR keeps what came.

With --span, a bundle that is larger than one stick is spread over several, each
with whole volumes and all small files: the destinations named take one part
each, and the next stick is asked for. It goes on with any of the sticks after
a cut, and with the next one in another run.

With --answer only the blocks go that a request of unbundle repair asks for, as
one file, each proven: to a folder, a server, a new file, or - for standard
output.`,
		Example: `  bundle send out /media/usb
  bundle send --span out /media/usb
  bundle send out sftp://courier@far.example/releases/shop-1.4.0 --limit-rate 5MB/s
  bundle send out /media/usb --answer lost.txt --trust allowed_signers`,
		Args: cli.Args("BUNDLE…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, env, args[0], append(args[1:], s.to...))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.to, "to", nil, "another `DESTINATION`")
	f.BoolVar(&s.readBack, "read-back", false, "read back from SFTP servers too, which costs the way back")
	f.BoolVar(&s.span, "span", false, "spread the bundle over several sticks, each with a part of the volumes")
	f.BoolVar(&s.anew, "anew", false, "with --span: forget which sticks earlier runs have written, and plan anew")
	f.BoolVar(&s.replace, "replace", false, "remove another bundle, or what is left of one, from the folders first")
	addMedium(cmd, &s.media)
	s.answer.add(cmd)
	s.sftp.Add(cmd)
	s.output.Add(cmd)
	return cmd
}

// sent is send's result at one destination, for programs.
type sent struct {
	Destination string `json:"destination"`
	Stick       string `json:"stick,omitempty"` // such as "stick 2 of 3"
	Outcome     string `json:"outcome,omitempty"`
	Error       string `json:"error,omitempty"`
}

func (s *sending) run(cmd *cobra.Command, env *cli.Env, path string, to []string) error {
	if len(to) == 0 {
		return cli.Usagef("where to? name a folder or an sftp:// URL")
	}
	if err := s.sftp.Needed(cmd, to...); err != nil {
		return err
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
		return commands.AsIncomplete(err, path, files)
	}
	b := &journey.Bundle{Texts: texts, Files: files}
	if to[0] == "-" {
		return s.toStream(cmd, env, b, to)
	}
	if s.span {
		return s.spread(cmd, env, path, b, to)
	}
	if s.anew {
		return cli.Usagef("--anew goes with --span")
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
	onto, err := parseMedium(s.media)
	if err != nil {
		return journey.Written, err
	}
	if err := onto.fits(b.Texts.Manifest.Large()); err != nil {
		return journey.Written, err
	}
	if commands.IsURL(place) {
		return s.toServer(ctx, env, b, place, sender)
	}
	if _, err := checkPlace(place, 0); err != nil {
		return journey.Written, err
	}
	to, there, err := s.replacing(b, place)
	if err != nil {
		return journey.Written, err
	}
	if err := checkRoom(place, b, onto, there); err != nil {
		return journey.Written, err
	}
	if outcome, err := b.Send(ctx, to, there, sender); err != nil {
		return outcome, explainOther(err)
	}
	outcome, err := b.ReadBack(ctx, to, sender)
	return outcome, explainChanged(err)
}

func (s *sending) toServer(ctx context.Context, env *cli.Env, b *journey.Bundle, place string, sender transfer.Sender) (journey.Outcome, error) {
	server, err := s.sftp.Dial(ctx, env, place)
	if err != nil {
		return journey.Written, err
	}
	defer server.Close()
	if !s.readBack {
		outcome, err := sendAndSettle(ctx, b, server, sender)
		return outcome, explainFull(err)
	}
	if outcome, err := b.Send(ctx, server, server.Files(), sender); err != nil {
		return outcome, explainFull(err)
	}
	return b.ReadBack(ctx, server, sender)
}

// explainFull says what to do about a server that has no room left.
func explainFull(err error) error {
	if errors.Is(err, transfer.ErrFull) {
		return cli.Hint(err, "make room there and run the same command again (what has arrived stays), or choose another place")
	}
	return err
}

// sendAndSettle brings the bundle to a server, where it is not read back.
func sendAndSettle(ctx context.Context, b *journey.Bundle, server *transfer.Server, sender transfer.Sender) (journey.Outcome, error) {
	outcome, err := b.Send(ctx, server, server.Files(), sender)
	if err == nil {
		b.Settle(server, sender)
	}
	return outcome, err
}

// replacing opens a folder to send the bundle to, and what is there. Another
// bundle there is removed first if that was asked for.
func (s *sending) replacing(b *journey.Bundle, place string) (*transfer.Dir, *transfer.Folder, error) {
	dir, err := transfer.NewDir(place)
	if err != nil {
		return nil, nil, err
	}
	there, err := transfer.OpenDir(place)
	if err != nil {
		return nil, nil, err
	}
	_, err = b.Look(there)
	if errors.Is(err, journey.ErrOther) && s.replace {
		return dir, there, s.clear(b, place, dir, there)
	}
	if err != nil {
		return nil, nil, explainOther(err)
	}
	return dir, there, nil
}

// clear removes another bundle, unless the place would not take this one even
// then: nobody should end up with neither.
func (s *sending) clear(b *journey.Bundle, place string, dir *transfer.Dir, there fs.FS) error {
	if !s.span {
		onto, err := parseMedium(s.media)
		if err != nil {
			return err
		}
		freed, err := journey.Clearable(there)
		if err != nil {
			return err
		}
		if err := roomWith(place, b, onto, freed); err != nil {
			return err
		}
	}
	return journey.Clear(dir, there)
}

func explainOther(err error) error {
	if errors.Is(err, journey.ErrOther) {
		return cli.Hint(err, "choose another folder, or add --replace to have the other bundle removed there first")
	}
	return err
}

// checkRoom refuses a folder that cannot take a bundle, before anything is
// written. What an earlier run has left there of it counts as free.
func checkRoom(place string, b *journey.Bundle, onto medium, there fs.FS) error {
	have, err := b.Look(there)
	if err != nil {
		return err
	}
	return roomWith(place, b, onto, have.Bytes())
}

// roomWith is checkRoom where so many bytes count as free beside what is.
func roomWith(place string, b *journey.Bundle, onto medium, freed int64) error {
	m, err := transfer.MediumOf(place)
	if err != nil {
		return err
	}
	sizes, err := b.SmallSizes()
	if err != nil {
		return err
	}
	for _, v := range b.Texts.Manifest.Large() {
		if err := m.Takes(v.Name, v.Size); err != nil {
			return cli.Hint(err, "volumes are cut when a bundle is made: bundle create --media fat32 …; or use a medium with exFAT, which takes files of any size")
		}
		sizes = append(sizes, v.Size)
	}
	if onto.capacity > 0 && total(sizes) > onto.room() {
		err = fmt.Errorf("%s has %s, and %s has room for %s", b.Texts.Manifest.Title(), human.Bytes(total(sizes)), onto, human.Bytes(onto.room()))
	} else {
		m.Free += freed
		err = m.Fits(sizes...)
	}
	return cli.Hint(err, "make room, choose another place, or spread the bundle over several sticks: bundle send --span …")
}

// openJournal opens the folder that remembers what is durable elsewhere.
func openJournal() (*transfer.Journal, error) {
	path, err := stateFolder("journal")
	if err != nil {
		return nil, err
	}
	return transfer.OpenJournal(path)
}

// stateFolder is where this program keeps what it has to remember.
func stateFolder(name string) (string, error) {
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "airlock", name), err
}
