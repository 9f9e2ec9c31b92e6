package release

import (
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// plain returns an error of the YAML reader in the words of who wrote the file:
// lines and fields, and none of Go's types.
func plain(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty; want at least release, version and images")
	}
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var all []string
	for _, s := range wrong.Errors {
		s = unknownField.ReplaceAllString(s, `there is no field "$1"`)
		s = otherType.ReplaceAllStringFunc(s, func(s string) string {
			m := otherType.FindStringSubmatch(s)
			what := yamlKinds[m[1]]
			if m[2] != "" {
				what += " " + strings.Trim(m[2], " `")
			}
			return strings.TrimSpace(what) + " where " + wanted(m[3]) + " is wanted"
		})
		all = append(all, s)
	}
	return errors.New(strings.Join(all, "; "))
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	otherType    = regexp.MustCompile("cannot unmarshal !!(\\w+)( `[^`]*`)? into (\\S+)")
)

var yamlKinds = map[string]string{"str": "the text", "int": "the number", "float": "the number", "bool": "the word", "null": "nothing", "seq": "a list", "map": "a group of fields", "timestamp": "the time"}

// wanted says what a field of a Go type takes.
func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "a group of fields"
	case strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case goType == "string":
		return "a text"
	}
	return "a group of fields"
}
