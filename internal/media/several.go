package media

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"airlock/internal/manifest"
)

// Bundles are the files of bundles that were opened together.
type Bundles []FS

// OpenAll opens the bundles at several paths, folders or tar files. Places that
// hold the same bundle are the sticks that it is spread over, and come as one.
func OpenAll(paths []string) (Bundles, error) {
	var all Bundles
	for _, path := range paths {
		files, err := Open(path)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = all.with(files)
	}
	return all, nil
}

func (all Bundles) with(files FS) Bundles {
	for i, one := range all {
		if manifest.Same(one, files) {
			all[i] = Join(one, files)
			return all
		}
	}
	return append(all, files)
}

// Files returns the files of each bundle.
func (all Bundles) Files() []fs.FS {
	files := make([]fs.FS, len(all))
	for i, one := range all {
		files[i] = one
	}
	return files
}

// Close closes all bundles.
func (all Bundles) Close() error { return joined(all).Close() }

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
