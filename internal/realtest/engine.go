//go:build linux

package realtest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// A generation is a kind of Docker engine.
type generation int

const (
	classic generation = iota // the image store of its own, with a graph driver
	today                     // containerd's image store, with a snapshotter
)

// An engine is a dockerd on a containerd of its own.
type engine struct {
	place *place
	path  string // the PATH of its programs
}

// shutdownSeconds is how long dockerd waits for containers at its end.
const shutdownSeconds = 3

func (e *engine) host() string             { return "unix://" + e.place.path("docker.sock") }
func (e *engine) containerdSocket() string { return e.place.path("containerd.sock") }

// startEngine starts containerd and dockerd. The containerd is ours, since one
// that dockerd starts could outlive it.
func startEngine(g generation) (*engine, error) {
	place, err := newPlace("/tmp")
	if err != nil {
		return nil, err
	}
	e := &engine{place: place, path: systemPath()}
	place.elsewhere = e.shimSockets
	find := findSystem
	if g == today {
		find, e.path = findBuilt, builtFolder()+":"+e.path
		err = e.wrapOldRunc()
	}
	if err == nil {
		err = e.startContainerd(find)
	}
	if err == nil {
		err = e.startDockerd(g, find)
	}
	if err != nil {
		return nil, errors.Join(err, place.end())
	}
	return e, nil
}

func (e *engine) startContainerd(find func(string) (string, error)) error {
	command, err := find("containerd")
	if err != nil {
		return err
	}
	// The CRI plugin is Kubernetes's; it would open a port.
	config, err := e.place.write("containerd.toml", fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`, e.place.path("croot"), e.place.path("cstate"), e.containerdSocket()))
	if err != nil {
		return err
	}
	g, err := e.place.start("containerd", e.path, command, "--config", config)
	if err != nil {
		return err
	}
	return g.ready(func() error {
		conn, err := net.DialTimeout("unix", e.containerdSocket(), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

var shimSocket = regexp.MustCompile(`/run/containerd/s/[0-9a-f]{64}`)

// shimSockets lists the sockets of containers' shims. Their folder is compiled
// into containerd, and the state of each container names its own.
func (e *engine) shimSockets() []string {
	var sockets []string
	for _, name := range []string{"address", "bootstrap.json"} {
		files, _ := filepath.Glob(e.place.path("cstate", "io.containerd.runtime.v2.task", "*", "*", name))
		for _, file := range files {
			text, _ := os.ReadFile(file) // the container may just have ended
			sockets = append(sockets, shimSocket.FindAllString(string(text), -1)...)
		}
	}
	slices.Sort(sockets)
	return slices.Compact(sockets)
}

func (e *engine) startDockerd(g generation, find func(string) (string, error)) error {
	command, err := find("dockerd")
	if err != nil {
		return err
	}
	config, err := e.place.write("daemon.json", fmt.Sprintf(
		`{"features": {"containerd-snapshotter": %t}, "shutdown-timeout": %d}`, g == today, shutdownSeconds))
	if err != nil {
		return err
	}
	p, err := e.place.start("dockerd", e.path, command,
		"--config-file", config,
		"--data-root", e.place.path("data"),
		"--exec-root", e.place.path("exec"),
		"--pidfile", e.place.path("dockerd.pid"),
		"--host", e.host(),
		"--containerd", e.containerdSocket(),
		// Neither rules of the machine's firewall nor an interface are touched.
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	if err != nil {
		return err
	}
	client := unixClient(e.host())
	return p.ready(func() error {
		reply, err := client.Get("http://docker/_ping")
		if err != nil {
			return err
		}
		if reply.StatusCode != http.StatusOK {
			err = errors.New(reply.Status)
		}
		return errors.Join(err, reply.Body.Close())
	})
}

// oldRunc is put before a runc that does not know time namespaces. Today's
// engine asks for one in every container, and runc knows them since 1.2.
const oldRunc = `#!/bin/sh
bundle=
before=
for word; do
	[ "$before" != --bundle ] || bundle=$word
	before=$word
done
if [ -n "$bundle" ]; then
	jq -c 'del(.linux.namespaces[] | select(.type == "time"))' "$bundle/config.json" >"$bundle/config.json.new" &&
		mv "$bundle/config.json.new" "$bundle/config.json" || exit 1
fi
exec %s "$@"
`

// wrapOldRunc makes the engine find our runc first if the system's is old.
func (e *engine) wrapOldRunc() error {
	runc, err := findSystem("runc")
	if err != nil {
		return err
	}
	version, err := exec.Command(runc, "--version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", runc, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(version), "runc version %d.%d", &major, &minor); err != nil {
		return fmt.Errorf("parsing %q as the version of %s: %w", version, runc, err)
	}
	if major > 1 || major == 1 && minor >= 2 {
		return nil
	}
	bin := e.place.path("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	e.path = bin + ":" + e.path
	return os.WriteFile(e.place.path("bin", "runc"), fmt.Appendf(nil, oldRunc, runc), 0o700)
}
