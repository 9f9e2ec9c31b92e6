//go:build linux

package realtest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A DockerDaemon is a Docker engine of its own, apart from any other on the
// machine. It has no network but its host's, and trusts registries on the
// loopback interface without TLS, as every engine does. Containers run with
// --network=none.
type DockerDaemon struct {
	// Host is its address, "unix:///…/docker.sock".
	Host string
	// Containerd is the address of the containerd under it, a path for
	// ctr --address. In the classic store only running containers are there.
	Containerd string
	// Namespace is the containerd namespace of its images, "moby".
	Namespace string

	t   testing.TB
	cli string
	dir string
}

// An EngineOption changes which engine a test gets.
type EngineOption int

// Alone asks for an engine of the test's own, also under [Main].
const Alone EngineOption = 1

// Docker returns an engine with the classic image store, in which an image is
// known by the digest of its config: Debian's dockerd, overlay2. Under [Main]
// it is shared, images of other tests included; otherwise it is the test's own.
func Docker(t testing.TB, options ...EngineOption) *DockerDaemon {
	t.Helper()
	needRoot(t, "dockerd")
	needSystem(t, "dockerd", "containerd", "runc")
	return attach(t, classic, options)
}

// DockerContainerd returns today's engine with containerd's image store, in
// which an image is known by the digest of its manifest or index. Under [Main]
// it is shared, images of other tests included; otherwise it is the test's own.
func DockerContainerd(t testing.TB, options ...EngineOption) *DockerDaemon {
	t.Helper()
	needRoot(t, "dockerd")
	for _, name := range []string{"dockerd", "containerd", "containerd-shim-runc-v2"} {
		if _, err := findBuilt(name); err != nil {
			Missing(t, err.Error())
		}
	}
	needSystem(t, "runc", "jq")
	return attach(t, today, options)
}

func attach(t testing.TB, g generation, options []EngineOption) *DockerDaemon {
	t.Helper()
	cli := Tool(t, "docker")
	e, err := engineFor(t, g, slices.Contains(options, Alone))
	if err != nil {
		t.Fatalf("starting a Docker engine: %v", err)
	}
	return &DockerDaemon{
		Host:       e.host(),
		Containerd: e.containerdSocket(),
		Namespace:  "moby",
		t:          t,
		cli:        cli,
		dir:        e.place.dir,
	}
}

func engineFor(t testing.TB, g generation, alone bool) (*engine, error) {
	if s := suite.Load(); s != nil && !alone {
		e, err := s.engine(g)
		if err == nil {
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(e.place.logs())
				}
			})
		}
		return e, err
	}
	e, err := startEngine(g)
	if err == nil {
		e.place.endWith(t)
	}
	return e, err
}

// Command returns the docker command with these arguments, about to talk to
// this engine and to know nothing of the person's own configuration.
func (d *DockerDaemon) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.cli, args...)
	cmd.Env = append(os.Environ(), d.Env()...)
	return cmd
}

// Env returns the environment that makes a program talk to this engine.
func (d *DockerDaemon) Env() []string {
	return []string{
		"DOCKER_HOST=" + d.Host, "DOCKER_CONFIG=" + d.dir, "DOCKER_CONTEXT=",
		"DOCKER_TLS_VERIFY=", "DOCKER_API_VERSION=", "DOCKER_DEFAULT_PLATFORM=",
	}
}

// Run runs the docker command and returns what it printed, without the spaces
// at both ends. A failure ends the test.
func (d *DockerDaemon) Run(args ...string) string {
	d.t.Helper()
	out, err := d.Try(args...)
	if err != nil {
		d.t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// Try is Run for a command that may fail; the error holds its standard error.
func (d *DockerDaemon) Try(args ...string) (string, error) {
	cmd := d.Command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", &commandError{err, strings.TrimSpace(stderr.String())}
	}
	return strings.TrimSpace(stdout.String()), nil
}

type commandError struct {
	err    error
	stderr string
}

func (e *commandError) Error() string { return e.err.Error() + ": " + e.stderr }
func (e *commandError) Unwrap() error { return e.err }

// Clear removes all containers, images and volumes, so that a shared engine is
// like new. Tests that run at the same time notice.
func (d *DockerDaemon) Clear() {
	d.t.Helper()
	if ids := strings.Fields(d.Run("container", "ls", "-aq")); len(ids) > 0 {
		d.Run(append([]string{"container", "rm", "-f"}, ids...)...)
	}
	d.Run("system", "prune", "-af", "--volumes")
	if ids := d.Run("image", "ls", "-aq"); ids != "" {
		d.t.Fatalf("docker images are left after a prune: %s", ids)
	}
}

// Client returns an HTTP client for the engine's API: its requests go to the
// engine whatever host their URL names.
func (d *DockerDaemon) Client() *http.Client { return unixClient(d.Host) }

func unixClient(host string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}
