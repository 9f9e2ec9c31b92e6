package transfer

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep removes what attempts that were broken off have left of files with these
// names: the files under way, whichever bytes they were to have. It is for who
// has just completed all of them. Everything else in the folder stays, and so
// does what is under way to another name.
func (d *Dir) Sweep(names ...string) error {
	entries, err := os.ReadDir(d.place.path)
	if err != nil {
		return err
	}
	var all []error
	for _, e := range entries {
		if !isPartialOf(e.Name(), names) {
			continue
		}
		err := d.place.with(func(dirfd int) error {
			err := lookRegular(dirfd, e.Name())
			if err == nil {
				err = unix.Unlinkat(dirfd, e.Name(), 0)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNotRegular) {
			all = append(all, &fs.PathError{Op: "removing", Path: d.path(e.Name()), Err: explain(err)})
		}
	}
	return errors.Join(all...)
}

// isPartialOf reports whether a file is one that is written until one of names
// is complete: by Put, or by a Sender, which puts eight digits of its hash before.
func isPartialOf(file string, names []string) bool {
	for _, name := range names {
		if file == partialName(name) {
			return true
		}
	}
	rest, ok := strings.CutPrefix(file, partial)
	if !ok || len(rest) < 9 || rest[8] != '-' {
		return false
	}
	if _, err := hex.DecodeString(rest[:8]); err != nil || strings.ToLower(rest[:8]) != rest[:8] {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool { return file == partialName(rest[:9]+name) })
}
