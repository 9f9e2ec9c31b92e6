package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindHost(t *testing.T) {
	home := t.TempDir()
	meta := func(name, host string) {
		sum := sha256.Sum256([]byte(name))
		dir := filepath.Join(home, ".docker", "contexts", "meta", hex.EncodeToString(sum[:]))
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "meta.json"), []byte(`{"Name":"x","Endpoints":{"docker":{"Host":"`+host+`"}}}`), 0o644))
	}
	meta("rootless", "unix:///run/user/1/docker.sock")
	meta("far", "tcp://far.example:2376")
	config := filepath.Join(home, ".docker", "config.json")
	for name, c := range map[string]struct {
		explicit string
		env      map[string]string
		config   string
		want     string // a host
		refused  string // part of the error
	}{
		"nothing":                {want: "unix:///var/run/docker.sock"},
		"explicit socket":        {explicit: "unix:///x.sock", env: map[string]string{"DOCKER_HOST": "unix:///y.sock"}, want: "unix:///x.sock"},
		"explicit remote":        {explicit: "tcp://far.example:2376", want: "tcp://far.example:2376"},
		"explicit without port":  {explicit: "tcp://far.example", refused: "missing port"},
		"explicit ssh":           {explicit: "ssh://far.example", refused: "ssh -L"},
		"explicit other":         {explicit: "http://far.example", refused: "want unix://"},
		"explicit no scheme":     {explicit: "/var/run/docker.sock", refused: "want unix://"},
		"environment":            {env: map[string]string{"DOCKER_HOST": "unix:///y.sock"}, want: "unix:///y.sock"},
		"remote environment":     {env: map[string]string{"DOCKER_HOST": "tcp://far.example:2376"}, refused: "DOCKER_HOST names an engine on another machine"},
		"context":                {config: `{"currentContext":"rootless"}`, want: "unix:///run/user/1/docker.sock"},
		"context by environment": {env: map[string]string{"DOCKER_CONTEXT": "rootless"}, want: "unix:///run/user/1/docker.sock"},
		"remote context":         {config: `{"currentContext":"far"}`, refused: `docker context "far" names an engine on another machine`},
		"default context":        {config: `{"currentContext":"default"}`, want: "unix:///var/run/docker.sock"},
		"unknown context":        {config: `{"currentContext":"gone"}`, refused: "no such file"},
		"broken configuration":   {config: `{`, refused: "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(config)
			if c.config != "" {
				must(t, os.WriteFile(config, []byte(c.config), 0o600))
			}
			got, err := findHost(c.explicit, surroundings{getenv: func(name string) string { return c.env[name] }, home: home})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %q and %v, want an error with %q", got, err, c.refused)
				}
				return
			}
			must(t, err)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
