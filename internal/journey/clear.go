package journey

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
)

// Clear removes a bundle, or what is left of one, from a folder: what its
// SHA256SUMS lists, its signatures, and files that are named as volumes are.
// Nothing else is touched, and nothing at all where SHA256SUMS is one that other
// tools have written over other files. It goes first, so that nobody takes the
// rest for a bundle.
func Clear(dir *transfer.Dir, there fs.FS) error {
	names, err := leavings(there)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return dir.Sync()
}

// Clearable returns how many bytes Clear would remove.
func Clearable(there fs.FS) (int64, error) {
	names, err := leavings(there)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, name := range names {
		info, err := fs.Stat(there, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// leavings returns what Clear removes, each name once and SHA256SUMS in front;
// some of it may not be there.
func leavings(there fs.FS) ([]string, error) {
	names := []string{manifest.SumsName, media.StickName, manifest.ManifestName, manifest.BlocksName, manifest.CopyName}
	text, err := manifest.ReadSums(there)
	if err == nil {
		sums, err := manifest.ParseSums(text)
		if err != nil || sums[manifest.ManifestName].IsZero() || sums[manifest.BlocksName].IsZero() {
			return nil, fmt.Errorf("%s there is not of a bundle: it and what it lists are left alone", manifest.SumsName)
		}
		names = append(names, sums.Names()...)
	} else if !errors.Is(err, manifest.ErrIncomplete) {
		return nil, err
	}
	entries, err := fs.ReadDir(there, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		_, signature := manifest.SignaturePrincipal(e.Name())
		if signature || volumeName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names[1:])
	return slices.Compact(names), nil
}
