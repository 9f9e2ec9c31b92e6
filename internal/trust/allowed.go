package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

const (
	maxAllowedSigners = 1 << 20  // bytes of a file
	maxAllowedLine    = 16 << 10 // bytes of a line
)

// AllowedSigners is a parsed allowed_signers file: at least one line, each
// with the principals, the key and the limits on its use.
type AllowedSigners struct {
	entries []Entry
}

// An Entry is one line of an allowed_signers file.
type Entry struct {
	Line        int // counted from 1
	Key         ssh.PublicKey
	Comment     string
	ValidAfter  time.Time // first second at which the key may be used; zero: no limit
	ValidBefore time.Time // last second at which the key may be used; zero: no limit

	principals patternList
	namespaces patternList // nil: any
}

// ParseAllowedSigners reads an allowed_signers file of at most 1 MiB in the
// form of ssh-keygen(1), "ALLOWED SIGNERS". Times without a Z are wall-clock
// times in the zone of /etc/localtime; unlike OpenSSH's, they do not follow the
// environment variable TZ, which must not decide who is trusted. During summer
// time OpenSSH 9.2 reads them an hour later, so files that matter write the Z.
//
// A file that names no key is an error, and so is every line that OpenSSH would
// skip or that cannot be honoured here: cert-authority, unknown options, keys
// of other types or sizes. The error names the line. It does not wrap
// [ErrRejected]: the file, not a signature, is at fault.
func ParseAllowedSigners(text []byte) (*AllowedSigners, error) {
	return parseAllowedSigners(text, systemZone())
}

// systemZone returns the zone that the machine is set to, or UTC.
func systemZone() *time.Location {
	data, err := os.ReadFile("/etc/localtime")
	if err != nil {
		return time.UTC
	}
	zone, err := time.LoadLocationFromTZData("/etc/localtime", data)
	if err != nil {
		return time.UTC
	}
	return zone
}

func parseAllowedSigners(text []byte, local *time.Location) (*AllowedSigners, error) {
	if len(text) > maxAllowedSigners {
		return nil, fmt.Errorf("allowed_signers: %d bytes, at most %d are allowed", len(text), maxAllowedSigners)
	}
	a := new(AllowedSigners)
	number := 0
	for line := range bytes.Lines(text) {
		number++
		e, err := parseEntry(line, local)
		if err != nil {
			return nil, fmt.Errorf("allowed_signers line %d: %w", number, err)
		}
		if e != nil {
			e.Line = number
			a.entries = append(a.entries, *e)
		}
	}
	if len(a.entries) == 0 {
		return nil, errors.New("allowed_signers: no key in it, so nobody would be trusted")
	}
	return a, nil
}

// parseEntry reads "principals [options] keytype base64 [comment]". It returns
// nil and no error for a comment or a blank line.
func parseEntry(raw []byte, local *time.Location) (*Entry, error) {
	line, err := cleanLine(raw)
	if err != nil || line == "" || line[0] == '#' {
		return nil, err
	}
	principals, rest := cutField(line)
	e := new(Entry)
	if e.principals, err = parsePatternList(principals); err != nil {
		return nil, fmt.Errorf("principals: %w", err)
	}
	if rest == "" {
		return nil, errors.New("only principals on this line: want principals, options if any, key type, key in base64")
	}
	word, afterWord := cutField(rest)
	var unknown *unknownKeyTypeError
	if errors.As(checkKeyType(word), &unknown) {
		// As in OpenSSH, what is not a key type is options.
		if rest, err = e.parseOptions(rest, local); err != nil {
			return nil, err
		}
		word, afterWord = cutField(rest)
	}
	if word == "" {
		return nil, errors.New("no key after the options")
	}
	encoded, comment := cutField(afterWord)
	e.Comment = comment
	if e.Key, err = parseKeyFields(word, encoded); err != nil {
		return nil, err
	}
	return e, nil
}

