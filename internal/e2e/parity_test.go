//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

// TestParityOverSFTP writes bundles with parity and spare volumes straight to
// a server, damages them there, and has them pulled, loaded and made whole.
func TestParityOverSFTP(t *testing.T) {
	origin, sink, d, server := newOrigin(t, 2, 3<<20), newSink(t), newDesk(t), realtest.SSHD(t, realtest.Confined)
	config, err := os.ReadFile(server.ConfigFile)
	must(t, err)
	must(t, os.MkdirAll(d.path(".ssh"), 0o700))
	d.write(".ssh/config", string(config))
	url := "sftp://realtest/"
	for name, flags := range map[string][]string{"percent": {"--parity", "20"}, "spare": {"--spare-volumes", "1", "--volume-size", "2MiB"}} {
		d.run("bundle", append([]string{"create", origin.ref(), "-o", url + name, "--key", "key", "--as", "ana", "--quiet"}, flags...)...)
		volumes, err := filepath.Glob(filepath.Join(server.Root, name, "*.000.vol"))
		must(t, err)
		if len(volumes) != 1 {
			t.Fatalf("%s: volumes %q", name, volumes)
		}
		data, err := os.ReadFile(volumes[0])
		must(t, err)
		data[1<<20] ^= 1
		must(t, os.WriteFile(volumes[0], data, 0o644))
		if name == "spare" {
			must(t, os.Remove(volumes[0]))
		}
		got := d.try("unbundle", "receive", url+name, name, "--trust", "allowed_signers", "--quiet")
		if got.code != 0 || !strings.Contains(got.stderr, "was made again while it was read") {
			t.Errorf("%s: receive ended with %d: %s", name, got.code, got.stderr)
		}
		d.run("unbundle", "verify", name, "--trust", "allowed_signers", "--quiet")
		d.run("unbundle", "repair", url+name, "-o", name+"-whole", "--trust", "allowed_signers", "--quiet")
		d.run("unbundle", "verify", name+"-whole", "--trust", "allowed_signers", "--quiet")
	}
	d.run("unbundle", load(url+"spare", "registry://"+sink.host+"/far")...)
	if !sink.arrived("1", origin.digest()) {
		t.Error("the image has not arrived")
	}
}
