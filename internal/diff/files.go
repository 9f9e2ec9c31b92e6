package diff

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"airlock/internal/oci"
)

// Limits of what is compared file by file.
const (
	maxEntries = 200_000  // of one layer
	maxNames   = 64 << 20 // bytes of their names
	maxListed  = 500_000  // files that a report lists
	maxFew     = 20       // changes of a layer up to which each is listed without being asked for
)

// Files is what changed within a layer.
type Files struct {
	Added       int         `json:"added"`
	Changed     int         `json:"changed"`
	Removed     int         `json:"removed"`
	TimesOnly   int         `json:"timesOnly"` // files that differ in their times alone; not among the changed
	List        []Change    `json:"list,omitempty"`
	Directories []Directory `json:"directories,omitempty"` // instead of a list, where it would be long
	Note        string      `json:"note,omitempty"`        // why there is neither
}

// Change is what became of a file, folder or link of a layer. A whiteout, by
// which a layer removes what lower layers have (image-spec, layer.md), removes
// the path; one that is gone adds it again.
type Change struct {
	State    State  `json:"state"`
	Path     string `json:"path"`
	Size     int64  `json:"size,omitempty"` // bytes now
	Was      int64  `json:"was,omitempty"`  // bytes before
	Whiteout bool   `json:"whiteout,omitempty"`
	Note     string `json:"note,omitempty"` // what else changed than the bytes
}

// key is a path within a layer; opaque stands for all that lower layers have in it.
type key struct {
	path   string
	opaque bool
}

// entry is what a layer says of a path.
type entry struct {
	kind     byte // of tar; whiteout
	mode     uint32
	uid, gid int
	size     int64
	link     string
	sum      [sha256.Size]byte
	xattrs   [sha256.Size]byte // zero: none
	modified int64
}

const whiteout = 'W'

// Whiteouts by name (image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// files compares the contents of two layers.
func (c *comparing) files(ctx context.Context, p paired) (*Files, error) {
	for _, l := range []*layer{p.from, p.to} {
		if !strings.Contains(l.MediaType, "tar") {
			return &Files{Note: fmt.Sprintf("no files are compared: it is of type %s", l.MediaType)}, nil
		}
	}
	task := c.options.Progress.Start("comparing files", p.from.Size+p.to.Size)
	defer task.Done()
	var trees [2]map[key]entry
	var notes [2]error
	group, ctx := errgroup.WithContext(ctx)
	for i, one := range []struct {
		side *side
		*layer
	}{{c.from, p.from}, {c.to, p.to}} {
		group.Go(func() error {
			var err error
			trees[i], notes[i], err = one.side.tree(ctx, one.Descriptor)
			task.Add(one.Size)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := errors.Join(notes[:]...); err != nil {
		return &Files{Note: "no files are compared: " + err.Error()}, nil
	}
	return c.summarise(changes(trees[0], trees[1])), nil
}

// tree returns what a layer says of each path, or in unreadable why it does
// not say it. The error is about the bundle.
func (s *side) tree(ctx context.Context, d oci.Descriptor) (all map[key]entry, unreadable, err error) {
	in, err := openContent(ctx, s.release, d)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	all, unreadable = readTree(in)
	if err := in.failed(unreadable); err != nil {
		return nil, nil, err
	}
	if unreadable != nil {
		unreadable = fmt.Errorf("%s: %w", d.Digest, unreadable)
	}
	return all, unreadable, in.finish()
}

// readTree reads a layer's tar to its end. Of a path that stands twice the
// later entry counts.
func readTree(r io.Reader) (map[key]entry, error) {
	all := map[key]entry{}
	in := tar.NewReader(r)
	names, bytes := 0, int64(0)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if names += len(h.Name) + len(h.Linkname); len(all) == maxEntries || names > maxNames {
			return nil, fmt.Errorf("it has more than %d entries, or %d bytes of names", maxEntries, maxNames)
		}
		// The holes of a sparse file take no bytes of the tar.
		if h.Size > maxContent-bytes {
			return nil, errLong
		}
		bytes += h.Size
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		k, e := place(h)
		if e.kind == tar.TypeReg {
			sum := sha256.New()
			if _, err := io.Copy(sum, in); err != nil {
				return nil, err
			}
			sum.Sum(e.sum[:0])
		}
		all[k] = e
	}
}

// place returns where an entry stands, without leading dots and slashes, and
// what it says.
func place(h *tar.Header) (key, entry) {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	dir, base := path.Split(name)
	if base == opaqueName {
		return key{strings.TrimSuffix(dir, "/"), true}, entry{kind: whiteout}
	}
	if gone, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return key{dir + gone, false}, entry{kind: whiteout}
	}
	e := entry{
		kind: h.Typeflag, mode: uint32(h.Mode) & 0o7777, uid: h.Uid, gid: h.Gid,
		link: h.Linkname, xattrs: xattrs(h), modified: h.ModTime.Unix(),
	}
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse, tar.TypeCont:
		e.kind, e.size = tar.TypeReg, h.Size
	case tar.TypeChar, tar.TypeBlock:
		e.link = fmt.Sprintf("device %d, %d", h.Devmajor, h.Devminor)
	}
	return key{name, false}, e
}

