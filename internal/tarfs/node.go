package tarfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// node is a file or directory. It is its own fs.FileInfo and fs.DirEntry.
type node struct {
	name     string // the last element
	mode     fs.FileMode
	size     int64
	offset   int64 // of the body
	modified int64 // seconds since 1970
	target   string
	listed   bool // has an entry of its own
	children []*node
}

var _ interface {
	fs.FileInfo
	fs.DirEntry
} = (*node)(nil)

func newDir(name string) *node { return &node{name: name, mode: fs.ModeDir | 0o555} }

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) Mode() fs.FileMode          { return n.mode }
func (n *node) ModTime() time.Time         { return time.Unix(n.modified, 0).UTC() }
func (n *node) IsDir() bool                { return n.mode.IsDir() }
func (n *node) Sys() any                   { return nil }
func (n *node) Type() fs.FileMode          { return n.mode.Type() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }

// add puts n under name, and the directories above it where no entry made
// them yet. A directory's own entry may follow what is in it.
func (fsys *FS) add(name string, n *node) error {
	n.listed = true
	if known, ok := fsys.nodes[name]; ok {
		if known.listed || !known.IsDir() || !n.IsDir() {
			return errors.New("the name stands twice")
		}
		known.listed, known.modified = true, n.modified
		return nil
	}
	for {
		if len(fsys.nodes) > fsys.limit { // the root is not counted
			return fmt.Errorf("more than %d files and directories", fsys.limit)
		}
		fsys.nodes[name] = n
		above := path.Dir(name)
		dir, ok := fsys.nodes[above]
		if ok && !dir.IsDir() {
			return fmt.Errorf("it lies below %q, which is a file", clip(above))
		}
		if ok {
			dir.children = append(dir.children, n)
			return nil
		}
		dir = newDir(path.Base(above))
		dir.children = []*node{n}
		name, n = above, dir
	}
}

// maxHops bounds links over links.
const maxHops = 40

// resolve makes a link the file it leads to.
func (x *indexer) resolve(n *node) error {
	target := n.target
	for range maxHops {
		to, ok := x.fs.nodes[target]
		if !ok || to.IsDir() {
			return fmt.Errorf("%w: link %q leads to %q, which is not a file of the archive", ErrMalformed, clip(n.name), clip(target))
		}
		if to.target == "" {
			n.size, n.offset, n.target = to.size, to.offset, ""
			return nil
		}
		target = to.target
	}
	return fmt.Errorf("%w: link %q: more than %d links in a row", ErrMalformed, clip(n.name), maxHops)
}
