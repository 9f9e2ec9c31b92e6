//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"airlock/internal/realtest"
)

// Main runs the tests of a package with both commands on the PATH, and ends
// the process. The test binary itself runs what own names; a command that own
// does not name is built. Docker engines are shared, as under realtest.Main.
func Main(m *testing.M, own map[string]func()) {
	testscript.Main(realtest.Sharing(builder{m, own}), own)
}

// builder builds commands before the tests run.
type builder struct {
	tests *testing.M
	own   map[string]func()
}

func (b builder) Run() int {
	dir, err := os.MkdirTemp("", "airlock-commands-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = b.build(dir)
	}
	if err == nil {
		err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	if err != nil {
		fmt.Printf("e2e: building the commands: %v\n", err)
		return 1
	}
	return b.tests.Run()
}

func (b builder) build(dir string) error {
	for _, name := range []string{"bundle", "unbundle"} {
		if b.own[name] != nil {
			continue
		}
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), "airlock/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
	}
	return nil
}
