//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

func TestMain(m *testing.M) { Main(m, nil) }

// desk is a folder in which somebody with a key works.
type desk struct {
	t   *testing.T
	dir string
}

// newDesk makes a folder with the key and the allowed_signers of ana.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t, t.TempDir()}
	d.write("allowed_signers", d.run("bundle", "keygen", "--as", "ana", "--key", "key"))
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) write(name, text string) {
	d.t.Helper()
	must(d.t, os.WriteFile(d.path(name), []byte(text), 0o644))
}

func (d *desk) read(name string) string {
	d.t.Helper()
	data, err := os.ReadFile(d.path(name))
	must(d.t, err)
	return string(data)
}

// command returns a command that will run in the folder, without the person's
// own configuration.
func (d *desk) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "HOME="+d.dir, "DOCKER_HOST=", "DOCKER_CONFIG="+d.dir, "SSH_AUTH_SOCK=", "SOURCE_DATE_EPOCH=")
	return cmd
}

// ended is how a command ended.
type ended struct {
	code           int
	stdout, stderr string
}

// try runs a command to its end.
func (d *desk) try(name string, args ...string) ended {
	d.t.Helper()
	return finish(d.t, d.command(name, args...), (*exec.Cmd).Run)
}

// finish collects what a command prints until wait returns.
func finish(t *testing.T, cmd *exec.Cmd, wait func(*exec.Cmd) error) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := wait(cmd)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return ended{code, stdout.String(), stderr.String()}
}

// run runs a command that must succeed, and returns what it printed.
func (d *desk) run(name string, args ...string) string {
	d.t.Helper()
	e := d.try(name, args...)
	if e.code != 0 {
		d.t.Fatalf("%s %s: exit code %d: %s", name, strings.Join(args, " "), e.code, e.stderr)
	}
	return e.stdout
}

// create makes a bundle of images, named or pinned.
func (d *desk) create(out string, images ...string) {
	d.t.Helper()
	pinned := strings.Fields(d.run("bundle", append([]string{"lock"}, images...)...))
	d.run("bundle", append([]string{"create", "-o", out, "--key", "key", "--as", "ana", "--release", "shop", "--version", "1",
		"--created", "2026-01-02T03:04:05Z"}, pinned...)...)
}

// load returns the arguments of unbundle that load a bundle.
func load(bundle, to string, more ...string) []string {
	return append([]string{"load", bundle, "--trust", "allowed_signers", "--quiet", "--to", to}, more...)
}

// skopeo runs the independent witness.
func (d *desk) skopeo(args ...string) string {
	d.t.Helper()
	realtest.Tool(d.t, "skopeo")
	return d.run("skopeo", args...)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// digestOfFile hashes a file of any size.
func digestOfFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	must(t, err)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
