package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/volume"
)

// Set is a bundle in one place or in several: the sticks that it is spread
// over.
type Set struct {
	media.FS
	paths  []string
	places []media.FS
}

// Opener opens the bundle, or a part of one, that an argument names.
type Opener func(path string) (media.FS, error)

// Opener returns what opens folders, tar files, servers and standard input.
func (s *SFTP) Opener(cmd *cobra.Command, env *cli.Env, spool string) Opener {
	return func(path string) (media.FS, error) { return openAny(cmd, env, s, path, spool) }
}

// OpenSet opens a bundle in one or several places. Places that hold different
// bundles are refused.
func OpenSet(open Opener, paths []string) (*Set, error) {
	s := &Set{}
	for _, path := range paths {
		if err := s.Add(open, path); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Add opens one more place.
func (s *Set) Add(open Opener, path string) error {
	files, err := open(path)
	if err != nil {
		return err
	}
	for i, place := range s.places {
		if manifest.Different(place, files) {
			return errors.Join(different(s.paths[i], place, path, files), files.Close())
		}
	}
	s.paths, s.places = append(s.paths, path), append(s.places, files)
	s.FS = media.Join(s.places...)
	return nil
}

// different says what is wrong with two places that do not go together.
func different(path string, place fs.FS, other string, files fs.FS) error {
	a, errA := manifest.Read(place)
	b, errB := manifest.Read(files)
	if errA == nil && errB == nil && a.Manifest.Title() != b.Manifest.Title() {
		return cli.Hint(fmt.Errorf("%q and %q hold different bundles: %s and %s", path, other, a.Manifest.Title(), b.Manifest.Title()),
			"name the sticks of one bundle only")
	}
	return fmt.Errorf("%w: %q and %q hold different bundles, or one of them is damaged", manifest.ErrRejected, path, other)
}

// Close closes all places.
func (s *Set) Close() error { return media.Join(s.places...).Close() }

// Missing returns which volumes of the bundle no place has, and what a place
// says of the sticks that it is one of: nil if none says anything. Nothing of
// it is proven.
func (s *Set) Missing() (missing []string, stick *media.Stick, err error) {
	u, err := manifest.Read(s)
	if err != nil {
		return nil, nil, err
	}
	_, missing, err = media.Present(s, u.Manifest.Large())
	for _, place := range s.places {
		if one, _ := media.ReadStick(place); one != nil && one.Root == u.Root {
			stick = one
		}
	}
	return missing, stick, err
}

// Complete asks on the terminal for further sticks until no volume is missing,
// or somebody says that there are no more. Without a terminal it asks nothing.
func (s *Set) Complete(ctx context.Context, env *cli.Env, open Opener) error {
	asker := NewAsker(env)
	for {
		missing, _, err := s.Missing()
		if len(missing) == 0 || err != nil {
			return nil // what is wrong with the texts is judged elsewhere
		}
		path, err := asker.Ask(ctx, fmt.Sprintf("%s on another stick. Mount it as well and type its folder (or press Enter if there is none): ", areOn(missing)), nil)
		if errors.Is(err, ErrNoTerminal) || err == nil && path == "" {
			return nil
		}
		if err != nil {
			return err
		}
		if slices.Contains(s.paths, path) {
			fmt.Fprintf(env.Stderr, "%q is open already\n", path)
		} else if err := s.Add(open, path); err != nil {
			fmt.Fprintf(env.Stderr, "%s\n", cli.Printable(err.Error()))
		}
	}
}

func areOn(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return Names(names) + " are"
}

// Names names a few volumes, and of many their number and some of them.
func Names(names []string) string {
	if n := len(names); n > 3 {
		return fmt.Sprintf("%d volumes (%s, %s, … %s)", n, names[0], names[1], names[n-1])
	}
	return strings.Join(names, ", ")
}

// Explain turns the error of a bundle of which sticks are missing into one
// that says so.
func (s *Set) Explain(err error, command string) error {
	if !errors.Is(err, volume.ErrDamaged) {
		return AsIncomplete(err, strings.Join(s.paths, " "), s)
	}
	missing, stick, merr := s.Missing()
	if merr != nil || len(missing) == 0 || stick == nil {
		if command == "load" {
			err = cli.Hint(cli.Hint(err, "%s", cli.RejectedHint), "to see all that is damaged, and whether it can be made good: unbundle verify %s", Quoted(s.paths))
		}
		return err
	}
	return cli.Hint(fmt.Errorf("%w: %s on another of %s", manifest.ErrIncomplete, areOn(missing), cli.Count(stick.Count, "stick")),
		"mount the sticks side by side and name all of them: unbundle %s STICK…; or copy them into a folder one after the other: unbundle receive STICK DIR", command)
}

// Quoted returns paths as words of a POSIX shell.
func Quoted(paths []string) string {
	words := make([]string, len(paths))
	for i, path := range paths {
		words[i] = cli.Quote(path)
	}
	return strings.Join(words, " ")
}

// closeless is a place that somebody else closes.
type closeless struct{ fs.FS }

func (closeless) Close() error { return nil }

// With returns the set with the files of one more place behind it.
func (s *Set) With(files fs.FS) fs.FS {
	return media.Join(append(slices.Clone(s.places), closeless{files})...)
}

// After returns the set with the files of one more place in front of it.
func (s *Set) After(files fs.FS) fs.FS {
	return media.Join(append([]media.FS{closeless{files}}, s.places...)...)
}
