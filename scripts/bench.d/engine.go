//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A generation is a kind of Docker Engine.
type generation int

const (
	classic generation = iota // Debian's, with the image store of its own
	today                     // today's, with containerd's image store
)

func (g generation) String() string {
	return [...]string{"Docker 20.10, classic store", "today's Docker, containerd store"}[g]
}

// An engine is a dockerd on a containerd of its own, apart from any other.
type engine struct {
	dir      string
	programs []*program // containerd, dockerd
}

func (e *engine) host() string { return "unix://" + filepath.Join(e.dir, "d.sock") }

// env makes docker and whoever knows its variables talk to this engine.
func (e *engine) env() []string {
	return []string{
		"DOCKER_HOST=" + e.host(), "DOCKER_CONFIG=" + e.dir, "DOCKER_CONTEXT=", "DOCKER_BUILDKIT=0",
		"DOCKER_TLS_VERIFY=", "DOCKER_API_VERSION=", "DOCKER_DEFAULT_PLATFORM=",
	}
}

// startEngine starts an engine whose data lies in dir, which is made and must
// have a short name: the path of a unix socket has at most 108 bytes.
func startEngine(ctx context.Context, g generation, tools, dir string) (*engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// buildah wants the file in DOCKER_CONFIG to be there.
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	e := &engine{dir: dir}
	path := os.Getenv("PATH")
	containerd, dockerd := "/usr/bin/containerd", "/usr/sbin/dockerd"
	if g == today {
		containerd, dockerd = filepath.Join(tools, "containerd"), filepath.Join(tools, "dockerd")
		path = tools + ":" + path
	}
	err := e.startContainerd(ctx, containerd, path)
	if err == nil {
		err = e.startDockerd(ctx, g, dockerd, path)
	}
	if err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

func (e *engine) file(name string) string { return filepath.Join(e.dir, name) }

func (e *engine) startContainerd(ctx context.Context, containerd, path string) error {
	// The CRI plugin is Kubernetes's; it would open a port.
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`, e.file("croot"), e.file("cstate"), e.file("c.sock"))
	if err := os.WriteFile(e.file("containerd.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	p, err := startProgram(e.dir, "containerd", path, containerd, "--config", e.file("containerd.toml"))
	if err != nil {
		return err
	}
	e.programs = append(e.programs, p)
	return p.ready(ctx, func() error {
		conn, err := net.DialTimeout("unix", e.file("c.sock"), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (e *engine) startDockerd(ctx context.Context, g generation, dockerd, path string) error {
	config := fmt.Sprintf(`{"features": {"containerd-snapshotter": %t}, "shutdown-timeout": 3}`, g == today)
	if err := os.WriteFile(e.file("daemon.json"), []byte(config), 0o600); err != nil {
		return err
	}
	p, err := startProgram(e.dir, "dockerd", path, dockerd,
		"--config-file", e.file("daemon.json"), "--data-root", e.file("data"), "--exec-root", e.file("exec"),
		"--pidfile", e.file("dockerd.pid"), "--host", e.host(), "--containerd", e.file("c.sock"),
		// Neither rules of the machine's firewall nor an interface are touched.
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	if err != nil {
		return err
	}
	e.programs = append(e.programs, p)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.file("d.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return p.ready(ctx, func() error { return answers(ctx, client, "http://docker/_ping") })
}

// end ends the engine and removes all that it stored.
func (e *engine) end() error {
	for i := len(e.programs) - 1; i >= 0; i-- {
		e.programs[i].end()
	}
	return removeWithMounts(e.dir)
}

// removeWithMounts unmounts what is mounted below dir, then removes it.
func removeWithMounts(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		// proc_pid_mountinfo(5): the fifth field is the mount point.
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmounting %q: %w", fields[4], err)
			}
		}
	}
	return os.RemoveAll(dir)
}
