package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestSignAndParse(t *testing.T) {
	keys := map[string]*Key{
		"ssh-ed25519":         newEd25519(t),
		"ecdsa-sha2-nistp256": newECDSA(t, elliptic.P256()),
		"ecdsa-sha2-nistp384": newECDSA(t, elliptic.P384()),
		"ssh-rsa":             newRSA(t),
	}
	for keyType, key := range keys {
		armored, err := key.Sign(testNamespace, testMessage)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSignature(armored)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(testNamespace, testMessage); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(s.Marshal(), armored) {
			t.Errorf("%s: marshalling a parsed signature gives other bytes", keyType)
		}
		if s.KeyType() != keyType || s.Fingerprint() != key.Fingerprint() || s.Namespace() != testNamespace || s.HashAlgorithm() != "sha512" {
			t.Errorf("got %s %s %q %s", s.KeyType(), s.Fingerprint(), s.Namespace(), s.HashAlgorithm())
		}
		if keyType == "ssh-rsa" && s.Algorithm() != "rsa-sha2-512" {
			t.Errorf("RSA signed with %s", s.Algorithm())
		}
		if s.Touch() != nil {
			t.Errorf("%s: a plain key states a touch", keyType)
		}
		wantError(t, s.Check(testNamespace, append(testMessage, '\n')), ErrRejected, "does not belong to these bytes")
		wantError(t, s.Check("git", testMessage), ErrRejected, `made in namespace "airlock-bundle-v1", not in "git"`)
		wantError(t, s.Check("", testMessage), ErrRejected, "namespace is empty")
	}
}

func TestSHA256IsAccepted(t *testing.T) {
	key := newEd25519(t)
	sig, err := key.sign(signedData(testNamespace, hashSHA256, testMessage))
	if err != nil {
		t.Fatal(err)
	}
	p := sign(t, key)
	p.hash, p.inner = hashSHA256, sig.Blob
	s, err := ParseSignature(p.armor())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(testNamespace, testMessage); err != nil {
		t.Error(err)
	}
}

