package transfer

import (
	"errors"
	"fmt"
	"strings"
)

// maxName is the longest name that FAT32, exFAT, NTFS, ext4 and ISO 9660 with
// Rock Ridge all take, in bytes.
const maxName = 255

// partial begins the names of files that are not complete yet. No file of a
// set may have such a name, so whoever lists a folder can tell them apart.
const partial = ".partial-"

// ErrName is wrapped by the error for a name that not every medium can hold.
var ErrName = errors.New("not a name for a file of a bundle")

// CheckName returns nil for a name that every supported medium keeps exactly
// as it is: 1 to 255 of the bytes A–Z a–z 0–9 . _ -, not beginning with
// "-" or ".partial-", not ending in "." (FAT drops it).
// Other errors wrap ErrName.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the empty string", ErrName)
	case len(name) > maxName:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(name), maxName)
	case strings.ContainsFunc(name, badRune):
		return fmt.Errorf("%w: %q: only A–Z, a–z, 0–9 and . _ - may stand in it", ErrName, name)
	case name[0] == '-', name[len(name)-1] == '.', strings.HasPrefix(name, partial):
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func badRune(r rune) bool { return !strings.ContainsRune(nameBytes, r) }

// partialName is the name under which name is written until it is complete.
// It is always the same one, so what a crash leaves behind is overwritten by
// the next attempt and does not pile up.
func partialName(name string) string {
	p := partial + name
	if len(p) > maxName {
		p = p[:maxName]
	}
	return p
}

// IsPartial tells whether a file of that name is one that is not complete.
func IsPartial(name string) bool { return strings.HasPrefix(name, partial) }
