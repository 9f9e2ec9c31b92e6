// Package intake takes a bundle that comes as a stream in tar form into a
// folder, over as many tries as it takes: what came stays when the stream
// breaks off, and what stays is not written again.
package intake

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/transfer"
	"airlock/internal/trust"
)

// ErrOther is wrapped where the folder holds, or began to take, another bundle
// than the one that comes.
var ErrOther = errors.New("the stream is of another bundle")

// aside is the folder in which unproven files are kept until all is proven.
const aside = ".incoming"

// Aside returns the path of that folder in a folder that takes a bundle.
func Aside(path string) string { return filepath.Join(path, aside) }

// Folder takes in one bundle. What came lies unproven in a folder of its own
// inside, and moves to its place when the bundle is whole.
type Folder struct {
	path    string
	to, in  *transfer.Dir
	allowed *trust.AllowedSigners
	at      time.Time

	done  []byte  // SHA256SUMS of the bundle that is whole there already
	known *proofs // nil: it is not known yet what has to come
}

// Open opens the folder at path, with what came earlier.
func Open(path string, allowed *trust.AllowedSigners, at time.Time) (*Folder, error) {
	f := &Folder{path: path, allowed: allowed, at: at}
	var err error
	if f.to, err = transfer.NewDir(path); err != nil {
		return nil, err
	}
	there, err := transfer.OpenDir(path)
	if err != nil {
		return nil, err
	}
	f.done, err = manifest.ReadSums(there)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, manifest.ErrIncomplete) {
		return nil, err
	}
	if f.in, err = transfer.NewDir(Aside(path)); err != nil {
		return nil, err
	}
	return f, f.learn()
}

// Complete reports whether the folder held the whole bundle before.
func (f *Folder) Complete() bool { return f.done != nil }

// Files returns what came, unproven.
func (f *Folder) Files() (fs.FS, error) { return transfer.OpenDir(Aside(f.path)) }

// Aside returns the folder in which files are kept until all is proven.
func (f *Folder) Aside() *transfer.Dir { return f.in }

// learn finds out what has to come, if the texts that came say so.
func (f *Folder) learn() error {
	files, err := f.Files()
	if err != nil {
		return err
	}
	if v, err := manifest.Open(files, f.allowed, f.at); err == nil {
		f.known = newProofs(v)
	}
	return nil
}

// Finish gives the files of a bundle that lies whole aside their places,
// SHA256SUMS last. It may be called again after it failed.
func (f *Folder) Finish(v *manifest.Verified) error {
	for _, file := range v.Manifest().Large() {
		if err := f.to.Adopt(f.in, file.Name); err != nil {
			return err
		}
	}
	texts := v.Texts()
	names := slices.DeleteFunc(textNames(v), func(name string) bool { return name == manifest.SumsName })
	for _, name := range names {
		if err := f.to.Put(name, texts[name]); err != nil {
			return err
		}
	}
	if v.Manifest().Parity != nil {
		if err := f.to.Put(manifest.CopyName, v.Copy()); err != nil {
			return err
		}
	}
	if err := f.to.Put(manifest.SumsName, texts[manifest.SumsName]); err != nil {
		return err
	}
	if err := f.to.Sync(); err != nil {
		return err
	}
	return os.RemoveAll(Aside(f.path))
}

func textNames(v *manifest.Verified) []string {
	var names []string
	for name := range v.Texts() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// proofs says what each block of a bundle's large files has to be.
type proofs struct {
	root  manifest.Digest
	sums  []byte
	first map[string]int64 // numbers of files' first blocks
	size  map[string]int64
	texts map[string][]byte // small files that came whole
}

func newProofs(v *manifest.Verified) *proofs {
	p := &proofs{root: v.Root(), sums: v.File(manifest.BlocksName), first: map[string]int64{}, size: map[string]int64{}, texts: v.Texts()}
	var next int64
	for _, file := range v.Manifest().Large() {
		p.first[file.Name], p.size[file.Name] = next, file.Size
		next += (file.Size + manifest.BlockSize - 1) / manifest.BlockSize
	}
	return p
}

// holds reports whether data is known to be that block of that file.
func (p *proofs) holds(name string, index int64, data []byte) bool {
	if p == nil {
		return false
	}
	first, ok := p.first[name]
	if !ok || int64(len(data)) != min(manifest.BlockSize, p.size[name]-index*manifest.BlockSize) {
		return false
	}
	at := (first + index) * int64(len(manifest.Digest{}))
	if at+int64(len(manifest.Digest{})) > int64(len(p.sums)) {
		return false
	}
	return manifest.DigestOf(data) == manifest.Digest(p.sums[at:at+int64(len(manifest.Digest{}))])
}

// root is that of the bundle that is known.
func (f *Folder) root() manifest.Digest {
	if f.done != nil {
		return manifest.DigestOf(f.done)
	}
	return f.known.root
}
