//go:build linux

package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool returns the absolute path of the named program: the one that
// scripts/install-test-tools built if there is one, else the system's. If
// there is neither, the test is skipped, or fails if AIRLOCK_REQUIRE is "all".
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := findBuilt(name)
	if err != nil {
		path, err = findSystem(name)
	}
	if err != nil {
		Missing(t, err.Error())
	}
	return path
}

// Missing ends the test because of something that it needs and that this
// machine lacks: it skips the test with the reason, or fails it if
// AIRLOCK_REQUIRE is "all".
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatalf("%s (and AIRLOCK_REQUIRE is %q)", reason, "all")
	}
	t.Skipf("%s (scripts/install-test-tools brings the real programs)", reason)
}

// builtFolder returns where scripts/install-test-tools puts what it builds.
func builtFolder() string {
	tools := os.Getenv("AIRLOCK_TOOLS")
	if tools == "" {
		tools = filepath.Join(os.Getenv("HOME"), ".cache", "airlock-tools")
	}
	return filepath.Join(tools, "bin")
}

func findBuilt(name string) (string, error) {
	return findIn([]string{builtFolder()}, name)
}

func findSystem(name string) (string, error) {
	// A user's PATH often lacks the folders of daemons.
	return findIn(strings.Split(systemPath(), ":"), name)
}

func systemPath() string {
	return os.Getenv("PATH") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

func findIn(folders []string, name string) (string, error) {
	for _, folder := range folders {
		if !filepath.IsAbs(folder) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %q is not in %s", name, strings.Join(folders, ":"))
}

// needSystem ends the test unless the system has all of the named programs.
func needSystem(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := findSystem(name); err != nil {
			Missing(t, err.Error())
		}
	}
}

func needRoot(t testing.TB, who string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, who+" must be started by root")
	}
}
