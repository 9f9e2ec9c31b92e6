//go:build linux

package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

// TestWithoutNetwork verifies and loads in a network namespace of its own, in
// which there is nothing but a loopback interface and a registry.
func TestWithoutNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Missing(t, "a network namespace must be made by root")
	}
	for _, name := range []string{"unshare", "ip", "docker-registry"} {
		realtest.Tool(t, name)
	}
	corpus, d := realtest.Registry(t).PushCorpus(), newDesk(t)
	d.create("usb", corpus.Signed.Ref, corpus.Multi.Ref)
	d.write("registry.yml", "version: 0.1\nstorage: {filesystem: {rootdirectory: "+d.path("storage")+"}}\nhttp: {addr: 127.0.0.1:5000}\n")
	d.write("inside.sh", `
ip link set lo up
docker-registry serve registry.yml >registry.log 2>&1 &
registry=$!
trap 'kill $registry; wait $registry || true' EXIT
until grep -q "listening on" registry.log; do sleep 0.05; done
unbundle verify usb --trust allowed_signers --quiet
unbundle load usb --trust allowed_signers --quiet --to registry://127.0.0.1:5000/mirror
unbundle load usb --trust allowed_signers --quiet --to registry://127.0.0.1:5000/mirror
unbundle load usb --trust allowed_signers --quiet --to oci:far
skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://127.0.0.1:5000/mirror/corpus/signed:1
`)
	e := d.try("timeout", "60", "unshare", "--net", "sh", "-ec", ". ./inside.sh")
	if e.code != 0 || !strings.HasSuffix(e.stdout, corpus.Signed.Digest+"\n") {
		t.Errorf("exit code %d, printed %s%s", e.code, e.stdout, e.stderr)
	}
}

// TestConnections records every connection that the isolated side opens: none
// to verify, and to load, those to the destination; those to the server on which
// a bundle is.
func TestConnections(t *testing.T) {
	realtest.Tool(t, "strace")
	corpus, far, d := realtest.Registry(t).PushCorpus(), realtest.Registry(t), newDesk(t)
	d.create("usb", corpus.Signed.Ref)
	server := realtest.SSHD(t)
	d.run("cp", "-r", "usb", server.Root)
	known, err := os.ReadFile(server.KnownHosts)
	must(t, err)
	must(t, os.MkdirAll(d.path("home/.ssh"), 0o700))
	d.write("home/.ssh/known_hosts", string(known))
	traced := func(args ...string) string {
		d.run("strace", append([]string{"-f", "-qq", "-o", "calls", "-e", "trace=connect,sendto,sendmsg", "env", "-u", "SSH_AUTH_SOCK", "HOME=home", "unbundle"}, args...)...)
		return d.read("calls")
	}
	outside := regexp.MustCompile(`sa_family=AF_(INET6?|UNIX|PACKET)`)
	for _, args := range [][]string{
		{"verify", "usb", "--trust", "allowed_signers"},
		{"inspect", "usb", "--trust", "allowed_signers"},
		{"list", "usb"},
		load("usb", "oci:far"),
	} {
		if calls := traced(args...); outside.MatchString(calls) {
			t.Errorf("%s opens connections: %s", args[0], calls)
		}
	}
	url := "sftp://" + server.User + "@" + server.Addr + server.Path + "/usb"
	for _, test := range []struct {
		addr string
		args []string
	}{
		{far.Addr, load("usb", "registry://"+far.Addr)},
		{server.Addr, []string{"verify", url, "--identity", server.IdentityFile, "--trust", "allowed_signers"}},
		{server.Addr, []string{"inspect", url, "--identity", server.IdentityFile, "--trust", "allowed_signers"}},
		{server.Addr, []string{"list", url, "--identity", server.IdentityFile}},
		{server.Addr, append(load(url, "oci:over"), "--identity", server.IdentityFile)},
	} {
		_, port, _ := strings.Cut(test.addr, ":")
		reached := false
		for line := range strings.Lines(traced(test.args...)) {
			if !outside.MatchString(line) {
				continue
			}
			if !strings.Contains(line, "htons("+port+")") || !strings.Contains(line, `"127.0.0.1"`) {
				t.Errorf("%s opens a connection to somebody else: %s", test.args[0], line)
			}
			reached = true
		}
		if !reached {
			t.Errorf("%s: no connection to %s was recorded", test.args[0], test.addr)
		}
	}
}