// xattrs hashes the extended attributes, which can hold capabilities.
func xattrs(h *tar.Header) (sum [sha256.Size]byte) {
	var all []string
	for name, value := range h.PAXRecords {
		if strings.HasPrefix(name, "SCHILY.xattr.") {
			all = append(all, fmt.Sprintf("%q=%q", name, value))
		}
	}
	if len(all) == 0 {
		return sum
	}
	slices.Sort(all)
	return sha256.Sum256([]byte(strings.Join(all, "\n")))
}

// changes compares two trees, and returns what changed in order of the paths,
// and how many entries differ in their times alone. It uses up from.
func changes(from, to map[key]entry) (all []Change, timesOnly int) {
	for k, now := range to {
		was, ok := from[k]
		delete(from, k)
		change, differs := compare(k, was, now, ok)
		switch {
		case differs:
			all = append(all, change)
		case was.modified != now.modified:
			timesOnly++
		}
	}
	for k, was := range from {
		all = append(all, gone(k, was))
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return all, timesOnly
}

// gone is the change of a path that a layer says nothing of any more.
func gone(k key, was entry) Change {
	if was.kind == whiteout {
		return Change{State: Added, Path: k.shown(was), Whiteout: true}
	}
	return Change{State: Removed, Path: k.shown(was), Was: was.size}
}

// compare returns what became of a path, and whether anything did.
func compare(k key, was, now entry, known bool) (Change, bool) {
	c := Change{State: Changed, Path: k.shown(now), Size: now.size, Was: was.size}
	switch {
	case now.kind == whiteout:
		c.State, c.Whiteout = Removed, true
		return c, !known || was.kind != whiteout
	case !known || was.kind == whiteout:
		c.State = Added
		return c, true
	}
	c.Note = difference(was, now)
	return c, c.Note != "" || was.sum != now.sum || was.size != now.size
}

// shown returns the path as it is told: folders with a slash at their end.
func (k key) shown(e entry) string {
	switch {
	case k.opaque:
		return k.path + "/*"
	case e.kind == tar.TypeDir:
		return k.path + "/"
	}
	return k.path
}

var kinds = map[byte]string{
	tar.TypeReg: "file", tar.TypeDir: "folder", tar.TypeSymlink: "symbolic link", tar.TypeLink: "hard link",
	tar.TypeChar: "device", tar.TypeBlock: "device", tar.TypeFifo: "pipe",
}

// difference tells what of two entries differs but for their bytes and times.
func difference(was, now entry) string {
	if was.kind != now.kind {
		return fmt.Sprintf("%s, was a %s", kinds[now.kind], kinds[was.kind])
	}
	var all []string
	if was.link != now.link {
		all = append(all, fmt.Sprintf("to %q, was to %q", now.link, was.link))
	}
	if was.mode != now.mode {
		all = append(all, fmt.Sprintf("mode %04o, was %04o", now.mode, was.mode))
	}
	if was.uid != now.uid || was.gid != now.gid {
		all = append(all, fmt.Sprintf("owner %d:%d, was %d:%d", now.uid, now.gid, was.uid, was.gid))
	}
	if was.xattrs != now.xattrs {
		all = append(all, "other extended attributes")
	}
	return strings.Join(all, "; ")
}