// TestHostileFields spoils one field of a right signature at a time. Parsing
// must refuse each, and say why.
func TestHostileFields(t *testing.T) {
	ed, p256, rsaKey := sign(t, newEd25519(t)), sign(t, newECDSA(t, elliptic.P256())), sign(t, newRSA(t))
	sk := newAuthenticator(t, ssh.KeyAlgoSKED25519, 1).parts(t)
	long := new(big.Int).Lsh(big.NewInt(1), 300)
	tests := []struct {
		name  string
		from  parts
		spoil func(p *parts)
		want  string
	}{
		{"magic", ed, func(p *parts) { p.magic = "SSHSIH" }, "does not hold an SSHSIG"},
		{"version 0", ed, func(p *parts) { p.version = 0 }, "SSHSIG version 0"},
		{"version 2", ed, func(p *parts) { p.version = 2 }, "SSHSIG version 2"},
		{"empty namespace", ed, func(p *parts) { p.ns = "" }, "namespace is empty"},
		{"long namespace", ed, func(p *parts) { p.ns = strings.Repeat("a", 256) }, "256 bytes"},
		{"namespace with NUL", ed, func(p *parts) { p.ns = testNamespace + "\x00" }, "not printable"},
		{"namespace with escape", ed, func(p *parts) { p.ns = "\x1b[2J" }, "not printable"},
		{"namespace with DEL", ed, func(p *parts) { p.ns = "a\x7f" }, "not printable"},
		{"namespace beyond ASCII", ed, func(p *parts) { p.ns = "ä" }, "not printable"},
		{"namespace with space", ed, func(p *parts) { p.ns = "a b" }, "not printable"},
		{"reserved", ed, func(p *parts) { p.reserved = "x" }, "reserved field"},
		{"hash sha1", ed, func(p *parts) { p.hash = "sha1" }, `hash "sha1" is not allowed`},
		{"no hash", ed, func(p *parts) { p.hash = "" }, `hash "" is not allowed`},
		{"bytes at the end", ed, func(p *parts) { p.tail = []byte{0} }, "followed by other bytes"},
		{"bytes after the key", ed, func(p *parts) { p.pub = append(slices.Clone(p.pub), 0) }, "malformed ssh-ed25519 key"},
		{"short key", ed, func(p *parts) { p.pub = p.pub[:len(p.pub)-1] }, "malformed ssh-ed25519 key"},
		{"no key", ed, func(p *parts) { p.pub = nil }, "malformed public key"},
		{"giant key type", ed, func(p *parts) { p.pub = []byte{0xff, 0xff, 0xff, 0xff, 's'} }, "malformed public key"},
		{"cut key type", ed, func(p *parts) { p.pub = []byte{0, 0, 0, 9, 's'} }, "malformed public key"},
		{"long key type", ed, func(p *parts) { p.pub = ssh.Marshal(&struct{ N string }{strings.Repeat("s", 65)}) }, "malformed public key"},
		{"unknown key type", ed, func(p *parts) { p.pub = ssh.Marshal(&struct{ N, K string }{"ssh-x", "k"}) }, `unknown key type "ssh-x"`},
		{"bytes after the signature", ed, func(p *parts) { p.rest = []byte{0} }, "1 bytes after the inner signature, want 0"},
		{"bytes in the signature", ed, func(p *parts) { p.inner = append(slices.Clone(p.inner), 0) }, "ed25519 signature of 65 bytes"},
		{"short signature", ed, func(p *parts) { p.inner = p.inner[:63] }, "ed25519 signature of 63 bytes"},
		{"algorithm of another key", ed, func(p *parts) { p.format = ssh.KeyAlgoECDSA256 }, "is not allowed for ssh-ed25519 keys"},
		{"ecdsa: bytes in the signature", p256, func(p *parts) { p.inner = append(slices.Clone(p.inner), 0) }, "followed by other bytes"},
		{"ecdsa: bytes after the signature", p256, func(p *parts) { p.rest = []byte{0} }, "1 bytes after the inner signature"},
		{"ecdsa: padded number", p256, func(p *parts) { p.inner = []byte{0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 1, 1} }, "canonical"},
		{"ecdsa: zero", p256, func(p *parts) { p.inner = ssh.Marshal(&struct{ R, S *big.Int }{new(big.Int), big.NewInt(1)}) }, "out of range"},
		{"ecdsa: negative", p256, func(p *parts) { p.inner = ssh.Marshal(&struct{ R, S *big.Int }{big.NewInt(-1), big.NewInt(1)}) }, "out of range"},
		{"ecdsa: giant", p256, func(p *parts) { p.inner = ssh.Marshal(&struct{ R, S *big.Int }{big.NewInt(1), long}) }, "out of range"},
		{"rsa: SHA-1", rsaKey, func(p *parts) { p.format = ssh.KeyAlgoRSA }, `"ssh-rsa" is not allowed for RSA keys`},
		{"rsa: short", rsaKey, func(p *parts) { p.inner = p.inner[1:] }, "RSA signature of 383 bytes, want 384"},
		{"rsa: bytes after the signature", rsaKey, func(p *parts) { p.rest = []byte{0} }, "1 bytes after the inner signature"},
		{"sk: no counter", sk, func(p *parts) { p.rest = p.rest[:1] }, "1 bytes after the inner signature, want 5"},
		{"sk: no flags", sk, func(p *parts) { p.rest = nil }, "0 bytes after the inner signature, want 5"},
		{"sk: bytes after the counter", sk, func(p *parts) { p.rest = append(slices.Clone(p.rest), 0) }, "6 bytes after the inner signature, want 5"},
		{"sk: webauthn", sk, func(p *parts) { p.format = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com" }, "is not allowed for sk-ssh-ed25519@openssh.com keys"},
		{"sk: short", sk, func(p *parts) { p.inner = p.inner[:10] }, "ed25519 signature of 10 bytes"},
	}
	for _, p := range []parts{ed, p256, rsaKey, sk} {
		if _, err := ParseSignature(p.armor()); err != nil {
			t.Fatalf("before it was spoilt: %v", err)
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := test.from
			test.spoil(&p)
			_, err := ParseSignature(p.armor())
			wantError(t, err, ErrRejected, test.want)
		})
	}
}

// TestHostileKeys offers keys that must be refused before anything is computed
// with them.
func TestHostileKeys(t *testing.T) {
	bits := func(n uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(n)-1, 1) }
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521Key, err := ssh.NewPublicKey(&p521.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ed := newEd25519(t)
	cert := &ssh.Certificate{Key: ed.pub, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, SignatureKey: ed.pub, Signature: &ssh.Signature{Format: ed.pub.Type(), Blob: make([]byte, 64)}}
	padded := ssh.Marshal(&struct {
		Name string
		E, N []byte
	}{ssh.KeyAlgoRSA, []byte{1, 0, 1}, append([]byte{0, 0}, bits(3072).Bytes()...)})
	f4 := big.NewInt(65537)
	tests := []struct {
		name string
		blob []byte
		want string
	}{
		{"RSA-1024", rsaBlob(f4, bits(1024)), "RSA key of 1024 bits is not allowed"},
		{"RSA-3071", rsaBlob(f4, bits(3071)), "RSA key of 3071 bits is not allowed"},
		{"RSA-8193", rsaBlob(f4, bits(8193)), "RSA key of 8193 bits is not allowed"},
		{"RSA-16384 with a huge exponent", rsaBlob(bits(2048), bits(16384)), "malformed ssh-rsa key"},
		{"RSA-16384", rsaBlob(f4, bits(16384)), "RSA key of 16384 bits is not allowed"},
		{"RSA-65536", rsaBlob(f4, bits(65536)), "malformed ssh-rsa key"},
		{"RSA exponent 3", rsaBlob(big.NewInt(3), bits(3072)), "exponent 3 is not allowed"},
		{"RSA even exponent", rsaBlob(big.NewInt(65538), bits(3072)), "malformed ssh-rsa key"},
		{"RSA negative modulus", rsaBlob(f4, new(big.Int).Neg(new(big.Int).SetBit(bits(4096), 7, 1))), "negative"},
		{"RSA padded modulus", padded, "not in its canonical encoding"},
		{"DSA", ssh.Marshal(&struct{ N, K string }{"ssh-dss", ""}), "DSA key (ssh-dss) is not allowed"},
		{"P-521", p521Key.Marshal(), "ecdsa-sha2-nistp521 is not allowed"},
		{"certificate", cert.Marshal(), "certificate (ssh-ed25519-cert-v01@openssh.com) is not allowed"},
	}
	p := sign(t, ed)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p.pub = test.blob
			start := time.Now()
			_, err := ParseSignature(p.armor())
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("took %v", took)
			}
			wantError(t, err, ErrRejected, test.want)
		})
	}
}

