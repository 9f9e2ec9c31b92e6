// Package tarfs shows a tar file as a read-only fs.FS with random access to
// each file. Nothing is unpacked: one pass over the headers finds where the
// bodies are, and reading a file reads just those bytes.
//
// Only an archive that every tar reader understands alike is accepted:
//
//   - Entries are regular files and directories; NewWithLinks takes symbolic
//     and hard links to files of the same archive besides.
//   - Names are relative and clean: a leading "./" is taken off; absolute
//     names, "..", empty elements, backslashes and control characters are
//     refused, and so is a name of more than MaxName bytes.
//   - No name stands twice, and no file has another below it.
//   - Sparse files, devices, multi-volume archives, PAX global headers and
//     directories with a body are refused.
//   - The two zero blocks at the end are there and only zeros follow them.
//   - There are at most MaxEntries files and directories.
package tarfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Limits of what is indexed.
const (
	MaxEntries = 1_000_000 // files and directories, those only implied by a name too
	MaxName    = 4096      // bytes of a name
	MaxPadding = 64 << 20  // bytes of zeros behind the end of the archive
)

const blockSize = 512

// ErrMalformed is wrapped by every refusal of an archive but a truncated one,
// which wraps io.ErrUnexpectedEOF.
var ErrMalformed = errors.New("malformed tar archive")

// FS is an indexed archive. It is safe for use by several goroutines if its
// io.ReaderAt is.
type FS struct {
	r     io.ReaderAt
	nodes map[string]*node
	limit int // of nodes but the root
}

// New indexes the archive in the first size bytes of r, which must stay open
// and unchanged as long as the FS is used. It reads the headers only. Links
// are refused.
func New(r io.ReaderAt, size int64) (*FS, error) {
	return index(r, size, refuseLinks)
}

// NewWithLinks is New for archives with symbolic and hard links, such as old
// versions of Docker write. A link must lead, over other links perhaps, to a
// regular file of the archive, and is then that file under another name.
func NewWithLinks(r io.ReaderAt, size int64) (*FS, error) {
	return index(r, size, resolveLinks)
}

type linkPolicy int

const (
	refuseLinks linkPolicy = iota
	resolveLinks
)

type indexer struct {
	fs     *FS
	window *window
	links  linkPolicy
	linked []*node
	end    int64 // offset behind the last entry's padded body
}

func index(r io.ReaderAt, size int64, links linkPolicy) (*FS, error) {
	x := indexer{
		fs:     &FS{r: r, nodes: map[string]*node{".": newDir(".")}, limit: MaxEntries},
		window: newWindow(r, size),
		links:  links,
	}
	if err := x.entries(); err != nil {
		return nil, err
	}
	if err := x.trailer(); err != nil {
		return nil, err
	}
	for _, n := range x.linked {
		if err := x.resolve(n); err != nil {
			return nil, err
		}
	}
	for _, n := range x.fs.nodes {
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	return x.fs, nil
}

// entries reads headers until the end of the archive.
func (x *indexer) entries() error {
	headers := tar.NewReader(x.window)
	for {
		h, err := headers.Next()
		switch {
		case x.window.err != nil:
			return fmt.Errorf("reading tar headers: %w", x.window.err)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("tar archive ends within a header: %w", err)
		case err != nil:
			return fmt.Errorf("%w: header near byte %d: %w", ErrMalformed, x.window.off, err)
		}
		if err := x.entry(h); err != nil {
			return err
		}
	}
}

func (x *indexer) entry(h *tar.Header) error {
	name, err := cleanName(h)
	if err == nil {
		err = x.checkKind(h)
	}
	if err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrMalformed, clip(h.Name), err)
	}
	padded := h.Size + (-h.Size & (blockSize - 1))
	if padded < h.Size || padded > x.window.size-x.window.off {
		return fmt.Errorf("tar archive ends within %q: %w", clip(h.Name), io.ErrUnexpectedEOF)
	}
	n := &node{name: path.Base(name), size: h.Size, offset: x.window.off, modified: h.ModTime.Unix()}
	x.end = x.window.off + padded
	switch h.Typeflag {
	case tar.TypeDir:
		n.mode = fs.ModeDir | 0o555
	case tar.TypeSymlink:
		n.mode, n.target = 0o444, path.Join(path.Dir(name), h.Linkname)
	case tar.TypeLink:
		n.mode, n.target = 0o444, path.Clean(h.Linkname)
	default:
		n.mode = 0o444
	}
	if err := x.fs.add(name, n); err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrMalformed, clip(h.Name), err)
	}
	if n.target != "" {
		x.linked = append(x.linked, n)
	}
	return nil
}

// checkKind refuses every kind of entry but a plain file, a directory and,
// where they are wanted, links.
func (x *indexer) checkKind(h *tar.Header) error {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return errors.New("a sparse file")
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return nil
	case tar.TypeSymlink, tar.TypeLink:
		if x.links != resolveLinks {
			return errors.New("a link")
		}
		if err := checkText(h.Linkname); err != nil || path.IsAbs(h.Linkname) {
			return fmt.Errorf("a link to %q", clip(h.Linkname))
		}
	case tar.TypeDir:
	default:
		return fmt.Errorf("type %q is neither a regular file nor a directory", h.Typeflag)
	}
	if h.Size != 0 {
		return fmt.Errorf("%d bytes of a directory or link", h.Size)
	}
	return nil
}

// cleanName returns an entry's name as fs.ValidPath wants it.
func cleanName(h *tar.Header) (string, error) {
	name := h.Name
	if err := checkText(name); err != nil {
		return "", err
	}
	name = strings.TrimPrefix(name, "./")
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
		if name == "" || name == "." {
			return ".", nil
		}
	}
	if name == "." || !fs.ValidPath(name) {
		return "", errors.New("the name is not relative and clean")
	}
	return name, nil
}

func checkText(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name of %d bytes, want 1 to %d", len(name), MaxName)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '\\' {
			return errors.New("a backslash or control character in the name")
		}
	}
	return nil
}

// trailer checks that the archive ends with two blocks of zeros (POSIX pax,
// "ustar Interchange Format") and that nothing but zeros follows them.
func (x *indexer) trailer() error {
	rest := x.window.size - x.end
	switch {
	case rest < 2*blockSize:
		return fmt.Errorf("tar archive has no end mark: %w", io.ErrUnexpectedEOF)
	case rest > 2*blockSize+MaxPadding:
		return fmt.Errorf("%w: %d bytes behind the last entry, at most %d of padding are allowed", ErrMalformed, rest, MaxPadding)
	}
	atEnd := x.window.off == x.window.size
	at, err := x.window.firstNonZero(x.end)
	switch {
	case err != nil:
		return fmt.Errorf("reading the end of the tar archive: %w", err)
	case at >= 0 && atEnd:
		// An extension header is the last thing that is there.
		return fmt.Errorf("tar archive ends behind a header: %w", io.ErrUnexpectedEOF)
	case at >= 0:
		return fmt.Errorf("%w: byte %d behind the last entry is not zero", ErrMalformed, at)
	}
	return nil
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
