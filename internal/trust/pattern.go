package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const maxPattern = 255 // bytes

// A patternList is the "pattern-list" of ssh_config(5), PATTERNS: globs with
// '*' and '?', where a match of one led by '!' overrules all others.
type patternList []string

// parsePatternList reads a comma-separated list. It refuses lists that nothing
// can match, since whoever wrote them meant something else.
func parsePatternList(text string) (patternList, error) {
	list := patternList(strings.Split(text, ","))
	for _, p := range list {
		if err := checkPattern(strings.TrimPrefix(p, "!")); err != nil {
			return nil, err
		}
	}
	if len(list.positive()) == 0 {
		return nil, fmt.Errorf("pattern list %q matches nothing", text)
	}
	return list, nil
}

func checkPattern(glob string) error {
	if glob == "" {
		return errors.New("pattern list holds an empty pattern")
	}
	if len(glob) > maxPattern {
		return fmt.Errorf("pattern of %d bytes, at most %d are allowed", len(glob), maxPattern)
	}
	for i := range len(glob) {
		if c := glob[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '!' {
			return fmt.Errorf("pattern %q holds a byte that is not allowed: only printable ASCII without space, quote, backslash and inner '!' is", glob)
		}
	}
	return nil
}

// positive returns the patterns that are not negated, without those plain
// names that a negated pattern overrules.
func (l patternList) positive() []string {
	var out []string
	for _, p := range l {
		if p[0] == '!' || (isLiteral(p) && !l.match(p)) {
			continue
		}
		out = append(out, p)
	}
	return out
}

func isLiteral(glob string) bool { return !strings.ContainsAny(glob, "*?!") }

// match reports whether some pattern matches s and no negated one does.
func (l patternList) match(s string) bool {
	negated := func(p string) bool { return p[0] == '!' && matchGlob(p[1:], s) }
	return !slices.ContainsFunc(l, negated) &&
		slices.ContainsFunc(l, func(p string) bool { return p[0] != '!' && matchGlob(p, s) })
}

// matchGlob reports whether glob matches all of s, byte by byte and with
// regard to case. It takes time proportional to len(glob)·len(s) at most.
func matchGlob(glob, s string) bool {
	g, i := 0, 0
	star, resume := -1, 0 // the last '*' seen, and where in s it stopped eating
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			resume++
			g, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
