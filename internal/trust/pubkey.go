package trust

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Bounds on RSA keys. Below the first they are too weak, above the second they
// only cost time; the exponent is that of FIPS 186-5, as far as x/crypto reads it.
const (
	minRSABits     = 3072
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// parsePublicKey reads a public key in SSH wire format (RFC 4253, section 6.6).
// It accepts only the types and sizes of the package comment, and of each key
// only the one encoding, so that equal keys have equal bytes.
func parsePublicKey(blob []byte) (ssh.PublicKey, error) {
	name, err := wireName(blob)
	if err != nil {
		return nil, err
	}
	if err := checkKeyType(name); err != nil {
		return nil, err
	}
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("malformed %s key: %w", name, err)
	}
	if err := checkPublicKey(pub); err != nil {
		return nil, err
	}
	if !bytes.Equal(pub.Marshal(), blob) {
		return nil, fmt.Errorf("malformed %s key: not in its canonical encoding", name)
	}
	return pub, nil
}

// wireName returns the string that stands first in a key in wire format.
func wireName(blob []byte) (string, error) {
	const longest = 64
	if len(blob) < 4 {
		return "", errors.New("malformed public key: shorter than its type")
	}
	n := binary.BigEndian.Uint32(blob)
	if n > longest || int(n) > len(blob)-4 {
		return "", errors.New("malformed public key: no key type at its start")
	}
	return string(blob[4 : 4+n]), nil
}

// checkPublicKey reports why a key may not be used here.
func checkPublicKey(pub ssh.PublicKey) error {
	if err := checkKeyType(pub.Type()); err != nil {
		return err
	}
	if pub.Type() != ssh.KeyAlgoRSA {
		return nil
	}
	key, ok := rsaKey(pub)
	if !ok {
		return errors.New("malformed RSA key")
	}
	// Size before anything is computed with it: a giant modulus burns minutes.
	if key.N.Sign() < 0 {
		return errors.New("RSA key with a negative modulus is not allowed")
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key of %d bits is not allowed: %d to %d bits are", bits, minRSABits, maxRSABits)
	}
	if key.E < minRSAExponent || key.E%2 == 0 {
		return fmt.Errorf("RSA key with exponent %d is not allowed: odd ones from %d are", key.E, minRSAExponent)
	}
	return nil
}

func rsaKey(pub ssh.PublicKey) (*rsa.PublicKey, bool) {
	holder, ok := pub.(ssh.CryptoPublicKey)
	if !ok {
		return nil, false
	}
	key, ok := holder.CryptoPublicKey().(*rsa.PublicKey)
	return key, ok
}

// isSecurityKey reports whether keys of this type live in a FIDO authenticator.
func isSecurityKey(keyType string) bool {
	return keyType == ssh.KeyAlgoSKED25519 || keyType == ssh.KeyAlgoSKECDSA256
}

// checkKeyType reports why keys of the named type may not be used here.
func checkKeyType(name string) error {
	const allowed = "allowed are ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ssh-rsa of 3072 bits and more, and their sk- forms"
	switch name {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoRSA,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	case "ssh-dss":
		return fmt.Errorf("DSA key (ssh-dss) is not allowed: too weak; %s", allowed)
	case ssh.KeyAlgoECDSA521:
		return fmt.Errorf("key of type %s is not allowed; %s", name, allowed)
	}
	if strings.HasSuffix(name, "-cert-v01@openssh.com") {
		return fmt.Errorf("certificate (%s) is not allowed: use the plain key, and name it in allowed_signers", name)
	}
	return &unknownKeyTypeError{name, allowed}
}

// An unknownKeyTypeError says that a word is no key type known to SSH, unlike
// the types that are known and refused.
type unknownKeyTypeError struct{ name, allowed string }

func (e *unknownKeyTypeError) Error() string {
	return fmt.Sprintf("unknown key type %q; %s", e.name, e.allowed)
}
