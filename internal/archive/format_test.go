package archive_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	ruleLine = regexp.MustCompile(`(?m)^- \*\*([RW])([0-9]+)\.\*\* .*$`)
	quoted   = regexp.MustCompile("`([^`]+)`")
)

// TestRulesNameTheirVectors holds that the rules of FORMAT.md are numbered one
// by one, that each names vectors or tests that exist, and that every vector
// is named by a rule.
func TestRulesNameTheirVectors(t *testing.T) {
	raw, err := os.ReadFile("FORMAT.md")
	must(t, err)
	unnamed := map[string]bool{"ok_golden": false}
	for _, v := range readVectors(t) {
		unnamed[v.name] = v.name != "ok_golden"
	}
	next := map[string]int{"R": 1, "W": 1}
	for _, m := range ruleLine.FindAllStringSubmatch(string(raw), -1) {
		if m[2] != fmt.Sprint(next[m[1]]) {
			t.Errorf("rule %s%s comes where %s%d should", m[1], m[2], m[1], next[m[1]])
		}
		next[m[1]]++
		_, list, vectors := strings.Cut(m[0], "*Vectors:* ")
		list, _, _ = strings.Cut(list, "*Tests:*")
		for _, q := range quoted.FindAllStringSubmatch(list, -1) {
			if claim(unnamed, q[1]) == 0 {
				t.Errorf("rule %s%s: there is no vector %s", m[1], m[2], q[1])
			}
		}
		_, list, tests := strings.Cut(m[0], "*Tests:* ")
		for _, q := range quoted.FindAllStringSubmatch(list, -1) {
			checkTestExists(t, q[1])
		}
		if !vectors && !tests {
			t.Errorf("rule %s%s names neither a vector nor a test", m[1], m[2])
		}
	}
	if next["R"] < 30 || next["W"] < 5 {
		t.Errorf("found rules up to R%d and W%d", next["R"]-1, next["W"]-1)
	}
	for name, still := range unnamed {
		if still {
			t.Errorf("no rule names vector %s", name)
		}
	}
}

// claim marks the vectors that a pattern names, and returns how many there are.
func claim(unnamed map[string]bool, pattern string) int {
	n := 0
	for name := range unnamed {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			unnamed[name] = false
			n++
		}
	}
	return n
}

// checkTestExists looks for package.TestName in the package's files.
func checkTestExists(t *testing.T, name string) {
	t.Helper()
	dir, function, _ := strings.Cut(name, ".")
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	must(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		if strings.Contains(string(raw), "\nfunc "+function+"(") {
			return
		}
	}
	t.Errorf("there is no test %s", name)
}
