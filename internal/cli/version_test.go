package cli

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	build := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}}
	for _, c := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, "(devel), go1.26.0"},
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "0a1b"}, {Key: "vcs.modified", Value: "false"}}, "(devel), revision 0a1b, go1.26.0"},
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "0a1b"}, {Key: "vcs.modified", Value: "true"}}, "(devel), revision 0a1b with changes, go1.26.0"},
	} {
		build.Settings = c.settings
		if got := version(build); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
