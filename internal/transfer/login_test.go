//go:build linux

package transfer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/realtest"
	"airlock/internal/transfer"

	"golang.org/x/crypto/ssh"
)

// hostKey is the server's key, and what known_hosts calls the server.
func hostKey(t *testing.T, server *realtest.SSHServer) (name string, key ssh.PublicKey) {
	t.Helper()
	text, err := os.ReadFile(server.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	_, hosts, key, _, _, err := ssh.ParseKnownHosts(text)
	if err != nil {
		t.Fatal(err)
	}
	return hosts[0], key
}

func line(marker, name string, key ssh.PublicKey) string {
	return strings.TrimSpace(marker+" "+name+" "+string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))) + "\n"
}

func newKey(t *testing.T) (ssh.PublicKey, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s.PublicKey(), s
}

func TestHostKeys(t *testing.T) {
	server := realtest.SSHD(t)
	name, key := hostKey(t, server)
	print := ssh.FingerprintSHA256(key)
	other, _ := newKey(t)
	for _, c := range []struct {
		what, known, fingerprint string
		good                     bool
	}{
		{"entry", line("", name, key), "", true},
		{"entry and fingerprint", line("", name, key), print, true},
		{"hashed entry", hashed(t, line("", name, key)), "", true},
		{"one of two", line("", name, other) + line("", name, key), "", true},
		{"wildcard", line("", "[127.0.0.*]:"+server.Port, key), "", true},
		{"comment and empty lines", "# hello\n\n" + line("", name, key), "", true},
		{"first contact", "", "", false},
		{"first contact, fingerprint", "", print, true},
		{"first contact, other fingerprint", "", ssh.FingerprintSHA256(other), false},
		{"other key", line("", name, other), "", false},
		{"other key, right fingerprint", line("", name, other), print, false},
		{"entry, other fingerprint", line("", name, key), ssh.FingerprintSHA256(other), false},
		{"other port", line("", "127.0.0.1", key), "", false},
		{"negated", line("", "[127.0.0.*]:"+server.Port+",!"+name, key), "", false},
		{"revoked", line("", name, key) + line("@revoked", "*", key), "", false},
		{"revoked, fingerprint", line("@revoked", "*", key), print, false},
		{"authority only", line("@cert-authority", name, key), "", false},
		{"authority only, fingerprint", line("@cert-authority", name, key), print, false},
		{"bad file", "what\n" + line("", name, key), "", false},
		{"MD5", "", "MD5:00:11", false},
	} {
		t.Run(c.what, func(t *testing.T) {
			known := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(known, []byte(c.known), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := tryDial(t, server, "", func(_ *transfer.URL, o *transfer.Options) {
				o.KnownHosts, o.Fingerprint = []string{known}, c.fingerprint
			})
			if (err == nil) != c.good {
				t.Fatal(err)
			}
			if err == nil {
				if err := s.Put("x", []byte("x")); err != nil {
					t.Error(err)
				}
				return
			}
			if errors.Is(err, transfer.ErrCut) {
				t.Errorf("counts as a lost connection: %v", err)
			}
			var refused *transfer.HostKeyError
			if errors.As(err, &refused) && refused.Fingerprint != "" && refused.Fingerprint != print {
				t.Errorf("names another key: %v", err)
			}
			t.Log(err)
		})
	}
}

// TestFingerprintOfAnyKey gives the fingerprint of the one key, then the other,
// of a server that has two: no type is shown before the other.
func TestFingerprintOfAnyKey(t *testing.T) {
	server := realtest.SSHD(t, realtest.SecondKey)
	_, first := hostKey(t, server)
	text, err := os.ReadFile(server.SecondKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newKey(t)
	for _, c := range []struct {
		key  ssh.PublicKey
		good bool
	}{{first, true}, {second, true}, {other, false}} {
		s, err := tryDial(t, server, "", func(_ *transfer.URL, o *transfer.Options) {
			o.KnownHosts, o.Fingerprint = []string{filepath.Join(t.TempDir(), "none")}, ssh.FingerprintSHA256(c.key)
		})
		if refused := errors.Is(err, transfer.ErrHostKey); (err == nil) != c.good || refused == c.good {
			t.Errorf("%s: %v", c.key.Type(), err)
		}
		if err == nil {
			if err := s.Put("x", []byte("x")); err != nil {
				t.Error(err)
			}
		}
	}
}

func hashed(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-H", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "127.0.0.1") {
		t.Fatalf("not hashed: %s, %v", b, err)
	}
	return string(b)
}

// TestKeyFiles logs in with keys of every kind that a person has.
func TestKeyFiles(t *testing.T) {
	server := realtest.SSHD(t)
	locked := filepath.Join(t.TempDir(), "locked")
	text, err := os.ReadFile(server.IdentityFile)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(raw, "me", []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(locked, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := 0
	answer := func(pass string) func(string) ([]byte, error) {
		return func(file string) ([]byte, error) {
			asked++
			if file != locked {
				return nil, fmt.Errorf("asked for %q", file)
			}
			return []byte(pass), nil
		}
	}
	with := func(file string, ask func(string) ([]byte, error)) error {
		asked = 0
		s, err := tryDial(t, server, "", func(u *transfer.URL, o *transfer.Options) {
			through(t, server, server.Addr)(u, o)
			o.IdentityFiles, o.Passphrase = []string{file}, ask
		})
		if err != nil {
			return err
		}
		defer s.Close()
		data := make([]byte, 1<<20) // two connections, one question
		return transfer.Sender{}.Send(t.Context(), s, file3("a", data), file3("b", data), file3("c", data))
	}
	if err := with(locked, answer("correct horse")); err != nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if err := with(locked, answer("wrong")); err == nil {
		t.Error("a wrong passphrase passed")
	}
	if err := with(locked, nil); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("nobody to ask: %v", err)
	}
	if err := with(locked+"-missing", nil); err == nil {
		t.Error("logged in without a key")
	}
	if err := with(server.KnownHosts, nil); err == nil {
		t.Error("a file that is no key was passed over")
	}
	agent := startAgent(t)
	add := exec.Command("ssh-add", "-q", server.IdentityFile)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+agent)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := tryDial(t, server, "", func(u *transfer.URL, o *transfer.Options) {
		through(t, server, server.Addr)(u, o)
		o.IdentityFiles, o.AgentSocket = []string{locked + "-missing"}, agent
	})
	if err != nil {
		t.Fatalf("with the agent: %v", err)
	}
	if err := s.Put("x", nil); err != nil {
		t.Error(err)
	}
}

func startAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ag")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", path)
	if err := cmd.Start(); err != nil {
		realtest.Missing(t, err.Error())
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 500 {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		exec.Command("sleep", "0.01").Run()
	}
	t.Fatal("the agent does not start")
	return ""
}

