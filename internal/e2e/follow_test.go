//go:build linux

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/realtest"
	"airlock/internal/transfer/proxytest"
)

// TestFollowedCut packs small for a server, to which the connection is cut while
// the bundle is on its way: the rest goes once all is packed.
func TestFollowedCut(t *testing.T) {
	origin, d, server := newOrigin(t, 3, 9<<20), newDesk(t), realtest.SSHD(t)
	proxy, url := d.proxied(server)
	create := []string{"create", origin.ref(), "--pack", "small", "--key", "key", "--as", "ana", "--created", "2026-01-02T03:04:05Z"}
	d.run("bundle", append(create, "-o", "near")...)
	proxy.CutAfter(8 << 20)
	e := d.tryAtHome(append([]string{"bundle"}, append(create, "-o", url, "--identity", server.IdentityFile)...)...)
	if e.code != 0 {
		t.Fatalf("exit code %d: %s", e.code, e.stderr)
	}
	if proxy.Cuts() != 1 {
		t.Errorf("the connection was cut %d times", proxy.Cuts())
	}
	if e := d.try("diff", "-r", "near", filepath.Join(server.Root, "far")); e.code != 0 {
		t.Errorf("what has arrived is other than what was packed: %s", e.stdout)
	}
	if left, err := filepath.Glob(d.path("airlock-pack*")); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}

// proxied puts a proxy before the server and makes home a home that knows it there.
// It returns the proxy and the URL of a folder by way of it.
func (d *desk) proxied(server *realtest.SSHServer) (*proxytest.Proxy, string) {
	d.t.Helper()
	proxy := proxytest.New(d.t, server.Addr)
	known, err := os.ReadFile(server.KnownHosts)
	must(d.t, err)
	_, port, err := net.SplitHostPort(proxy.Addr)
	must(d.t, err)
	home := d.path("home/.ssh")
	must(d.t, os.MkdirAll(home, 0o700))
	must(d.t, os.WriteFile(filepath.Join(home, "known_hosts"), []byte(strings.ReplaceAll(string(known), server.Port, port)), 0o600))
	return proxy, "sftp://" + server.User + "@" + proxy.Addr + server.Path + "/far"
}

// tryAtHome tries a command with the home that proxied makes.
func (d *desk) tryAtHome(command ...string) ended {
	d.t.Helper()
	return d.try("sh", append([]string{"-c", `HOME=home exec "$@"`, "sh"}, command...)...)
}
