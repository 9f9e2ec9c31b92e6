package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/ssh"
)

const (
	sshsigMagic   = "SSHSIG"
	sshsigVersion = 1
	maxNamespace  = 255 // bytes; PROTOCOL.sshsig sets no limit

	hashSHA256 = "sha256"
	hashSHA512 = "sha512"

	flagUserPresent  = 0x01 // PROTOCOL.u2f: the authenticator was touched
	flagUserVerified = 0x04 // PROTOCOL.u2f: by PIN or fingerprint
)

// A Signature is a well-formed SSHSIG. Nothing is known about who made it or
// over which bytes until [Signature.Check] or [AllowedSigners.Verify].
type Signature struct {
	blob      []byte // what the armour holds
	pub       ssh.PublicKey
	namespace string
	hash      string
	sig       ssh.Signature
}

// envelope is the SSHSIG blob after magic and version.
type envelope struct {
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte
}

// ParseSignature reads one armoured signature. It accepts exactly what
// [Signature.Marshal] writes, and looks at no more than [MaxSignature] bytes.
// Every error wraps [ErrRejected].
func ParseSignature(armored []byte) (*Signature, error) {
	blob, err := dearmor(armored)
	if err != nil {
		return nil, err
	}
	s := &Signature{blob: blob}
	rest, ok := bytes.CutPrefix(blob, []byte(sshsigMagic))
	if !ok || len(rest) < 4 {
		return nil, rejectf("reading signature: armour does not hold an SSHSIG")
	}
	if v := binary.BigEndian.Uint32(rest); v != sshsigVersion {
		return nil, rejectf("reading signature: SSHSIG version %d, only version %d is known", v, sshsigVersion)
	}
	var env envelope
	if err := ssh.Unmarshal(rest[4:], &env); err != nil {
		return nil, rejectf("reading signature: SSHSIG fields are cut short or followed by other bytes")
	}
	if err := s.setFields(&env); err != nil {
		return nil, rejectf("reading signature: %v", err)
	}
	return s, nil
}

func (s *Signature) setFields(env *envelope) (err error) {
	if s.pub, err = parsePublicKey(env.PublicKey); err != nil {
		return err
	}
	if err := checkNamespace(env.Namespace); err != nil {
		return err
	}
	if len(env.Reserved) != 0 {
		return errors.New("reserved field is not empty")
	}
	if env.Hash != hashSHA256 && env.Hash != hashSHA512 {
		return fmt.Errorf("hash %q is not allowed: %s and %s are", env.Hash, hashSHA256, hashSHA512)
	}
	if err := ssh.Unmarshal(env.Signature, &s.sig); err != nil {
		return errors.New("inner signature is cut short")
	}
	s.namespace, s.hash = env.Namespace, env.Hash
	return checkInner(s.pub, &s.sig)
}

// checkNamespace allows 1 to maxNamespace bytes of printable ASCII without
// space: PROTOCOL.sshsig forbids only the empty one, but these get printed.
func checkNamespace(ns string) error {
	if ns == "" {
		return errors.New("namespace is empty")
	}
	if len(ns) > maxNamespace {
		return fmt.Errorf("namespace of %d bytes, at most %d are allowed", len(ns), maxNamespace)
	}
	for i := range len(ns) {
		if ns[i] <= ' ' || ns[i] > '~' {
			return fmt.Errorf("namespace %q holds a byte that is not printable ASCII", ns)
		}
	}
	return nil
}

// checkInner checks that the inner signature has the one shape that signatures
// by pub have: algorithm, lengths, canonical numbers, nothing behind them.
func checkInner(pub ssh.PublicKey, sig *ssh.Signature) error {
	want, trailer := pub.Type(), 0
	if isSecurityKey(pub.Type()) {
		trailer = 5 // PROTOCOL.u2f: flags byte, counter uint32
	}
	if key, ok := rsaKey(pub); ok {
		if sig.Format != ssh.KeyAlgoRSASHA256 && sig.Format != ssh.KeyAlgoRSASHA512 {
			return fmt.Errorf("signature algorithm %q is not allowed for RSA keys: %s and %s are",
				sig.Format, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512)
		}
		if len(sig.Blob) != key.Size() {
			return fmt.Errorf("RSA signature of %d bytes, want %d", len(sig.Blob), key.Size())
		}
		want = sig.Format
	}
	if sig.Format != want {
		return fmt.Errorf("signature algorithm %q is not allowed for %s keys", sig.Format, pub.Type())
	}
	if len(sig.Rest) != trailer {
		return fmt.Errorf("%d bytes after the inner signature, want %d", len(sig.Rest), trailer)
	}
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519:
		if len(sig.Blob) != 64 {
			return fmt.Errorf("ed25519 signature of %d bytes, want 64", len(sig.Blob))
		}
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoSKECDSA256:
		return checkECDSA(sig.Blob, 256)
	case ssh.KeyAlgoECDSA384:
		return checkECDSA(sig.Blob, 384)
	}
	return nil
}