// TestJump goes through one server to another; both must show known keys.
func TestJump(t *testing.T) {
	jump, server := realtest.SSHD(t, realtest.WithShell), realtest.SSHD(t, realtest.Confined)
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write := func(known string) {
		t.Helper()
		text := fmt.Sprintf(`Host far
  HostName 127.0.0.1
  Port %s
  User %s
  IdentityFile %s
  ProxyJump near
Host near
  HostName 127.0.0.1
  Port %s
  User %s
  IdentityFile "%s"
Host *
  UserKnownHostsFile %s
  GlobalKnownHostsFile none
  StrictHostKeyChecking no
`, server.Port, server.User, server.IdentityFile, jump.Port, jump.User, jump.IdentityFile, known)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	both := filepath.Join(dir, "both")
	a, _ := os.ReadFile(jump.KnownHosts)
	b, _ := os.ReadFile(server.KnownHosts)
	if err := os.WriteFile(both, append(a, b...), 0o600); err != nil {
		t.Fatal(err)
	}
	attempt := func() error {
		s, err := tryDial(t, server, "", func(u *transfer.URL, o *transfer.Options) {
			u.Host, o.ConfigFile = "far", config
		})
		if err != nil {
			return err
		}
		return s.Put("x", []byte("x"))
	}
	write(both)
	if err := attempt(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(server.Root, "x")); err != nil {
		t.Error(err)
	}
	for _, known := range []string{jump.KnownHosts, server.KnownHosts, filepath.Join(dir, "none")} {
		write(known)
		if err := attempt(); !errors.Is(err, transfer.ErrHostKey) {
			t.Errorf("one key unknown, StrictHostKeyChecking no: %v", err)
		}
	}
	if err := os.WriteFile(config, []byte("Host far\n ProxyCommand touch "+dir+"/ran\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := attempt(); err == nil || !strings.Contains(err.Error(), "ProxyCommand") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the command was run")
	}
	if err := os.WriteFile(config, []byte("Host far near\n ProxyJump near\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := attempt(); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Error(err)
	}
}

func TestParseURL(t *testing.T) {
	for s, want := range map[string]transfer.URL{
		"sftp://host/a/b":            {Host: "host", Dir: "/a/b"},
		"sftp://me@host:2222/a/../b": {User: "me", Host: "host", Port: "2222", Dir: "/b"},
		"sftp://host":                {Host: "host", Dir: "/"},
		"sftp://host/~/drop/x":       {Host: "host", Dir: "drop/x"},
		"sftp://host/~":              {Host: "host", Dir: "."},
		"sftp://[::1]:22/x":          {Host: "::1", Port: "22", Dir: "/x"},
	} {
		if got, err := transfer.ParseURL(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "host:/x", "http://h/x", "sftp:///x", "sftp://me:secret@h/x", "sftp://h/x?y", "sftp://h/x#y", "sftp://h:0/x",
		"sftp://h:99999/x", "sftp://-oProxyCommand=x/y", "sftp://h/a%00b", "sftp:x", "sftp://a%20b@h/", "sftp://u:secret@h:x/",
	} {
		u, err := transfer.ParseURL(s)
		if !errors.Is(err, transfer.ErrURL) {
			t.Errorf("%s: %+v, %v", s, u, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}
