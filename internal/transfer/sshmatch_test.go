package transfer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMatchBlocks(t *testing.T) {
	for _, c := range []struct {
		text string
		good bool
	}{
		{"Match all\n  Port 22\n", true},
		{"match host far*,!farm # mine\n", true},
		{"Match=host far\n", true},
		{"Match host far user bo\n", false},
		{"Match host far exec \"false\"\n", false},
		{"Match originalhost far\n", false},
		{"Match exec \"true\"\n", false},
		{"Match\n", false},
		{"Match host\n", false},
		{"Include deeper\n", false},
		{"Include ~/.ssh/d*\n", false},
		{"Include nothing\n", true},
		{"Include circle\n", false},
		{"# Match final\nHost far\n", true},
	} {
		home := t.TempDir()
		dir := filepath.Join(home, ".ssh")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"config": c.text, "deeper": "Host x\nMatch final\n", "circle": "Include circle\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := &settings{home: home}
		err := s.checkMatches("config", []byte(c.text), 0)
		if (err == nil) != c.good {
			t.Errorf("%q: %v", c.text, err)
		}
		o := Options{ConfigFile: filepath.Join(dir, "config"), Home: home}
		if _, err := readSettings(o); err == nil && !c.good && !strings.HasPrefix(c.text, "Include") {
			t.Errorf("%q is taken", c.text)
		}
	}
}
