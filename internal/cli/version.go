package cli

import (
	"fmt"
	"runtime/debug"
)

// version returns what --version prints of a build: the module's version, the
// commit if the build knows it, and the toolchain.
func version(build *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	text := build.Main.Version
	if revision := settings["vcs.revision"]; revision != "" {
		text += ", revision " + revision
		if settings["vcs.modified"] == "true" {
			text += " with changes"
		}
	}
	return fmt.Sprintf("%s, %s", text, build.GoVersion)
}