// TestEvenExponent goes past the parser of x/crypto, which has the same rule.
func TestEvenExponent(t *testing.T) {
	pub, err := ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 3071, 1), E: 65538})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, checkPublicKey(pub), nil, "exponent 65538 is not allowed")
}

func TestHostileArmor(t *testing.T) {
	good := string(sign(t, newEd25519(t)).armor())
	lines := strings.SplitAfter(good, "\n")
	raw := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(good, armorBegin), armorEnd), "\n", "")
	tests := []struct{ name, text, want string }{
		{"empty", "", "file is empty"},
		{"CRLF", strings.ReplaceAll(good, "\n", "\r\n"), "CRLF"},
		{"mixed line ends", strings.Replace(good, "\n", "\r\n", 1), "CRLF"},
		{"junk before", "junk\n" + good, "first line"},
		{"blank line before", "\n" + good, "first line"},
		{"space before", " " + good, "first line"},
		{"junk after", good + "junk\n", "bytes after the end line"},
		{"blank line after", good + "\n", "bytes after the end line"},
		{"space after", good + " ", "bytes after the end line"},
		{"NUL after", good + "\x00", "bytes after the end line"},
		{"two blocks", good + good, "more than one armoured block"},
		{"header", strings.Replace(good, "\n", "\nComment: x\n\n", 1), "header lines"},
		{"no last line feed", strings.TrimSuffix(good, "\n"), "cut short"},
		{"no end line", strings.TrimSuffix(good, armorEnd), "cut short"},
		{"one long line", armorBegin + raw + "\n" + armorEnd, "70 columns"},
		{"64 columns", armorBegin + wrap(raw, 64) + armorEnd, "70 columns"},
		{"blank line inside", strings.Replace(good, lines[1], lines[1]+"\n", 1), "70 columns"},
		{"space inside", strings.Replace(good, lines[1], " "+lines[1], 1), "not base64"},
		{"PGP label", strings.ReplaceAll(good, "SSH SIGNATURE", "PGP SIGNATURE"), "first line"},
		{"nothing inside", armorBegin + armorEnd, "does not hold an SSHSIG"},
		{"blank inside", armorBegin + "\n" + armorEnd, "70 columns"},
		{"binary inside", string(armor([]byte("SSHSIG"))), "does not hold an SSHSIG"},
		{"too large", good + strings.Repeat("a", MaxSignature), "at most 16384"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseSignature([]byte(test.text))
			wantError(t, err, ErrRejected, test.want)
		})
	}
}

func wrap(s string, columns int) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(s), columns) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// TestArmorPaddingBits sets bits that base64 decoders commonly ignore.
func TestArmorPaddingBits(t *testing.T) {
	good := sign(t, newECDSA(t, elliptic.P384())).armor()
	for n := 0; !bytes.Contains(good, []byte("=")); n++ {
		if n == 100 {
			t.Fatal("no signature with padding came up")
		}
		good = sign(t, newECDSA(t, elliptic.P384())).armor()
	}
	last := bytes.IndexByte(good, '=') - 1
	spoilt := slices.Clone(good)
	spoilt[last]++
	_, err := ParseSignature(spoilt)
	wantError(t, err, ErrRejected, "base64")
}

