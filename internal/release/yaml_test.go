package release_test

import (
	"strings"
	"testing"

	"airlock/internal/release"
)

// TestPlainWords reads what is said of files that are wrong: lines and fields,
// and no word of Go.
func TestPlainWords(t *testing.T) {
	const good = "release: shop\nversion: \"1\"\n"
	for text, want := range map[string]string{
		"":                     "it is empty",
		good + "imagess: []\n": `line 3: there is no field "imagess"`,
		good + "images:\n- image: x\n  platform: y\n": `line 5: there is no field "platform"`,
		good + "images: x\n":                          "line 3: the text x where a list is wanted",
		good + "images: [[x]]\n":                      "line 3: a list where a group of fields is wanted",
		good + "images: [x]\n":                        "line 3: the text x where a group of fields is wanted",
		good + "sequence: x\n":                        "line 3: the text x where a whole number is wanted",
		good + "sequence: -1\n":                       "line 3: the number -1 where a whole number is wanted",
		good + "annotations: [x]\n":                   "line 3: a list where a group of fields is wanted",
		good + "version: \"2\"\n":                     `line 3: mapping key "version" already defined at line 2`,
		"release: \"shop\n":                           "line",
		"[]":                                          "line 1: a list where a group of fields is wanted",
	} {
		_, err := release.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
			continue
		}
		for _, word := range []string{"unmarshal", "release.", "yaml:", "!!", "[]", "uint", "EOF"} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%q: %v says %q", text, err, word)
			}
		}
	}
}
