// Package catalogue remembers which bundles were made here and in which
// folders they were put, so that a base can be named instead of searched for.
//
// It is a convenience and proves nothing: whoever can write its file can have
// it name other folders. What is found through it is verified like any other
// bundle.
package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// Limits of a history.
const (
	MaxSize = 64 << 20 // bytes of the file
	MaxLine = 64 << 10 // bytes of an entry, with its line feed
)

// Entry is one bundle that was made.
type Entry struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Created string          `json:"created"` // as its manifest says
	Root    manifest.Digest `json:"root"`    // of its SHA256SUMS
	Path    string          `json:"path"`    // of its folder, absolute
	Size    int64           `json:"size"`    // bytes of its volumes
	Bases   []Base          `json:"bases,omitempty"`
}

// Base is a bundle that an entry's is based on.
type Base struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Root    manifest.Digest `json:"root"`
}

// Of returns the entry of a bundle with this manifest and root in a folder.
func Of(m *manifest.Manifest, root manifest.Digest, path string) Entry {
	e := Entry{Release: m.Release, Version: m.Version, Created: m.Created, Root: root, Path: path, Size: m.SpaceSize()}
	for _, b := range m.Bases {
		e.Bases = append(e.Bases, Base{b.Release, b.Version, b.Root})
	}
	return e
}

// Title returns "release version" for people.
func (e *Entry) Title() string { return e.Release + " " + e.Version }

// Marshal returns the entry as one line.
func (e *Entry) Marshal() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	if b.Len() > MaxLine {
		return nil, fmt.Errorf("entry of %d bytes, at most %d are allowed", b.Len(), MaxLine)
	}
	return b.Bytes(), nil
}

// ParseEntry reads exactly what Marshal writes.
func ParseEntry(line []byte) (*Entry, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(line), MaxLine)
	}
	e := &Entry{}
	if err := json.Unmarshal(line, e); err != nil {
		return nil, err
	}
	again, err := e.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, line) {
		return nil, errors.New("not as it is written")
	}
	return e, nil
}

func (e *Entry) check() error {
	for _, label := range []string{e.Release, e.Version} {
		if err := manifest.CheckLabel(label); err != nil {
			return err
		}
	}
	if _, err := manifest.ParseTime(e.Created); err != nil {
		return err
	}
	switch {
	case e.Root.IsZero():
		return errors.New("no root")
	case !filepath.IsAbs(e.Path) || !utf8.ValidString(e.Path):
		return fmt.Errorf("path %q: want an absolute one in UTF-8", e.Path)
	case e.Size < 0:
		return fmt.Errorf("size %d", e.Size)
	}
	for _, b := range e.Bases {
		if err := errors.Join(manifest.CheckLabel(b.Release), manifest.CheckLabel(b.Version)); err != nil {
			return fmt.Errorf("base: %w", err)
		}
		if b.Root.IsZero() {
			return errors.New("a base has no root")
		}
	}
	return nil
}

// State says what is found in an entry's folder now.
type State string

// What is found in a folder.
const (
	There   State = "there"
	Missing State = "missing" // no bundle: moved, removed, or on a medium that is elsewhere
	Other   State = "other"   // another bundle
)

// State looks for the bundle in its folder. It compares the root alone: whether
// the bundle is whole and authentic is for its reader to prove.
func (e *Entry) State() State {
	folder, err := transfer.OpenDir(e.Path)
	if err != nil {
		return Missing
	}
	sums, err := manifest.ReadSums(folder)
	switch {
	case err != nil:
		return Missing
	case manifest.DigestOf(sums) != e.Root:
		return Other
	}
	return There
}

// Catalogue is a history in a file.
type Catalogue struct{ path string }

// At returns the catalogue in the file at path, which need not exist yet.
func At(path string) *Catalogue { return &Catalogue{path} }

// Entries returns all entries in the order in which they were added. A last
// line without its end, which a power cut may leave, does not count.
func (c *Catalogue) Entries() ([]Entry, error) {
	text, err := c.read()
	if err != nil {
		return nil, err
	}
	var all []Entry
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		e, err := ParseEntry(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", c.path, len(all)+1, err)
		}
		all = append(all, *e)
	}
	return all, nil
}

// read returns the file's bytes, none if there is no file.
func (c *Catalogue) read() ([]byte, error) {
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MaxSize {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", c.path, MaxSize)
	}
	text := make([]byte, info.Size())
	_, err = io.ReadFull(f, text)
	return text, err
}

// ErrUnknown is wrapped where no entry has a name.
var ErrUnknown = errors.New("no such bundle was made here")

// minRoot is how many hexadecimal digits of a root name a bundle.
const minRoot = 8

// Find returns the entry that a name stands for: release-version,
// release:version or at least eight hexadecimal digits of the root. Of several
// bundles with that name those count whose folder still holds them; the
// remaining ones must be one and the same.
func (c *Catalogue) Find(name string) (*Entry, error) {
	return c.find(name, func(e *Entry) bool { return e.is(name) })
}

// FindRoot returns the entry of the bundle with that root.
func (c *Catalogue) FindRoot(root manifest.Digest) (*Entry, error) {
	return c.find(root.String(), func(e *Entry) bool { return e.Root == root })
}

func (c *Catalogue) find(name string, matches func(*Entry) bool) (*Entry, error) {
	entries, err := c.Entries()
	if err != nil {
		return nil, err
	}
	var there, gone *Entry
	for i := range entries {
		e := &entries[i]
		switch {
		case !matches(e):
		case e.State() != There:
			gone = e
		case there != nil && there.Root != e.Root:
			return nil, fmt.Errorf("%q: two bundles are called that, with the roots %s and %s", name, there.Root, e.Root)
		default:
			there = e
		}
	}
	switch {
	case there != nil:
		return there, nil
	case gone != nil:
		return nil, fmt.Errorf("%q: the bundle %s with root %s is not in %q any more: %w", name, gone.Title(), gone.Root, gone.Path, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%q: %w", name, ErrUnknown)
}

// is reports whether a name stands for the entry.
func (e *Entry) is(name string) bool {
	digits := strings.TrimPrefix(name, "sha256:")
	return name == e.Release+"-"+e.Version || name == e.Release+":"+e.Version ||
		len(digits) >= minRoot && strings.HasPrefix(e.Root.Hex(), digits)
}
