package media

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"airlock/internal/manifest"
)

// StickName is the file that says which one of several sticks a place is. It
// is a help for people, unsigned and not listed: nothing is decided by it but
// which volumes a stick is to get.
const StickName = "stick.json"

const (
	stickFormat = "airlock-stick-v1"
	maxStick    = 1 << 20 // bytes of stick.json
	maxSticks   = manifest.MaxVolumes
)

// Stick is one of the media that a bundle is spread over.
type Stick struct {
	Format string          `json:"format"`
	Root   manifest.Digest `json:"root"`  // of the bundle
	Number int             `json:"stick"` // from 1
	Count  int             `json:"sticks"`
	Files  []string        `json:"files"` // volumes that it has, or is to get
}

// Marshal returns the one text for the stick.
func (s Stick) Marshal() []byte {
	s.Format = stickFormat
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return append(text, '\n')
}

// String is "stick 2 of 3".
func (s Stick) String() string { return fmt.Sprintf("stick %d of %d", s.Number, s.Count) }

// ReadStick reads stick.json. Where there is none, or none that Marshal wrote,
// it returns nil: whoever has to know asks the files themselves.
func ReadStick(fsys fs.FS) (*Stick, error) {
	text, err := manifest.ReadFile(fsys, StickName, maxStick)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, manifest.ErrRejected) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &Stick{}
	if json.Unmarshal(text, s) != nil || !bytes.Equal(s.Marshal(), text) ||
		s.Number < 1 || s.Number > s.Count || s.Count > maxSticks {
		return nil, nil
	}
	for _, name := range s.Files {
		if manifest.CheckName(name) != nil {
			return nil, nil
		}
	}
	return s, nil
}

// Present tells which of the bundle's large files a place has, by name and
// size; their bytes are not looked at.
func Present(fsys fs.FS, files []manifest.Volume) (here, elsewhere []string, err error) {
	for _, f := range files {
		info, err := fs.Stat(fsys, f.Name)
		switch {
		case err == nil && info.Mode().IsRegular() && info.Size() == f.Size:
			here = append(here, f.Name)
		case err == nil || errors.Is(err, fs.ErrNotExist):
			elsewhere = append(elsewhere, f.Name)
		default:
			return nil, nil, err
		}
	}
	return here, elsewhere, nil
}