// checkECDSA checks that blob is two positive canonical numbers of at most
// that many bits (RFC 5656, section 3.1.2).
func checkECDSA(blob []byte, bits int) error {
	var rs struct{ R, S *big.Int }
	if err := ssh.Unmarshal(blob, &rs); err != nil {
		return errors.New("ecdsa signature is cut short or followed by other bytes")
	}
	if rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > bits || rs.S.BitLen() > bits {
		return errors.New("ecdsa signature holds a number out of range")
	}
	if !bytes.Equal(ssh.Marshal(&rs), blob) {
		return errors.New("ecdsa signature is not in its canonical encoding")
	}
	return nil
}

// Marshal returns the armoured form, the very bytes that were parsed.
func (s *Signature) Marshal() []byte { return armor(s.blob) }

// PublicKey returns the key that the signature claims to be made with.
func (s *Signature) PublicKey() ssh.PublicKey { return s.pub }

// KeyType returns the type of that key, such as "ssh-ed25519".
func (s *Signature) KeyType() string { return s.pub.Type() }

// Fingerprint returns that key's fingerprint, "SHA256:…" as ssh-keygen -l shows it.
func (s *Signature) Fingerprint() string { return ssh.FingerprintSHA256(s.pub) }

// Namespace returns the namespace that the signature claims; it is not empty.
func (s *Signature) Namespace() string { return s.namespace }

// HashAlgorithm returns the hash of the message, "sha256" or "sha512".
func (s *Signature) HashAlgorithm() string { return s.hash }

// Algorithm returns the signature algorithm, such as "rsa-sha2-512".
func (s *Signature) Algorithm() string { return s.sig.Format }

// A Touch is what a FIDO authenticator states in the bytes that it signs.
type Touch struct {
	Present  bool   // somebody touched it
	Verified bool   // and was recognised by PIN or fingerprint
	Counter  uint32 // signatures made so far, or 0 if it does not count
}

// Touch returns what the authenticator states, or nil if the key is a plain one.
func (s *Signature) Touch() *Touch {
	if !isSecurityKey(s.pub.Type()) {
		return nil
	}
	flags := s.sig.Rest[0]
	return &Touch{
		Present:  flags&flagUserPresent != 0,
		Verified: flags&flagUserVerified != 0,
		Counter:  binary.BigEndian.Uint32(s.sig.Rest[1:]),
	}
}

// Check returns nil if the signature was made in that namespace, over exactly
// these bytes, by the private half of [Signature.PublicKey], and with a touch
// if the key is a security key. It says nothing about whether that key is
// trusted. Every error wraps [ErrRejected].
func (s *Signature) Check(namespace string, message []byte) error {
	if err := checkNamespace(namespace); err != nil {
		return rejectf("checking signature: wanted %v", err)
	}
	if s.namespace != namespace {
		return rejectf("signature by %s was made in namespace %q, not in %q", describe(s.pub), s.namespace, namespace)
	}
	if t := s.Touch(); t != nil && !t.Present {
		return rejectf("signature by %s was made without touching the security key", describe(s.pub))
	}
	if err := s.pub.Verify(signedData(namespace, s.hash, message), &s.sig); err != nil {
		return rejectf("signature by %s does not belong to these bytes: damaged, or other bytes were signed", describe(s.pub))
	}
	return nil
}

// signedData returns what the key really signs (PROTOCOL.sshsig, section 3).
func signedData(namespace, hash string, message []byte) []byte {
	var digest []byte
	switch hash {
	case hashSHA256:
		sum := sha256.Sum256(message)
		digest = sum[:]
	case hashSHA512:
		sum := sha512.Sum512(message)
		digest = sum[:]
	}
	return append([]byte(sshsigMagic), ssh.Marshal(&struct {
		Namespace string
		Reserved  string
		Hash      string
		Digest    []byte
	}{namespace, "", hash, digest})...)
}
