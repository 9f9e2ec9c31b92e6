package trust

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// A keygen runs the real ssh-keygen in a folder of its own.
type keygen struct {
	t    *testing.T
	path string
	dir  string
	env  []string
}

func newKeygen(t *testing.T) *keygen {
	return &keygen{t: t, path: tool(t, "ssh-keygen"), dir: t.TempDir()}
}

// run returns whether ssh-keygen was content, and all that it printed.
func (k *keygen) run(stdin []byte, args ...string) (bool, string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), k.path, args...)
	cmd.Dir, cmd.Stdin = k.dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), k.env...)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		k.t.Fatal(err)
	}
	return err == nil, string(out)
}

func (k *keygen) must(stdin []byte, args ...string) {
	k.t.Helper()
	if ok, out := k.run(stdin, args...); !ok {
		k.t.Fatalf("ssh-keygen %q: %s", args, out)
	}
}

func (k *keygen) file(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keygen) read(name string) []byte {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

// verify asks whether principal signed testMessage, according to text.
func (k *keygen) verify(text string, armored []byte, namespace, principal string, more ...string) (bool, string) {
	k.t.Helper()
	k.file("allowed", text)
	k.file("sig", string(armored))
	args := []string{"-Y", "verify", "-f", "allowed", "-I", principal, "-n", namespace, "-s", "sig"}
	return k.run(testMessage, append(args, more...)...)
}

// TestOpenSSHBothWays signs with each tool and verifies with the other, for
// every type of key that both can make.
func TestOpenSSHBothWays(t *testing.T) {
	tests := []struct{ name, keyType, bits, passphrase string }{
		{"ed25519", "ed25519", "256", ""},
		{"ed25519 encrypted", "ed25519", "256", "correct horse"},
		{"ecdsa 256", "ecdsa", "256", ""},
		{"ecdsa 384", "ecdsa", "384", "correct horse"},
		{"rsa 3072", "rsa", "3072", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newKeygen(t)
			k.must(nil, "-q", "-t", test.keyType, "-b", test.bits, "-N", test.passphrase, "-C", "ana's key", "-f", "key")
			key, err := LoadKey(filepath.Join(k.dir, "key"), func(string) ([]byte, error) { return []byte(test.passphrase), nil })
			if err != nil {
				t.Fatal(err)
			}
			if key.Comment() != "ana's key" {
				t.Errorf("comment is %q", key.Comment())
			}
			if _, out := k.run(nil, "-l", "-f", "key.pub"); !strings.Contains(out, key.Fingerprint()+" ") {
				t.Errorf("fingerprint %s is not in %q", key.Fingerprint(), out)
			}
			text := allowLine(t, "ana", key.PublicKey())
			ours, err := key.Sign(testNamespace, testMessage)
			if err != nil {
				t.Fatal(err)
			}
			if ok, out := k.verify(text, ours, testNamespace, "ana"); !ok {
				t.Errorf("ssh-keygen refuses our signature: %s", out)
			}
			k.must(nil, "-p", "-q", "-f", "key", "-P", test.passphrase, "-N", "")
			k.file("message", string(testMessage))
			for _, hash := range []string{"sha256", "sha512"} {
				k.must(nil, "-q", "-Y", "sign", "-f", "key", "-n", testNamespace, "-O", "hashalg="+hash, "message")
				theirs := k.read("message.sig")
				s, err := parseAllowed(t, text).Verify(testNamespace, testMessage, theirs, testTime)
				if err != nil {
					t.Fatal(err)
				}
				if !s.Is("ana") || s.HashAlgorithm != hash {
					t.Errorf("got %+v", s)
				}
				if test.keyType == "ed25519" && hash == "sha512" && !bytes.Equal(theirs, ours) {
					t.Error("ed25519 signatures are deterministic, but ssh-keygen writes another file than we do")
				}
				if err := os.Remove(filepath.Join(k.dir, "message.sig")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestOpenSSHReadsGeneratedKey signs with ssh-keygen and a key that we made.
func TestOpenSSHReadsGeneratedKey(t *testing.T) {
	k := newKeygen(t)
	for _, passphrase := range []string{"", "correct horse"} {
		private, public, err := GenerateKey("made here", []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		k.file("key", string(private))
		ok, out := k.run(nil, "-y", "-P", passphrase, "-f", "key")
		if !ok || out != string(public) {
			t.Errorf("ssh-keygen -y says %q, want %q", out, public)
		}
	}
}

// TestOpenSSHRefusedKeys makes signatures that ssh-keygen takes and we do not.
func TestOpenSSHRefusedKeys(t *testing.T) {
	for _, test := range []struct{ keyType, bits, want string }{
		{"rsa", "2048", "RSA key of 2048 bits"},
		{"ecdsa", "521", "nistp521 is not allowed"},
	} {
		k := newKeygen(t)
		k.must(nil, "-q", "-t", test.keyType, "-b", test.bits, "-N", "", "-f", "key")
		k.file("message", string(testMessage))
		k.must(nil, "-q", "-Y", "sign", "-f", "key", "-n", testNamespace, "message")
		_, err := ParseSignature(k.read("message.sig"))
		wantError(t, err, ErrRejected, test.want)
		_, err = ParseAllowedSigners(append([]byte("ana "), k.read("key.pub")...))
		wantError(t, err, nil, test.want)
		_, err = LoadKey(filepath.Join(k.dir, "key"), nil)
		wantError(t, err, nil, test.want)
	}
}

// TestOpenSSHCertificate has a certificate sign, which ssh-keygen allows.
func TestOpenSSHCertificate(t *testing.T) {
	k := newKeygen(t)
	k.must(nil, "-q", "-t", "ed25519", "-N", "", "-f", "ca")
	k.must(nil, "-q", "-t", "ed25519", "-N", "", "-f", "key")
	k.must(nil, "-q", "-s", "ca", "-I", "id", "-n", "ana", "key.pub")
	k.file("message", string(testMessage))
	k.must(nil, "-q", "-Y", "sign", "-f", "key-cert.pub", "-n", testNamespace, "message")
	sig := k.read("message.sig")
	if ok, out := k.verify("ana cert-authority "+string(k.read("ca.pub")), sig, testNamespace, "ana"); !ok {
		t.Fatalf("ssh-keygen refuses its own certificate: %s", out)
	}
	_, err := ParseSignature(sig)
	wantError(t, err, ErrRejected, "certificate (ssh-ed25519-cert-v01@openssh.com) is not allowed")
}

// TestOpenSSHSecurityKey shows that our software authenticator signs as a real
// one does, and that ssh-keygen does not ask for the touch that we ask for.
func TestOpenSSHSecurityKey(t *testing.T) {
	k := newKeygen(t)
	for _, keyType := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		for _, flags := range []byte{0, 1, 5} {
			a := newAuthenticator(t, keyType, flags)
			text, sig := allowLine(t, "ana", a.pub), a.parts(t).armor()
			if ok, out := k.verify(text, sig, testNamespace, "ana"); !ok {
				t.Errorf("%s, flags %d: ssh-keygen refuses: %s", keyType, flags, out)
			}
			s, err := parseAllowed(t, text).Verify(testNamespace, testMessage, sig, testTime)
			if flags == 0 {
				wantError(t, err, ErrRejected, "without touching")
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Touch == nil || !s.Touch.Present || s.Touch.Verified != (flags == 5) {
				t.Errorf("flags %d: touch is %+v", flags, s.Touch)
			}
		}
	}
}

// TestOpenSSHAgent signs through a real ssh-agent.
func TestOpenSSHAgent(t *testing.T) {
	k := newKeygen(t)
	program := tool(t, "ssh-agent")
	socket := filepath.Join(k.dir, "agent")
	cmd := exec.CommandContext(t.Context(), program, "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := agent.NewClient(dialAgent(t, socket))
	k.env = []string{"SSH_AUTH_SOCK=" + socket}
	for _, test := range [][3]string{{"ed25519", "256", "ssh-ed25519"}, {"ecdsa", "256", "ecdsa-sha2-nistp256"}, {"ecdsa", "384", "ecdsa-sha2-nistp384"}, {"rsa", "3072", "rsa-sha2-512"}} {
		name := test[0] + test[1]
		k.must(nil, "-q", "-t", test[0], "-b", test[1], "-N", "", "-C", name, "-f", name)
		private, err := ssh.ParseRawPrivateKey(k.read(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Add(agent.AddedKey{PrivateKey: private, Comment: name}); err != nil {
			t.Fatal(err)
		}
		key, err := AgentKey(client, filepath.Join(k.dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		p := sign(t, key)
		if p.format != test[2] {
			t.Errorf("%s signed with %s", name, p.format)
		}
		if ok, out := k.verify(allowLine(t, "ana", key.PublicKey()), p.armor(), testNamespace, "ana"); !ok {
			t.Errorf("ssh-keygen refuses: %s", out)
		}
		// The other way: ssh-keygen signs through the same agent.
		if err := os.Remove(filepath.Join(k.dir, name)); err != nil {
			t.Fatal(err)
		}
		k.file("message", string(testMessage))
		k.must(nil, "-q", "-Y", "sign", "-f", name+".pub", "-n", testNamespace, "message")
		s, err := ParseSignature(k.read("message.sig"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(testNamespace, testMessage); err != nil || s.Fingerprint() != key.Fingerprint() {
			t.Errorf("%s: %v", s.Fingerprint(), err)
		}
		if err := os.Remove(filepath.Join(k.dir, "message.sig")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := AgentKey(client, "nobody")
	for _, name := range []string{"ed25519256", "ecdsa256", "ecdsa384", "rsa3072"} {
		wantError(t, err, nil, fmt.Sprintf("%q", name))
	}
}

func dialAgent(t *testing.T, socket string) net.Conn {
	t.Helper()
	for range 200 {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket); err == nil {
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("ssh-agent does not answer")
	return nil
}

// TestOpenSSHAllowedSigners compares our verdict with that of ssh-keygen -Y
// verify: on every line here both must agree.
func TestOpenSSHAllowedSigners(t *testing.T) {
	k := newKeygen(t)
	k.env = []string{"TZ=XXX-5:30"} // POSIX: 5 h 30 min east, no summer time
	zone := time.FixedZone("XXX", 5*3600+30*60)
	ana, bob := newEd25519(t), newECDSA(t, elliptic.P256())
	sig := sign(t, ana).armor()
	anaKey, bobKey := authorizedKey(ana.pub, ""), authorizedKey(bob.pub, "bob's")
	texts := []string{
		"ana " + anaKey,
		"bob " + bobKey,
		"# c\n\n  # c\nbob " + bobKey + "\nana,ops " + anaKey + " comment\n",
		"\tana \t " + anaKey + "\r\n",
		"* " + anaKey,
		"a?a " + anaKey,
		"*,!ana " + anaKey,
		"!ana,* " + anaKey,
		"*,!o* " + anaKey,
		"a*,!ana@x.org " + anaKey,
		"ANA " + anaKey,
		`ana namespaces="airlock-bundle-v1" ` + anaKey,
		`ana namespaces="airlock-*" ` + anaKey,
		`ana namespaces="git,airlock-*" ` + anaKey,
		`ana namespaces="*,!airlock-bundle-v?" ` + anaKey,
		`ana namespaces="*,!git" ` + anaKey,
		`ana namespaces="git" ` + anaKey,
		`ana namespaces="Airlock-bundle-v1" ` + anaKey,
		`ana namespaces="git" ` + anaKey + "\nops " + anaKey,
		`ana NAMESPACES="airlock-*",Valid-After="20260101" ` + anaKey,
		`ana valid-after="20260504" ` + anaKey,
		`ana valid-after="20260504Z" ` + anaKey,
		`ana valid-after="202605040832" ` + anaKey,
		`ana valid-after="20260504083201" ` + anaKey,
		`ana valid-after="20260504083202" ` + anaKey,
		`ana valid-after="20260504030201Z" ` + anaKey,
		`ana valid-after="20260504030202Z" ` + anaKey,
		`ana valid-before="20260504" ` + anaKey,
		`ana valid-before="20260505" ` + anaKey,
		`ana valid-before="202605040302Z" ` + anaKey,
		`ana valid-before="20260504083200" ` + anaKey,
		`ana valid-before="20260504083201" ` + anaKey,
		`ana valid-before="20260504030201Z" ` + anaKey,
		`ana valid-before="20260504030200Z" ` + anaKey,
		`ana valid-after="20260101Z",valid-before="20270101Z" ` + anaKey,
		`ana valid-before="20260101Z" ` + anaKey + "\n" + `ana valid-after="20260101Z" ` + anaKey,
		// Both refuse these as malformed.
		`ana valid-after="20270101Z",valid-before="20260101Z" ` + anaKey,
		`ana valid-after="tomorrow" ` + anaKey,
		`ana valid-after="2026" ` + anaKey,
		`ana namespaces=x ` + anaKey,
		`ana namespaces="x ` + anaKey,
		`ana namespaces="*",namespaces="*" ` + anaKey,
		`ana namespaces="*", ` + anaKey,
		`ana unknown ` + anaKey,
		"ana",
		"ana ssh-ed25519",
		"",
	}
	yes, no := 0, 0
	for _, text := range texts {
		for _, who := range []string{"ana", "ops", "ana@x.org"} {
			want, said := k.verify(text, sig, testNamespace, who, "-Overify-time="+testTime.Format(timeSeconds)+"Z")
			got := false
			a, err := parseAllowedSigners([]byte(text), zone)
			if err == nil {
				var s *Signer
				if s, err = a.Verify(testNamespace, testMessage, sig, testTime); err == nil {
					got = s.Is(who)
				}
			}
			if got != want {
				t.Errorf("%q for %s: we say %v (%v), ssh-keygen says %v (%s)", text, who, got, err, want, strings.TrimSpace(said))
			}
			if want {
				yes++
			} else {
				no++
			}
		}
	}
	if yes < 30 || no < 30 {
		t.Errorf("%d verdicts were yes and %d no: too few of a kind to compare", yes, no)
	}
}
