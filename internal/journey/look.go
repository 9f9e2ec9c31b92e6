package journey

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
)

// Holding is what a place has of a bundle.
type Holding struct {
	Sums  bool             // its SHA256SUMS stands there
	Stick *media.Stick     // what its stick.json says; nil: nothing
	Files map[string]int64 // sizes of the files of the place that the bundle lists
	Begun int64            // bytes of files that are not complete yet
}

// Look tells what a place has of the bundle. A place that has files of another
// bundle, whole or not, is an error that wraps ErrOther and names one of them.
func (b *Bundle) Look(there fs.FS) (*Holding, error) {
	have := &Holding{Files: map[string]int64{}}
	listed, err := transfer.List(there)
	if errors.Is(err, fs.ErrNotExist) {
		return have, nil
	} else if err != nil {
		return nil, err
	}
	there = listed
	entries, err := listed.ReadDir(".")
	if err != nil {
		return nil, err
	}
	ours, err := b.marked(have, there)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := b.note(have, e); err != nil {
			return nil, err
		}
	}
	if ours {
		return have, nil
	}
	for _, v := range b.large() {
		if _, ok := have.Files[v.Name]; !ok {
			continue
		}
		if same, err := b.begins(there, v.Name); err != nil || !same {
			return nil, errors.Join(err, other(v.Name))
		}
	}
	return have, nil
}

// volumeName is how volumes and parity of bundles are named.
var volumeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*\.([0-9]{3,4}\.vol|p[0-9]{2,4}\.par)$`)

// IsVolume tells whether a file is named as volumes and parity of bundles are.
func IsVolume(name string) bool { return volumeName.MatchString(name) }

// Begun tells whether a place has any file that is named as a bundle's own are,
// or one that is not complete yet. A place that is not there has none.
func Begun(there fs.FS) (bool, error) {
	entries, err := fs.ReadDir(there, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	own := []string{manifest.SumsName, manifest.ManifestName, manifest.BlocksName, manifest.CopyName, media.StickName}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		name := e.Name()
		_, signature := manifest.SignaturePrincipal(name)
		return signature || IsVolume(name) || transfer.IsPartial(name) || slices.Contains(own, name)
	}), err
}

func other(name string) error { return fmt.Errorf("%w (%s)", ErrOther, name) }

// note notes a file of a place.
func (b *Bundle) note(have *Holding, e fs.DirEntry) error {
	name := e.Name()
	if transfer.IsPartial(name) {
		info, err := e.Info()
		if err == nil {
			have.Begun += info.Size()
		}
		return err
	}
	if _, listed := b.Texts.Sums()[name]; !listed {
		if volumeName.MatchString(name) {
			return other(name)
		}
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	have.Files[name] = info.Size()
	return nil
}

// marked tells whether a text at the place says that it is this bundle's.
func (b *Bundle) marked(have *Holding, there fs.FS) (bool, error) {
	sums, err := manifest.ReadSums(there)
	if err == nil && len(sums) == 0 {
		err = manifest.ErrIncomplete // fsck empties a file whose bytes another one has too
	}
	switch {
	case err == nil && !bytes.Equal(sums, b.Texts.Text()):
		return false, other(manifest.SumsName)
	case err != nil && !errors.Is(err, manifest.ErrIncomplete):
		return false, err
	}
	have.Sums = err == nil
	stick, err := media.ReadStick(there)
	if err != nil {
		return false, err
	}
	if stick != nil && stick.Root != b.Texts.Root {
		return false, other(media.StickName)
	}
	have.Stick = stick
	if have.Sums || stick != nil {
		return true, nil
	}
	text, err := manifest.ReadFile(there, manifest.ManifestName, manifest.MaxManifest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, manifest.ErrRejected) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	same := manifest.DigestOf(text) == b.Texts.Sums()[manifest.ManifestName]
	if _, err := manifest.Parse(text); err == nil && !same {
		return false, other(manifest.ManifestName)
	}
	return same, nil // or what a power cut has left of it
}

// begins tells whether a volume at a place begins as the bundle's does; an
// empty one does.
func (b *Bundle) begins(there fs.FS, name string) (bool, error) {
	mine, err := b.firstBlock(b.Files, name)
	if err != nil {
		return false, err
	}
	theirs, err := b.firstBlock(there, name)
	if err != nil || len(theirs) == 0 {
		return err == nil, err
	}
	return bytes.Equal(mine[:min(len(mine), len(theirs))], theirs), nil
}

// firstBlock returns the first block of a file, or as much as there is.
func (b *Bundle) firstBlock(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, manifest.BlockSize)
	n := 0
	for n < len(block) {
		m, err := f.Read(block[n:])
		if n += m; err != nil || m == 0 {
			break
		}
	}
	return block[:n], nil
}

// whole tells whether all of these files are there, by their sizes.
func (h *Holding) whole(files []file) bool {
	for _, f := range files {
		if size, ok := h.Files[f.Name]; !ok || size != f.Size {
			return false
		}
	}
	return true
}

// Bytes returns how many bytes of the place the bundle has already.
func (h *Holding) Bytes() int64 {
	sum := h.Begun
	for _, size := range h.Files {
		sum += size
	}
	return sum
}
