package manifest

import (
	"fmt"
	"strings"
)

// Limits of the parts of an image's name, in bytes (the grammar of Docker's
// references, which registries keep).
const (
	maxHost = 255
	maxPath = 255
	maxTag  = 128
)

const (
	letters   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	lowerCase = nameLetters
)

// isMade reports whether s has 1 to most bytes, all of them from alphabet.
func isMade(s, alphabet string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, alphabet) == "" && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) < 0
}

// checkImageName refuses all but host/path and host/path:tag as Docker's
// grammar of references spells them. The host is one that cannot be taken for
// the beginning of a path: it has a dot, a colon or a capital, or is localhost.
func checkImageName(name string) error {
	if err := checkText(name); err != nil {
		return fmt.Errorf("name %w", err)
	}
	host, path, _ := strings.Cut(name, "/")
	if i := strings.LastIndex(path, ":"); i >= 0 {
		if err := checkTag(path[i+1:]); err != nil {
			return fmt.Errorf("name %q: %w", clip(name), err)
		}
		path = path[:i]
	}
	if !isHost(host) || !isPath(path) {
		return fmt.Errorf("name %q: want host/path or host/path:tag", clip(name))
	}
	return nil
}

// isHost reports whether s is a host name, an IPv4 address or a bracketed IPv6
// address, perhaps with a port.
func isHost(s string) bool {
	if len(s) > maxHost || (!strings.ContainsAny(s, ".:") && s == strings.ToLower(s) && s != "localhost") {
		return false
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		address, port, ok := strings.Cut(inner, "]")
		return ok && isMade(address, digits+"abcdefABCDEF:", maxHost) && (port == "" || isPort(port))
	}
	name, _, hasPort := strings.Cut(s, ":")
	if hasPort && !isPort(s[len(name):]) {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isMade(label, letters+digits+"-", maxHost) || strings.Trim(label, "-") != label {
			return false
		}
	}
	return true
}

// isPort reports whether s is a colon and a number.
func isPort(s string) bool { return s[0] == ':' && isMade(s[1:], digits, 5) }

// isPath reports whether s is components with slashes between them: lower-case
// letters and digits, with single dots, one or two underscores, or hyphens in
// between.
func isPath(s string) bool {
	if len(s) > maxPath {
		return false
	}
	for component := range strings.SplitSeq(s, "/") {
		if !isMade(component, lowerCase+"._-", maxPath) || strings.Trim(component, "._-") != component {
			return false
		}
		for _, separator := range strings.FieldsFunc(component, func(r rune) bool { return strings.ContainsRune(lowerCase, r) }) {
			if separator != "." && separator != "_" && separator != "__" && strings.Trim(separator, "-") != "" {
				return false
			}
		}
	}
	return true
}

// checkTag refuses what is no tag (distribution-spec, "Pulling manifests").
func checkTag(tag string) error {
	if !isMade(tag, letters+digits+"_.-", maxTag) || strings.ContainsAny(tag[:1], ".-") {
		return fmt.Errorf("tag %q: want 1 to %d letters, digits, dots, underscores and hyphens, starting with none of . and -", clip(tag), maxTag)
	}
	return nil
}

// checkPlatforms refuses all but sorted, different os/architecture[/variant].
func checkPlatforms(all []string) error {
	last := ""
	for _, p := range all {
		parts := strings.Split(p, "/")
		if len(parts) < 2 || len(parts) > 3 {
			return fmt.Errorf("platform %q: want os/architecture or os/architecture/variant", clip(p))
		}
		for _, part := range parts {
			if !isMade(part, lowerCase+"_.-", maxText) {
				return fmt.Errorf("platform %q: want lower-case letters, digits, dots, underscores and hyphens", clip(p))
			}
		}
		if p <= last {
			return fmt.Errorf("platform %q is out of order", p)
		}
		last = p
	}
	return nil
}

// IsMediaType reports whether s is type/subtype as RFC 6838, section 4.2, spells
// names, without parameters.
func IsMediaType(s string) bool {
	const most = 127
	kind, subtype, _ := strings.Cut(s, "/")
	for _, name := range []string{kind, subtype} {
		if !isMade(name, letters+digits+"!#$&-^_.+", most) || strings.Trim(name[:1], letters+digits) != "" {
			return false
		}
	}
	return true
}
