// Package layout knows the OCI image layout (image-spec, image-layout.md): a
// directory or an archive of one as a place that an image comes from, and a
// directory as a place that releases go to.
//
// A layout is not trusted: blobs are found by their digest alone, every
// document's size and SHA-256 are checked before a byte of it is used, and a
// blob that is a symbolic link or anything else but a regular file is refused.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// Names of a layout's files (image-layout.md).
const (
	markName  = "oci-layout"
	indexName = "index.json"
	blobsDir  = "blobs/sha256"
	version   = "1.0.0"
	maxMark   = 4 << 10 // bytes
)

// The annotations of an entry of index.json that name an image: the
// specification's, and the one that containerd and Docker import by.
const (
	RefName        = "org.opencontainers.image.ref.name"
	ContainerdName = "io.containerd.image.name"
)

// ErrRejected is wrapped where a layout is malformed or has other bytes than
// its digests say.
var ErrRejected = errors.New("rejected")

// Source is one image of a layout. It is safe for use by several goroutines.
type Source struct {
	fsys    fs.FS
	entries []oci.Descriptor // of index.json
	root    oci.Descriptor

	mu   sync.Mutex
	seen *scan
}

// Open finds an image in a layout. The reference is the name that index.json
// gives it (as it stands there, or as the full name host/path:tag that it
// means), "@sha256:…" for a document of any depth, both as name@sha256:…, or
// empty if the layout has just one image. Errors wrap ErrRejected where the
// layout is not sound or the name stands for another digest; a reference that
// is not there is an error that lists what is.
func Open(fsys fs.FS, reference string) (*Source, error) {
	if err := checkMark(fsys); err != nil {
		return nil, err
	}
	raw, err := readFile(fsys, indexName, oci.MaxDocument)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(raw, oci.TypeIndex)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRejected, indexName, err)
	}
	s := &Source{fsys: fsys, entries: doc.Manifests}
	root, err := s.choose(reference)
	if err != nil {
		return nil, err
	}
	s.root = oci.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}
	return s, nil
}

// Names returns the full names (host/path:tag) that index.json gives the
// image, sorted; none if it has a tag alone or nothing.
func (s *Source) Names() []string {
	var all []string
	for _, d := range s.entries {
		if d.Digest == s.root.Digest {
			all = append(all, fullNames(d)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkMark refuses what has no oci-layout file of the one known version.
func checkMark(fsys fs.FS) error {
	raw, err := readFile(fsys, markName, maxMark)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("not an OCI image layout: %w", err)
	}
	if err != nil {
		return err
	}
	var mark map[string]json.RawMessage
	if err := json.Unmarshal(raw, &mark); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRejected, markName, err)
	}
	if got := string(mark["imageLayoutVersion"]); got != `"`+version+`"` {
		return fmt.Errorf("%w: %s: version %.40s, only %q is known", ErrRejected, markName, got, version)
	}
	return nil
}

// openFile opens a regular file, which it is itself and not through a link.
func openFile(fsys fs.FS, name string) (fs.File, int64, error) {
	info, err := fs.Lstat(fsys, name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a regular file", ErrRejected, name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// readFile reads a whole regular file of at most limit bytes.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, size, err := openFile(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", ErrRejected, name, size, limit)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, unexpected(err))
	}
	var more [1]byte
	if n, _ := f.Read(more[:]); n > 0 {
		return nil, fmt.Errorf("%w: %s grew while it was read", ErrRejected, name)
	}
	return data, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func blobPath(d manifest.Digest) string { return blobsDir + "/" + d.Hex() }
