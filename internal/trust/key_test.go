package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func writeFile(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGenerateAndLoad(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		private, public, err := GenerateKey("ana at build", []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		path := writeFile(t, "key", private)
		if err := os.WriteFile(path+".pub", public, 0o644); err != nil {
			t.Fatal(err)
		}
		asked := 0
		var given []byte
		key, err := LoadKey(path, func(prompt string) ([]byte, error) {
			asked++
			if !strings.Contains(prompt, path) {
				t.Errorf("prompt %q does not name the file", prompt)
			}
			given = []byte(passphrase)
			return given, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(1, len(passphrase)); asked != want {
			t.Errorf("asked %d times, want %d", asked, want)
		}
		if len(bytes.Trim(given, "\x00")) != 0 {
			t.Error("the passphrase was not overwritten")
		}
		if key.Comment() != "ana at build" || string(public) != authorizedKey(key.PublicKey(), key.Comment())+"\n" {
			t.Errorf("comment %q, public half %q", key.Comment(), public)
		}
		if !strings.HasPrefix(key.Fingerprint(), "SHA256:") {
			t.Errorf("fingerprint %q", key.Fingerprint())
		}
		sign(t, key)
		if err := os.WriteFile(path+".pub", []byte(authorizedKey(newEd25519(t).pub, "somebody else")), 0o644); err != nil {
			t.Fatal(err)
		}
		if key, err = LoadKey(path, func(string) ([]byte, error) { return []byte(passphrase), nil }); err != nil {
			t.Fatal(err)
		}
		if key.Comment() != "" {
			t.Errorf("another key's comment %q is used", key.Comment())
		}
	}
	for _, bad := range []string{"a\nb", "a\x00", "a\r", " a", "\xff"} {
		if _, _, err := GenerateKey(bad, nil); err == nil {
			t.Errorf("comment %q is accepted", bad)
		}
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	encrypted, public, err := GenerateKey("", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	openssh, err := ssh.MarshalPrivateKey(p521, "")
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p521)
	if err != nil {
		t.Fatal(err)
	}
	token := newAuthenticator(t, ssh.KeyAlgoSKED25519, 1)
	handle := append([]byte("openssh-key-v1\x00"), ssh.Marshal(&struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{"none", "none", "", 1, token.pub.Marshal(), nil})...)
	block := func(label string, body []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: body})
	}
	answer := func(secret string, err error) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(secret), err }
	}
	cancelled := errors.New("cancelled")
	tests := []struct {
		name string
		text []byte
		ask  func(string) ([]byte, error)
		kind error
		want string
	}{
		{"nobody to ask", encrypted, nil, nil, "nobody to ask"},
		{"wrong passphrase", encrypted, answer("Secret", nil), nil, "wrong passphrase"},
		{"empty passphrase", encrypted, answer("", nil), nil, ""},
		{"cancelled", encrypted, answer("", cancelled), cancelled, "asking for its passphrase"},
		{"public key", public, nil, nil, "holds a public key"},
		{"text", []byte("hello\n"), nil, nil, "holds no private key"},
		{"empty", nil, nil, nil, "holds no private key"},
		{"too large", bytes.Repeat([]byte("a"), maxKeyFile+1), nil, nil, "larger than 65536 bytes"},
		{"RSA-2048", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), nil, nil, "RSA key of 2048 bits is not allowed"},
		{"P-521", pem.EncodeToMemory(openssh), nil, nil, "nistp521 is not allowed"},
		{"P-521 in PEM", block("EC PRIVATE KEY", sec1), nil, nil, "nistp521 is not allowed"},
		{"security key", block("OPENSSH PRIVATE KEY", handle), nil, nil, "ssh-add"},
		{"certificate request", block("CERTIFICATE REQUEST", nil), nil, nil, "unsupported key type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := writeFile(t, "key", test.text)
			_, err := LoadKey(path, test.ask)
			wantError(t, err, test.kind, test.want)
			wantError(t, err, nil, path)
		})
	}
	_, err = LoadKey(t.TempDir(), nil)
	wantError(t, err, nil, "not a regular file")
	_, err = LoadKey(filepath.Join(t.TempDir(), "absent"), nil)
	wantError(t, err, os.ErrNotExist, "absent")
}

