package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/human"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// lostAnswer is what is typed in the place of a folder where a stick is lost.
const lostAnswer = "lost"

// remainder is what is still to come of a bundle that is spread over sticks,
// and the folder that has all that has come.
type remainder struct {
	verified *manifest.Verified
	dir      *transfer.Dir
	there    *transfer.Folder
	missing  []string     // volumes and parity files
	stick    *media.Stick // what one of the sticks says; nil: it is no stick
	makeable bool         // parity can make all of it again, as far as can be told without reading
}

func (left *remainder) title() string { return left.verified.Manifest().Title() }

// elsewhere reports whether what is missing is on other sticks.
func (left *remainder) elsewhere() bool { return len(left.missing) > 0 && left.stick != nil }

// judge finds out whether what is in the folder suffices.
func (left *remainder) judge() error {
	d, err := left.lacking(left.there)
	left.makeable = err == nil && d.Repairable()
	return err
}

// lacking returns the damage that a bundle has without what is missing in files.
func (left *remainder) lacking(files fs.FS) (*volume.Damage, error) {
	space, err := volume.NewHurtReader(left.verified, files)
	if err != nil {
		return nil, err
	}
	return space.Glance(), space.Close()
}

// question asks for the next stick, at the place where the last one was.
func (left *remainder) question(place string) string {
	lost := ""
	if left.makeable {
		lost = fmt.Sprintf("; if it is lost, type %q: what is here suffices to make it again", lostAnswer)
	}
	return fmt.Sprintf("%s still missing. Put in the stick and mount it (at %s; elsewhere, type the folder; Enter goes on at once%s): ", commands.Names(left.missing), place, lost)
}

// later says how to go on where there is nobody to ask.
func (in *arrival) later(left *remainder, place string) error {
	to := cli.Quote(in.to)
	err := fmt.Errorf("%w: %s of %s still to come, from another of %s", manifest.ErrIncomplete,
		cli.Count(len(left.missing), "volume"), left.title(), cli.Count(left.stick.Count, "stick"))
	if left.makeable {
		err = cli.Hint(err, "if no other stick will come, what is here suffices to make the rest again: unbundle receive --lost %s %s", cli.Quote(place), to)
	}
	return errors.Join(in.unfinished(left), cli.Hint(err, "put in the next stick, in any order, and run: unbundle receive STICK %s", to))
}

// unfinished prints what is missing for programs; people are told by the error.
func (in *arrival) unfinished(left *remainder) error {
	if !in.output.JSON {
		return nil
	}
	return commands.PrintJSON(in.cmd, received{Release: left.title(), Folder: in.to, Outcome: "incomplete", Missing: left.missing, Makeable: left.makeable})
}

// explain says what can be done about a stick with damaged blocks.
func (left *remainder) explain(err error) error {
	if errors.Is(err, volume.ErrDamaged) && left.verified.Manifest().Parity != nil {
		return cli.Hint(err, "take the other sticks first and this one last: then what is damaged here can be made again from parity")
	}
	return err
}

// final takes what the sources have, and makes the rest again: no other stick
// will come.
func (in *arrival) final(left *remainder, set *commands.Set) error {
	all := set.After(left.there)
	space, err := volume.NewHurtReader(left.verified, set.With(left.there))
	if err != nil {
		return err
	}
	b := &journey.Bundle{Texts: left.verified.Unproven(), Files: space.Files(all), Proven: true}
	err = errors.Join(in.part(left, b), space.Close())
	if err != nil {
		return in.short(err)
	}
	in.made.Add(space)
	if err = in.without(left, all); errors.Is(err, manifest.ErrIncomplete) {
		return errors.Join(in.unfinished(left), err)
	}
	return err
}

// without makes the bundle whole in the folder with what files have of it, the
// folder's among them.
func (in *arrival) without(left *remainder, files fs.FS) error {
	d, err := left.lacking(files)
	if err != nil {
		return err
	}
	if !d.Repairable() {
		err = fmt.Errorf("%w: %s of %s missing, and parity falls short of that by %s (%s)", manifest.ErrIncomplete,
			commands.Names(left.missing), left.title(), cli.Count(len(d.Asked), "block"), human.Bytes(int64(len(d.Asked))*manifest.BlockSize))
	} else {
		err = in.whole(left, files)
	}
	return in.short(err)
}

// noteLost tells what was made again of what did not come.
func (in *arrival) noteLost() {
	fmt.Fprintf(in.env.Stderr, "%s: note: made again from parity, and proven like the rest: %s\n", in.cmd.Root().Name(), cli.Printable(in.made.String()))
}

// short says what can be done where too little has come to make the rest again.
func (in *arrival) short(err error) error {
	if !errors.Is(err, volume.ErrDamaged) && !errors.Is(err, manifest.ErrIncomplete) {
		return err
	}
	return cli.Hint(err, "what has come is kept in %s, and any further stick can still be taken; or ask where the bundle was made for what is lacking: unbundle repair %s --request lost.txt",
		cli.Quote(in.to), commands.Quoted(append(slices.Clone(in.from), in.to)))
}
