package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes is how deep files of the SSH configuration may include others.
const maxIncludes = 5

// checkMatches refuses Match blocks that could apply here when they must not, or
// the other way round: the parser takes what follows "Match host PATTERN" for
// further patterns. "Match all" and "Match host" with patterns alone are as good
// as Host; anything else depends on what is not known here, or runs a command.
func (s *settings) checkMatches(path string, text []byte, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%q: more than %d files include one another", path, maxIncludes)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		words := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(words) == 0 {
			continue
		}
		switch strings.ToLower(words[0]) {
		case "match":
			if !simpleMatch(words[1:]) {
				return fmt.Errorf("%s:%d: %q is not understood here; Host blocks, %q and %q are",
					path, number, strings.TrimSpace(line), "Match all", "Match host PATTERN")
			}
		case "include":
			if err := s.checkIncluded(words[1:], depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// simpleMatch tells whether the words behind Match are "all", or "host" and one
// list of patterns.
func simpleMatch(words []string) bool {
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "#") }); i >= 0 {
		words = words[:i]
	}
	switch len(words) {
	case 1:
		return strings.EqualFold(words[0], "all")
	case 2:
		return strings.EqualFold(words[0], "host")
	}
	return false
}

// checkIncluded checks the files that an Include names. Those that cannot be
// read say nothing, as in ssh_config(5).
func (s *settings) checkIncluded(patterns []string, depth int) error {
	for _, pattern := range patterns {
		if pattern = s.atHome(pattern); !filepath.IsAbs(pattern) {
			pattern = filepath.Join(s.home, ".ssh", pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := readSmall(file, 1<<20)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				continue
			}
			if err != nil {
				return err
			}
			if err := s.checkMatches(file, text, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