// TestSignIsChecked holds that no signature leaves Sign that a verifier would
// refuse, and that such a failure does not look like a rejected bundle.
func TestSignIsChecked(t *testing.T) {
	honest, other := newEd25519(t), newEd25519(t)
	tests := []struct {
		name string
		sign func([]byte) (*ssh.Signature, error)
		want string
	}{
		{"other key", other.sign, "does not belong to these bytes"},
		{"other bytes", func([]byte) (*ssh.Signature, error) { return honest.sign([]byte("x")) }, "does not belong to these bytes"},
		{"nothing", func([]byte) (*ssh.Signature, error) { return &ssh.Signature{}, nil }, "is not allowed for ssh-ed25519 keys"},
		{"error", func([]byte) (*ssh.Signature, error) { return nil, os.ErrPermission }, "permission"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := &Key{pub: honest.pub, sign: test.sign}
			_, err := key.Sign(testNamespace, testMessage)
			wantError(t, err, nil, test.want)
			wantError(t, err, nil, honest.Fingerprint())
			if errors.Is(err, ErrRejected) {
				t.Errorf("%q looks like a rejected signature", err)
			}
		})
	}
	for _, bad := range []string{"", "a b", "a\n", strings.Repeat("a", 256)} {
		if _, err := honest.Sign(bad, testMessage); err == nil {
			t.Errorf("signed in namespace %q", bad)
		}
	}
}

func TestAgentKey(t *testing.T) {
	ring := agent.NewKeyring()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPrivate, err := sharedRSA()
	if err != nil {
		t.Fatal(err)
	}
	held := ring.(agent.ExtendedAgent)
	_, err = AgentKey(held, "ana")
	wantError(t, err, nil, "holds no keys")

	if err := ring.Add(agent.AddedKey{PrivateKey: p256, Comment: "ana"}); err != nil {
		t.Fatal(err)
	}
	only, err := AgentKey(held, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []agent.AddedKey{{PrivateKey: twin, Comment: "twin"}, {PrivateKey: rsaPrivate, Comment: "twin"}, {PrivateKey: old, Comment: "old"}} {
		if err := ring.Add(add); err != nil {
			t.Fatal(err)
		}
	}
	line := authorizedKey(only.pub, "another comment")
	pubFile := writeFile(t, "ana.pub", []byte(line+"\n"))
	for _, selector := range []string{"ana", only.Fingerprint(), line, pubFile} {
		key, err := AgentKey(held, selector)
		if err != nil {
			t.Errorf("%q: %v", selector, err)
			continue
		}
		if key.Fingerprint() != only.Fingerprint() || key.Comment() != "ana" {
			t.Errorf("%q chose %s %q", selector, key.Fingerprint(), key.Comment())
		}
		sign(t, key)
	}
	rsaPub := newRSA(t).Fingerprint()
	rsaAgentKey, err := AgentKey(held, rsaPub)
	if err != nil {
		t.Fatal(err)
	}
	if p := sign(t, rsaAgentKey); p.format != "rsa-sha2-512" {
		t.Errorf("agent signed with %s", p.format)
	}
	junk := writeFile(t, "junk.pub", []byte("junk"))
	for _, test := range []struct{ selector, want string }{
		{"", "3 keys that"},
		{"", rsaPub},
		{"twin", "2 keys that"},
		{"an", `no usable key "an"`},
		{"ANA", "no usable key"},
		{"old", "not usable: RSA key of 2048 bits"},
		{"SHA256:", "no usable key"},
		{authorizedKey(newEd25519(t).pub, "ana"), "no usable key"},
		{"absent.pub", "absent.pub"},
		{junk, "unknown key type"},
	} {
		_, err := AgentKey(held, test.selector)
		wantError(t, err, nil, test.want)
	}
	if err := held.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err = only.Sign(testNamespace, testMessage)
	wantError(t, err, nil, "asking ssh-agent")
}