// TestEveryByte flips every bit, cuts at every byte, and doubles every byte of
// an armoured signature. Nothing of that verifies.
func TestEveryByte(t *testing.T) {
	key := newEd25519(t)
	good := sign(t, key).armor()
	allowed := parseAllowed(t, allowLine(t, "ana", key.pub))
	if _, err := allowed.Verify(testNamespace, testMessage, good, testTime); err != nil {
		t.Fatal(err)
	}
	tried := 0
	refuse := func(text []byte, what string, i int) {
		tried++
		_, err := allowed.Verify(testNamespace, testMessage, text, testTime)
		if !errors.Is(err, ErrRejected) {
			t.Errorf("%s at byte %d: got error %v, want a rejection", what, i, err)
		}
	}
	for i := range good {
		for bit := range 8 {
			text := slices.Clone(good)
			text[i] ^= 1 << bit
			refuse(text, "flip", i)
		}
		refuse(good[:i], "cut", i)
		refuse(slices.Insert(slices.Clone(good), i, good[i]), "double", i)
		refuse(slices.Delete(slices.Clone(good), i, i+1), "gap", i)
	}
	if tried < 3000 {
		t.Errorf("only %d variants of a signature of %d bytes were tried", tried, len(good))
	}
}

// TestEveryMessageByte flips every bit of the signed bytes.
func TestEveryMessageByte(t *testing.T) {
	key := newEd25519(t)
	s, err := ParseSignature(sign(t, key).armor())
	if err != nil {
		t.Fatal(err)
	}
	for i := range testMessage {
		for bit := range 8 {
			text := slices.Clone(testMessage)
			text[i] ^= 1 << bit
			wantError(t, s.Check(testNamespace, text), ErrRejected, "does not belong to these bytes")
		}
	}
}

func TestTouch(t *testing.T) {
	for _, keyType := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		t.Run(keyType, func(t *testing.T) {
			for flags, want := range map[byte]Touch{
				1: {Present: true, Counter: 7},
				5: {Present: true, Verified: true, Counter: 7},
			} {
				key, err := AgentKey(newAuthenticator(t, keyType, flags), "token")
				if err != nil {
					t.Fatal(err)
				}
				s, err := ParseSignature(sign(t, key).armor())
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Check(testNamespace, testMessage); err != nil {
					t.Error(err)
				}
				if got := s.Touch(); got == nil || *got != want {
					t.Errorf("flags %d: got %+v, want %+v", flags, got, want)
				}
			}
			for _, flags := range []byte{0, 4} {
				untouched := newAuthenticator(t, keyType, flags)
				s, err := ParseSignature(untouched.parts(t).armor())
				if err != nil {
					t.Fatal(err)
				}
				wantError(t, s.Check(testNamespace, testMessage), ErrRejected, "without touching")
				key, err := AgentKey(untouched, "token")
				if err != nil {
					t.Fatal(err)
				}
				_, err = key.Sign(testNamespace, testMessage)
				wantError(t, err, nil, "without touching")
			}
			// Flags and counter are signed: nobody can set the touch later.
			for i := range 5 {
				p := newAuthenticator(t, keyType, 1).parts(t)
				p.rest[i] ^= 0x40
				s, err := ParseSignature(p.armor())
				if err != nil {
					t.Fatal(err)
				}
				wantError(t, s.Check(testNamespace, testMessage), ErrRejected, "does not belong to these bytes")
			}
		})
	}
}

// TestSignedData builds by hand what PROTOCOL.sshsig, section 3, says is signed.
func TestSignedData(t *testing.T) {
	sum256, sum512 := sha256.Sum256([]byte("m")), sha512.Sum512([]byte("m"))
	want := "SSHSIG\x00\x00\x00\x01n\x00\x00\x00\x00\x00\x00\x00\x06sha256\x00\x00\x00\x20" + string(sum256[:])
	if got := signedData("n", hashSHA256, []byte("m")); string(got) != want {
		t.Errorf("sha256: got %q", got)
	}
	want = "SSHSIG\x00\x00\x00\x01n\x00\x00\x00\x00\x00\x00\x00\x06sha512\x00\x00\x00\x40" + string(sum512[:])
	if got := signedData("n", hashSHA512, []byte("m")); string(got) != want {
		t.Errorf("sha512: got %q", got)
	}
}
