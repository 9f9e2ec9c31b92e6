//go:build linux

package e2e

import (
	"testing"
	"time"

	"airlock/internal/realtest"
)

// TestRoundTrips counts how often the commands wait for a server far away when
// the bundle is so small that its bytes take no time: to log in, and for each
// thing that has to be known or durable before the next is done.
func TestRoundTrips(t *testing.T) {
	origin, d, server := newOrigin(t, 3, 1<<20), newDesk(t), realtest.SSHD(t)
	proxy, url := d.proxied(server)
	d.run("bundle", "create", origin.ref(), "--key", "key", "--as", "ana", "-o", "near", "--parity", "0")
	proxy.Delay(40 * time.Millisecond)
	for _, test := range []struct {
		most int64
		args []string
	}{
		{36, []string{"bundle", "send", "near", url}},
		{28, []string{"unbundle", "receive", url, "back", "--trust", "allowed_signers"}},
	} {
		before := proxy.Trips()
		e := d.tryAtHome(append(test.args, "--identity", server.IdentityFile)...)
		if e.code != 0 {
			t.Fatalf("%q: exit code %d: %s", test.args[:2], e.code, e.stderr)
		}
		trips := proxy.Trips() - before
		t.Logf("%q: %d round trips over %d connections", test.args[:2], trips, len(proxy.Carried()))
		if trips > test.most || trips < 8 {
			t.Errorf("%q waited %d times for the server, want 8 to %d", test.args[:2], trips, test.most)
		}
	}
	if e := d.try("diff", "-r", "near", "back"); e.code != 0 {
		t.Errorf("other files came back: %s", e.stdout)
	}
}
