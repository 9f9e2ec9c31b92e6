package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const testNamespace = "airlock-bundle-v1"

var (
	testMessage = []byte("0123456789abcdef  manifest.json\n")
	testTime    = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
)

// parts is an SSHSIG whose every field a test can spoil.
type parts struct {
	magic             string
	version           uint32
	pub               []byte
	ns, reserved      string
	hash              string
	format            string
	inner, rest, tail []byte
}

func (p parts) armor() []byte {
	blob := binary.BigEndian.AppendUint32([]byte(p.magic), p.version)
	inner := ssh.Marshal(&ssh.Signature{Format: p.format, Blob: p.inner, Rest: p.rest})
	blob = append(blob, ssh.Marshal(&envelope{p.pub, p.ns, []byte(p.reserved), p.hash, inner})...)
	return armor(append(blob, p.tail...))
}

// sign returns the parts of a right signature by key over testMessage.
func sign(t testing.TB, key *Key) parts {
	t.Helper()
	armored, err := key.Sign(testNamespace, testMessage)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSignature(armored)
	if err != nil {
		t.Fatal(err)
	}
	return parts{
		magic: sshsigMagic, version: 1, pub: s.pub.Marshal(), ns: s.namespace, hash: s.hash,
		format: s.sig.Format, inner: s.sig.Blob, rest: s.sig.Rest,
	}
}

// plainKey wraps a private key that lies in memory.
func plainKey(t testing.TB, private crypto.Signer) *Key {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{pub: signer.PublicKey(), sign: func(data []byte) (*ssh.Signature, error) { return signWith(signer, data) }}
}

func newEd25519(t testing.TB) *Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return plainKey(t, private)
}

func newECDSA(t testing.TB, curve elliptic.Curve) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return plainKey(t, private)
}

// sharedRSA is an RSA key of 3072 bits, made once since that takes a while.
var sharedRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func newRSA(t testing.TB) *Key {
	t.Helper()
	private, err := sharedRSA()
	if err != nil {
		t.Fatal(err)
	}
	return plainKey(t, private)
}

// rsaBlob is a public key that nobody has the private half of.
func rsaBlob(e, n *big.Int) []byte {
	return ssh.Marshal(&struct {
		Name string
		E, N *big.Int
	}{ssh.KeyAlgoRSA, e, n})
}

// authenticator is a FIDO token in software: it signs as PROTOCOL.u2f says,
// with whatever flags it is told. It answers like an agent that holds it.
type authenticator struct {
	pub     ssh.PublicKey
	app     string
	private crypto.Signer
	flags   byte
	counter uint32
	extra   []byte // appended after the counter
}

func newAuthenticator(t testing.TB, keyType string, flags byte) *authenticator {
	t.Helper()
	a := &authenticator{app: "ssh:", flags: flags, counter: 7}
	var blob []byte
	switch keyType {
	case ssh.KeyAlgoSKED25519:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a.private = private
		blob = ssh.Marshal(&struct {
			Name string
			Key  []byte
			App  string
		}{keyType, public, a.app})
	case ssh.KeyAlgoSKECDSA256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		a.private = private
		blob = ssh.Marshal(&struct {
			Name, Curve string
			Key         []byte
			App         string
		}{keyType, "nistp256", point, a.app})
	default:
		t.Fatalf("no authenticator for %s", keyType)
	}
	var err error
	if a.pub, err = ssh.ParsePublicKey(blob); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authenticator) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.pub.Type(), Blob: a.pub.Marshal(), Comment: "token"}}, nil
}

func (a *authenticator) SignWithFlags(key ssh.PublicKey, data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) {
	if ssh.FingerprintSHA256(key) != ssh.FingerprintSHA256(a.pub) {
		return nil, errors.New("no such key")
	}
	app, message := sha256.Sum256([]byte(a.app)), sha256.Sum256(data)
	state := binary.BigEndian.AppendUint32([]byte{a.flags}, a.counter)
	signed := append(append(app[:], state...), message[:]...)
	sig := &ssh.Signature{Format: a.pub.Type(), Rest: append(state, a.extra...)}
	if private, ok := a.private.(*ecdsa.PrivateKey); ok {
		digest := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		sig.Blob = ssh.Marshal(&struct{ R, S *big.Int }{r, s})
		return sig, nil
	}
	blob, err := a.private.Sign(rand.Reader, signed, crypto.Hash(0))
	sig.Blob = blob
	return sig, err
}

// parts signs testMessage without the checks that Key.Sign makes.
func (a *authenticator) parts(t testing.TB) parts {
	t.Helper()
	sig, err := a.SignWithFlags(a.pub, signedData(testNamespace, hashSHA512, testMessage), 0)
	if err != nil {
		t.Fatal(err)
	}
	return parts{
		magic: sshsigMagic, version: 1, pub: a.pub.Marshal(), ns: testNamespace, hash: hashSHA512,
		format: sig.Format, inner: sig.Blob, rest: sig.Rest,
	}
}

func allowLine(t testing.TB, principal string, pub ssh.PublicKey) string {
	t.Helper()
	line, err := AllowedSignersLine(principal, testNamespace, pub)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func parseAllowed(t testing.TB, text string) *AllowedSigners {
	t.Helper()
	a, err := ParseAllowedSigners([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantError fails unless err wraps kind and says what.
func wantError(t testing.TB, err, kind error, what string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", what)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("error %q does not wrap %q", err, kind)
	}
	if !strings.Contains(err.Error(), what) {
		t.Errorf("error is %q, want %q in it", err, what)
	}
}

// tool returns the path of a program that tests compare with.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatalf("%s is required: %v", name, err)
	}
	t.Skipf("%s is not here: %v", name, err)
	return ""
}
