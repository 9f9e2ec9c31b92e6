package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Names and limits of the signed text.
const (
	SumsName       = "SHA256SUMS"
	ManifestName   = "manifest.json"
	BlocksName     = "blocks.bin"
	ReadmeName     = "README.txt"
	MaxSums        = 2 << 20 // bytes of SHA256SUMS: MaxVolumes and more with the longest names
	maxNameLength  = 64
	signaturesFrom = SumsName + "."
	signaturesTo   = ".sig"
)

// Sums is a parsed SHA256SUMS: the SHA-256 of each file of a bundle but
// SHA256SUMS itself and its signatures.
type Sums map[string]Digest

// ParseSums reads what Marshal writes and nothing else: GNU sha256sum's text
// format (coreutils manual, "md5sum invocation"), at least one line, sorted by
// name, no name twice, every line ended by LF.
func ParseSums(text []byte) (Sums, error) {
	if len(text) > MaxSums {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are allowed", SumsName, ErrRejected, len(text), MaxSums)
	}
	sums, last := Sums{}, ""
	for i, line := range strings.SplitAfter(string(text), "\n") {
		if line == "" && i > 0 {
			break
		}
		name, digest, err := parseSum(line)
		if err == nil && name <= last {
			err = fmt.Errorf("%q is out of order", name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %w: %w", SumsName, i+1, ErrRejected, err)
		}
		sums[name], last = digest, name
	}
	return sums, nil
}

func parseSum(line string) (string, Digest, error) {
	text, ok := strings.CutSuffix(line, "\n")
	if !ok {
		return "", Digest{}, fmt.Errorf("%q does not end with a line feed", clip(line))
	}
	hexDigits, name, ok := strings.Cut(text, "  ")
	if !ok {
		return "", Digest{}, fmt.Errorf("%q is not a digest, two spaces and a name", clip(text))
	}
	digest, err := ParseHex(hexDigits)
	if err != nil {
		return "", Digest{}, err
	}
	if err := CheckName(name); err != nil {
		return "", Digest{}, err
	}
	if name == strings.ToLower(SumsName) || name == CopyName || strings.HasSuffix(name, signaturesTo) {
		return "", Digest{}, fmt.Errorf("%q cannot be listed", name)
	}
	return name, digest, nil
}

// Marshal returns the one text for the sums.
func (s Sums) Marshal() []byte {
	var b strings.Builder
	for _, name := range s.Names() {
		fmt.Fprintf(&b, "%s  %s\n", s[name].Hex(), name)
	}
	return []byte(b.String())
}

// Names returns the listed names, sorted.
func (s Sums) Names() []string {
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// CheckName refuses a file name that some file system between here and there
// would refuse, change or mistake for another: names are lower-case
// [a-z0-9._-], start with a letter or digit, do not end with a dot, are at most
// 64 bytes long and are not a DOS device. README.txt is the one exception, and
// readme.txt, which would be the same file there, is none.
func CheckName(name string) error {
	if name == ReadmeName {
		return nil
	}
	switch {
	case name == "" || len(name) > maxNameLength:
		return fmt.Errorf("file name %q: want 1 to %d characters", clip(name), maxNameLength)
	case strings.IndexFunc(name, notNameLetter) >= 0:
		return fmt.Errorf("file name %q: only a-z, 0-9, dot, underscore and hyphen are allowed", name)
	case name == strings.ToLower(ReadmeName):
		return fmt.Errorf("file name %q: is the same file as %q on many media", name, ReadmeName)
	case strings.ContainsAny(name[:1], "._-") || strings.HasSuffix(name, "."):
		return fmt.Errorf("file name %q: must start with a letter or digit and not end with a dot", name)
	}
	stem, _, _ := strings.Cut(name, ".")
	if slices.Contains(dosDevices, stem) {
		return fmt.Errorf("file name %q: %q is a device on Windows", name, stem)
	}
	return nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789"

func notNameLetter(r rune) bool { return !strings.ContainsRune(nameLetters+"._-", r) }

var dosDevices = []string{
	"con", "prn", "aux", "nul",
	"com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
}

// SignatureName returns the name of principal's signature file. The principal
// is what ssh-keygen -Y verify takes as -I, limited to what a file name takes.
func SignatureName(principal string) (string, error) {
	if err := CheckName(principal); err != nil || principal == ReadmeName || len(principal) > 40 {
		return "", fmt.Errorf("signer name %q: want at most 40 of a-z, 0-9, dot, underscore and hyphen, such as %q", clip(principal), "ana")
	}
	return signaturesFrom + principal + signaturesTo, nil
}

// SignaturePrincipal returns whom a signature file's name says it is by.
func SignaturePrincipal(name string) (string, bool) {
	inner, isSignature := strings.CutPrefix(name, signaturesFrom)
	principal, hasEnd := strings.CutSuffix(inner, signaturesTo)
	if !isSignature || !hasEnd {
		return "", false
	}
	if back, err := SignatureName(principal); err != nil || back != name {
		return "", false
	}
	return principal, true
}
