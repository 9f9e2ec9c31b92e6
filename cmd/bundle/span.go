package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
)

// spanning is a bundle on its way to several sticks.
type spanning struct {
	*sending
	cmd    *cobra.Command
	env    *cli.Env
	bundle *journey.Bundle
	path   string // of the bundle
	onto   medium
	plan   *journey.PlanFile
	room   func(sizes []int64) error // of a stick that is not here yet
	coming []string                  // places that were named and are still to be written
	mounts map[string]string         // where the medium of each place was mounted
	result []sent
}

// spread writes one stick after the other: those named, then those asked for.
func (s *sending) spread(cmd *cobra.Command, env *cli.Env, path string, b *journey.Bundle, to []string) error {
	for _, place := range to {
		if commands.IsURL(place) {
			return cli.Usagef("--span is for sticks and folders: a server takes the whole bundle")
		}
	}
	onto, err := parseMedium(s.media)
	if err != nil {
		return err
	}
	if err := onto.fits(b.Texts.Manifest.Large()); err != nil {
		return err
	}
	kept, err := stateFolder("span")
	if err != nil {
		return err
	}
	plan, err := b.OpenPlan(kept)
	if err != nil {
		return err
	}
	if s.anew {
		*plan.Plan = journey.Plan{}
	}
	sp := &spanning{sending: s, cmd: cmd, env: env, bundle: b, path: path, onto: onto, plan: plan, mounts: map[string]string{}}
	err = sp.all(to)
	if s.output.JSON {
		err = errors.Join(commands.PrintJSON(cmd, sp.result), err)
	}
	return err
}

func (sp *spanning) all(to []string) error {
	for i, place := range to {
		sp.coming = to[i+1:]
		if err := sp.stick(place); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	place, asker := to[len(to)-1], commands.NewAsker(sp.env)
	for {
		number := sp.plan.Next()
		if number == 0 {
			return sp.tell("%s is on %s, and complete with all of them", sp.bundle.Texts.Manifest.Title(), cli.Count(len(sp.plan.Sticks), "stick"))
		}
		answer, err := asker.Ask(sp.cmd.Context(), fmt.Sprintf(
			"Put in %s and mount it (at %s; elsewhere, type the folder; Enter goes on at once): ", sp.plan.Stick(number), place),
			transfer.NewWatch(place).Mounted)
		if errors.Is(err, commands.ErrNoTerminal) {
			return sp.later(number)
		}
		if err != nil {
			return err
		}
		if answer == "" {
			answer = place
		}
		// What is wrong with one stick is said, and another one can be put in.
		if err := sp.typed(answer); err != nil {
			if sp.cmd.Context().Err() != nil {
				return err
			}
			sp.say("%s: %s", answer, err)
			continue
		}
		place = answer
	}
}

// typed writes the stick at a place that was typed. One that does not exist is
// a slip of the finger: to create it would fill this machine's own disk.
func (sp *spanning) typed(place string) error {
	if info, err := os.Stat(place); err != nil || !info.IsDir() {
		return errors.New("there is no such folder: mount the stick, and type where")
	}
	return sp.stick(place)
}

// later says what to run for the sticks that are still to be written.
func (sp *spanning) later(number int) error {
	words := []string{"bundle send --span"}
	if sp.media != "" {
		words = append(words, "--media", sp.media)
	}
	words = append(words, cli.Quote(sp.path), "MOUNT")
	done := 0
	for _, s := range sp.plan.Sticks {
		if s.Done {
			done++
		}
	}
	return cli.Hint(fmt.Errorf("%w: %d of %s written, and the bundle is complete only with all of them", manifest.ErrIncomplete, done, cli.Count(len(sp.plan.Sticks), "stick")),
		"put in %s and, MOUNT being where it is mounted, run: %s", sp.plan.Stick(number), strings.Join(words, " "))
}

// stick writes the stick that is mounted at place.
func (sp *spanning) stick(place string) error {
	if err := sp.mounted(place); err != nil {
		return err
	}
	dir, there, err := sp.replacing(sp.bundle, place)
	if err != nil {
		return err
	}
	number, err := sp.number(place, there)
	if err != nil {
		return err
	}
	stick := sp.plan.Stick(number)
	part := &sp.plan.Sticks[number-1]
	if part.Done && sp.plan.Next() > 0 {
		return sp.tell("%s: this is %s, which is written already", place, stick)
	}
	part.Begun = true
	if err := sp.plan.Save(); err != nil {
		return err
	}
	outcome, err := sp.write(sp.cmd.Context(), dir, there, stick)
	if err != nil {
		return explainChanged(err)
	}
	part.Done = true
	if err := sp.plan.Save(); err != nil {
		return err
	}
	sp.result = append(sp.result, sent{Destination: place, Stick: stick.String(), Outcome: outcome.String()})
	return sp.tell("%s, %s at %s: %s", sp.bundle.Texts.Manifest.Title(), stick, place, outcome)
}

func (sp *spanning) write(ctx context.Context, dir journey.Place, there *transfer.Folder, stick media.Stick) (journey.Outcome, error) {
	journal, err := openJournal()
	if err != nil {
		return journey.Written, err
	}
	show, stop := cli.Progress(sp.env.Stderr, sp.output.Quiet)
	defer stop()
	sender := transfer.Sender{Journal: journal, Progress: show}
	if _, err := sp.bundle.SendStick(ctx, dir, there, sender, stick); err != nil {
		return journey.Written, err
	}
	return sp.bundle.ReadStick(ctx, dir, sender, stick)
}

// mounted refuses a place whose medium is not mounted (any more).
func (sp *spanning) mounted(place string) error {
	at, err := checkPlace(place, 0)
	if err != nil {
		return err
	}
	was, seen := sp.mounts[place]
	if !seen {
		sp.mounts[place] = at.MountPoint
	} else if was != at.MountPoint {
		return fmt.Errorf("%w; it is a folder on %s now", transfer.ErrNotMounted, at)
	}
	return nil
}

// tell prints a result, unless all of them are printed at the end for programs.
func (sp *spanning) tell(format string, args ...any) error {
	w := sp.cmd.OutOrStdout()
	if sp.output.JSON {
		w = sp.env.Stderr
	}
	_, err := fmt.Fprintln(w, cli.Printable(fmt.Sprintf(format, args...)))
	return err
}

// say prints a message.
func (sp *spanning) say(format string, args ...any) {
	fmt.Fprintf(sp.env.Stderr, "%s: %s\n", sp.cmd.Root().Name(), cli.Printable(fmt.Sprintf(format, args...)))
}