// cleanLine returns the line without its end and the blanks around it.
func cleanLine(raw []byte) (string, error) {
	if len(raw) > maxAllowedLine {
		return "", fmt.Errorf("%d bytes, at most %d are allowed", len(raw), maxAllowedLine)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if strings.HasPrefix(line, "\ufeff") {
		return "", errors.New("starts with a byte order mark: save the file as plain UTF-8 without one")
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if !utf8.ValidString(line) || strings.ContainsFunc(line, control) {
		return "", errors.New("holds bytes that are not text")
	}
	return strings.Trim(line, " \t"), nil
}

// cutField splits s after its first field of bytes other than blanks.
func cutField(s string) (field, rest string) {
	end := strings.IndexAny(s, " \t")
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeft(s[end:], " \t")
}

// parseKeyFields reads the "keytype base64" of a public key line.
func parseKeyFields(keyType, encoded string) (ssh.PublicKey, error) {
	if err := checkKeyType(keyType); err != nil {
		return nil, err
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(blob) == 0 {
		return nil, fmt.Errorf("%s key is not base64: cut short or wrapped?", keyType)
	}
	pub, err := parsePublicKey(blob)
	if err != nil {
		return nil, err
	}
	if pub.Type() != keyType {
		return nil, fmt.Errorf("line says %s, but its key is of type %s", keyType, pub.Type())
	}
	return pub, nil
}

// Entries returns the lines that hold a key, in the order of the file.
func (a *AllowedSigners) Entries() []Entry { return slices.Clone(a.entries) }

// Principals returns whom the line names, as written: names or patterns with
// '*' and '?', without negated ones.
func (e *Entry) Principals() []string { return e.principals.positive() }

// Namespaces returns the patterns of namespaces that the line allows, as
// written, or nil if it allows any.
func (e *Entry) Namespaces() []string { return slices.Clone(e.namespaces) }

// Names reports whether the line stands for that principal.
func (e *Entry) Names(principal string) bool { return e.principals.match(principal) }

// String returns the line in its canonical form, without line feed: times in
// UTC, one blank between fields. Parsed again it means the same.
func (e *Entry) String() string {
	fields := []string{strings.Join(e.principals, ",")}
	var options []string
	if e.namespaces != nil {
		options = append(options, `namespaces="`+strings.Join(e.namespaces, ",")+`"`)
	}
	if !e.ValidAfter.IsZero() {
		options = append(options, `valid-after="`+e.ValidAfter.UTC().Format(timeSeconds)+`Z"`)
	}
	if !e.ValidBefore.IsZero() {
		options = append(options, `valid-before="`+e.ValidBefore.UTC().Format(timeSeconds)+`Z"`)
	}
	if options != nil {
		fields = append(fields, strings.Join(options, ","))
	}
	fields = append(fields, authorizedKey(e.Key, e.Comment))
	return strings.Join(fields, " ")
}

// authorizedKey returns "keytype base64 [comment]" without line feed.
func authorizedKey(pub ssh.PublicKey, comment string) string {
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(pub)), "\n")
	if comment != "" {
		line += " " + comment
	}
	return line
}

// AllowedSignersLine returns a line, with line feed, for an allowed_signers
// file: principal may sign with pub in the namespaces that the pattern list
// matches. Both must be given, and principal must be one plain name.
func AllowedSignersLine(principal, namespaces string, pub ssh.PublicKey) (string, error) {
	who, err := parsePatternList(principal)
	if err != nil {
		return "", fmt.Errorf("principal: %w", err)
	}
	if len(who) != 1 || !isLiteral(principal) || principal[0] == '#' {
		return "", fmt.Errorf("principal %q is not one plain name", principal)
	}
	where, err := parsePatternList(namespaces)
	if err != nil {
		return "", fmt.Errorf("namespaces: %w", err)
	}
	if err := checkPublicKey(pub); err != nil {
		return "", err
	}
	e := Entry{Key: pub, principals: who, namespaces: where}
	return e.String() + "\n", nil
}
