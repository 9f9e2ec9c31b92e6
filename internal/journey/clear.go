package journey

import (
	"errors"
	"io/fs"

	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
)

// Clear removes a bundle, or what is left of one, from a folder: what its
// SHA256SUMS lists, its signatures, and files that are named as volumes are.
// Nothing else is touched. SHA256SUMS goes first, so that nobody takes the rest
// for a bundle.
func Clear(dir *transfer.Dir, there fs.FS) error {
	names := []string{manifest.SumsName, media.StickName, manifest.ManifestName, manifest.BlocksName, manifest.CopyName}
	if text, err := manifest.ReadSums(there); err == nil {
		if sums, err := manifest.ParseSums(text); err == nil {
			names = append(names, sums.Names()...)
		}
	}
	entries, err := fs.ReadDir(there, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, signature := manifest.SignaturePrincipal(e.Name())
		if signature || volumeName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return dir.Sync()
}
