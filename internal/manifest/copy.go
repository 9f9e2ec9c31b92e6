package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// CopyName is the file that has a bundle's small files a second time, as a tar
// archive. It is not listed in SHA256SUMS, which it holds, and proves nothing:
// what is taken from it is judged like the file in whose place it is taken.
const CopyName = "copy.tar"

// maxCopy bounds the bytes of a copy.tar that are looked at: all small files
// at their limits fit.
const maxCopy = MaxSmallFile + MaxManifest + 16<<20

const tarBlock = 512 // bytes; of a header, and what a file is filled up to

// MarshalCopy returns the one copy.tar (POSIX.1-1988 USTAR, mode 0644, time
// and owner 0) of these files, sorted by name.
func MarshalCopy(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := tarHeader(name, int64(len(files[name])))
		b.Write(header[:])
		b.Write(files[name])
		b.Write(make([]byte, -len(files[name])&(tarBlock-1)))
	}
	b.Write(make([]byte, 2*tarBlock))
	return b.Bytes()
}

// tarHeader returns the header of a file in a USTAR archive (POSIX.1-1988,
// "ustar Interchange Format").
func tarHeader(name string, size int64) (h [tarBlock]byte) {
	copy(h[:100], name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00        0", size, 0))
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x000000000\x00")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// copied is the files of a copy.tar, as far as it could be read.
type copied map[string][]byte

// readCopy reads a bundle's copy.tar. The error tells what is wrong with it;
// the files behind a damaged header or an unreadable sector are found all the
// same. No byte is trusted: the one parser of it is parseTarHeader.
func readCopy(fsys fs.FS) (copied, error) {
	data, err := readHurt(fsys)
	files, end, last := copied{}, 0, "" // end of what MarshalCopy would have written so far
	for at := 0; at+tarBlock <= len(data); at += tarBlock {
		name, size, ok := parseTarHeader([tarBlock]byte(data[at : at+tarBlock]))
		if !ok || size > int64(len(data)-at-tarBlock) {
			continue
		}
		from := at + tarBlock
		behind := from + int(size)
		next := min((behind+tarBlock-1)/tarBlock*tarBlock, len(data))
		if at == end && name > last && isZero(data[behind:next]) {
			end, last = next, name
		}
		if _, twice := files[name]; !twice {
			files[name] = data[from:behind:behind]
		}
		at = next - tarBlock
	}
	if err == nil && (len(data)-end != 2*tarBlock || !isZero(data[end:])) {
		err = fmt.Errorf("%q is damaged", CopyName)
	}
	return files, err
}

func isZero(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }

// parseTarHeader reads exactly what tarHeader writes.
func parseTarHeader(h [tarBlock]byte) (name string, size int64, ok bool) {
	name, _, _ = strings.Cut(string(h[:100]), "\x00")
	size, err := strconv.ParseInt(string(h[124:135]), 8, 64)
	_, signature := SignaturePrincipal(name)
	if err != nil || size < 0 || (name != SumsName && !signature && CheckName(name) != nil) {
		return "", 0, false
	}
	return name, size, h == tarHeader(name, size)
}

// readHurt reads copy.tar with zeros for what cannot be read.
func readHurt(fsys fs.FS) ([]byte, error) {
	f, err := fsys.Open(CopyName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	at, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() || info.Size() > maxCopy {
		return nil, fmt.Errorf("%q is not a regular file of at most %d bytes", CopyName, int64(maxCopy))
	}
	data := make([]byte, info.Size())
	const step = 4096
	for from := 0; from < len(data); from += step {
		part := data[from:min(from+step, len(data))]
		if n, readErr := at.ReadAt(part, int64(from)); n < len(part) {
			err = fmt.Errorf("reading %q: %w", CopyName, readErr)
		}
	}
	return data, err
}

// place is where small files are read.
type place interface {
	read(name string, limit int64) ([]byte, error)
	names() (names, empty []string, err error) // empty are those of no bytes
}

// folder is a bundle's files as they are.
type folder struct{ fs.FS }

func (f folder) read(name string, limit int64) ([]byte, error) { return ReadFile(f.FS, name, limit) }

func (f folder) names() (names, empty []string, err error) {
	entries, err := fs.ReadDir(f.FS, ".")
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			empty = append(empty, e.Name())
		} else {
			names = append(names, e.Name())
		}
	}
	return names, empty, err
}

func (c copied) read(name string, limit int64) ([]byte, error) {
	data, ok := c[name]
	if !ok || int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

func (c copied) names() (names, empty []string, err error) {
	return slices.Collect(maps.Keys(c)), nil, nil
}

// Text returns a small file of the bundle, proven: SHA256SUMS, a signature
// that stands over it, or a listed file that is neither volume nor parity.
func (v *Verified) Text(name string) ([]byte, bool) {
	data, ok := v.texts[name]
	return data, ok
}

// Texts returns all that Text gives, by name. It must not be changed.
func (v *Verified) Texts() map[string][]byte { return v.texts }

// Mended returns the small files that are missing or damaged and were taken
// from copy.tar, sorted.
func (v *Verified) Mended() []string { return v.mended }

// Copy returns the copy.tar that belongs to the bundle, with the signatures
// that it has now.
func (v *Verified) Copy() []byte { return MarshalCopy(v.texts) }

// CheckCopy returns nil if the bundle has no parity, or a copy.tar with every
// listed small file and SHA256SUMS. Signatures may have been added since; one
// that is in it must be the one that counts.
func (v *Verified) CheckCopy(fsys fs.FS) error {
	if v.Manifest().Parity == nil {
		return nil
	}
	files, err := readCopy(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q is missing", CopyName)
	}
	if err != nil {
		return err
	}
	for name, want := range v.texts {
		got, ok := files[name]
		if _, signature := SignaturePrincipal(name); !ok && signature {
			continue
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%q has another %s than the bundle", CopyName, strings.ToValidUTF8(name, "?"))
		}
	}
	return nil
}

// Same reports whether two places hold the same bundle: a SHA256SUMS of one's,
// itself or in copy.tar, is one of the other's. Nothing of it is proven.
func Same(a, b fs.FS) bool { return share(allSums(a), allSums(b)) }

// Different reports whether two places hold different bundles: both have a
// SHA256SUMS, and they are not the Same. A place without one can be part of any.
func Different(a, b fs.FS) bool {
	ours, theirs := allSums(a), allSums(b)
	return len(ours) > 0 && len(theirs) > 0 && !share(ours, theirs)
}

// share reports whether a text is in both lists.
func share(ours, theirs [][]byte) bool {
	return slices.ContainsFunc(ours, func(one []byte) bool {
		return slices.ContainsFunc(theirs, func(other []byte) bool { return bytes.Equal(one, other) })
	})
}

// allSums returns the texts of SHA256SUMS that a place has.
func allSums(fsys fs.FS) (all [][]byte) {
	if text, err := ReadSums(fsys); err == nil {
		all = append(all, text)
	}
	if files, _ := readCopy(fsys); files[SumsName] != nil {
		all = append(all, files[SumsName])
	}
	return all
}
