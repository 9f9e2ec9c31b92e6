package media

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// Join returns the files of several places as those of one: the sticks that a
// bundle is spread over. Of a name that several have, the first place's file
// is taken; what is wrong with it shows when it is proven.
func Join(places ...FS) FS {
	if len(places) == 1 {
		return places[0]
	}
	return joined(places)
}

type joined []FS

// Open opens the file of that name in the first place that has it.
func (j joined) Open(name string) (fs.File, error) {
	for _, place := range j {
		f, err := place.Open(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists the files of all places, each name once.
func (j joined) ReadDir(name string) ([]fs.DirEntry, error) {
	var all []fs.DirEntry
	for _, place := range j {
		entries, err := fs.ReadDir(place, name)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	slices.SortStableFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(all, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() }), nil
}

// Close closes all places.
func (j joined) Close() error {
	var all []error
	for _, place := range j {
		all = append(all, place.Close())
	}
	return errors.Join(all...)
}

// Of returns files with what closes them.
func Of(files fs.FS, closer interface{ Close() error }) FS { return closing{files, closer} }
