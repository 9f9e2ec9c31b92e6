package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

const maxKeyFile = 64 << 10 // bytes

// A Key makes signatures: a private key from a file, or one that ssh-agent holds.
type Key struct {
	pub     ssh.PublicKey
	comment string
	sign    func(data []byte) (*ssh.Signature, error)
}

// LoadKey reads the private key file at path, in OpenSSH or PEM form. If it is
// encrypted, passphrase is called once with a prompt for a person, and what it
// returns is overwritten after use; nil means that nobody can be asked.
func LoadKey(path string, passphrase func(prompt string) ([]byte, error)) (*Key, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseKey(path, text, passphrase)
}

// parseKey parses the text of the private key file at path.
func parseKey(path string, text []byte, passphrase func(prompt string) ([]byte, error)) (*Key, error) {
	private, err := ssh.ParsePrivateKey(text)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		private, err = decryptKey(path, text, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("private key %q: %w", path, err)
	}
	if err := checkPublicKey(private.PublicKey()); err != nil {
		return nil, fmt.Errorf("private key %q: %w", path, err)
	}
	return &Key{
		pub:     private.PublicKey(),
		comment: CommentBeside(path, private.PublicKey()),
		sign:    func(data []byte) (*ssh.Signature, error) { return signWith(private, data) },
	}, nil
}

// PublicKeyOf returns the public half of the private key in the file at path. It
// is taken from that file, never from a .pub beside it, which may be another
// key's; an encrypted key in OpenSSH form shows it without its passphrase.
func PublicKeyOf(path string, passphrase func(prompt string) ([]byte, error)) (ssh.PublicKey, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var encrypted *ssh.PassphraseMissingError
	if _, err := ssh.ParsePrivateKey(text); errors.As(err, &encrypted) && encrypted.PublicKey != nil {
		if err := checkPublicKey(encrypted.PublicKey); err != nil {
			return nil, fmt.Errorf("private key %q: %w", path, err)
		}
		return encrypted.PublicKey, nil
	}
	key, err := parseKey(path, text, passphrase)
	if err != nil {
		return nil, err
	}
	return key.PublicKey(), nil
}

// readKeyFile reads the file at path, which must look like a private key that
// can sign here.
func readKeyFile(path string) ([]byte, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	if err := checkKeyFile(text); err != nil {
		clear(text)
		return nil, fmt.Errorf("private key %q: %w", path, err)
	}
	return text, nil
}

// readSmall reads a regular file of at most maxKeyFile bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%q is larger than %d bytes, which no key is", path, maxKeyFile)
	}
	return text, nil
}

// checkKeyFile says what to do instead if the file is a public key, or holds a
// key that cannot sign here; it needs no passphrase. What it cannot tell is
// left to the parser.
func checkKeyFile(text []byte) error {
	if _, _, err := parsePublicLine(string(text)); err == nil {
		return errors.New("holds a public key: name the private key's file, or sign through ssh-agent")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("holds no private key in OpenSSH or PEM form")
	}
	// PROTOCOL.key: the public key stands before the encrypted part.
	var head struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public                  []byte
		Rest                    []byte `ssh:"rest"`
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok || ssh.Unmarshal(body, &head) != nil {
		return nil
	}
	pub, err := parsePublicKey(head.Public)
	if err != nil {
		return err
	}
	if isSecurityKey(pub.Type()) {
		return fmt.Errorf("is a handle for a security key (%s): add it to ssh-agent with ssh-add, and sign through the agent", describe(pub))
	}
	return nil
}

func decryptKey(path string, text []byte, passphrase func(prompt string) ([]byte, error)) (ssh.Signer, error) {
	if passphrase == nil {
		return nil, errors.New("is encrypted, and there is nobody to ask for its passphrase")
	}
	secret, err := passphrase(fmt.Sprintf("Passphrase for %q: ", path))
	if err != nil {
		return nil, fmt.Errorf("asking for its passphrase: %w", err)
	}
	defer clear(secret)
	private, err := ssh.ParsePrivateKeyWithPassphrase(text, secret)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("wrong passphrase")
	}
	return private, err
}

// CommentBeside returns the comment in path.pub if that is the same key's
// public half, else nothing: a comment only helps people.
func CommentBeside(path string, pub ssh.PublicKey) string {
	text, err := readSmall(path + ".pub")
	if err != nil {
		return ""
	}
	other, comment, err := parsePublicLine(string(text))
	if err != nil || !bytes.Equal(other.Marshal(), pub.Marshal()) {
		return ""
	}
	return comment
}

// parsePublicLine reads "keytype base64 [comment]", the content of a .pub file.
func parsePublicLine(text string) (ssh.PublicKey, string, error) {
	line, err := cleanLine([]byte(text))
	if err != nil {
		return nil, "", err
	}
	keyType, rest := cutField(line)
	encoded, comment := cutField(rest)
	pub, err := parseKeyFields(keyType, encoded)
	return pub, comment, err
}

func signWith(private ssh.Signer, data []byte) (*ssh.Signature, error) {
	if private.PublicKey().Type() != ssh.KeyAlgoRSA {
		return private.Sign(rand.Reader, data)
	}
	able, ok := private.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("RSA key signs with SHA-1 only")
	}
	return able.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
}

// PublicKey returns the public half.
func (k *Key) PublicKey() ssh.PublicKey { return k.pub }

// Fingerprint returns "SHA256:…" as ssh-keygen -l shows it.
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.pub) }

// Comment returns what the agent or the .pub file beside the key calls it; it
// may be empty, and proves nothing.
func (k *Key) Comment() string { return k.comment }

// Sign returns an armoured signature over message in namespace, with SHA-512.
// The signature has been parsed and checked as a verifier would.
func (k *Key) Sign(namespace string, message []byte) ([]byte, error) {
	if err := checkNamespace(namespace); err != nil {
		return nil, fmt.Errorf("signing with %s: %w", describe(k.pub), err)
	}
	sig, err := k.sign(signedData(namespace, hashSHA512, message))
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", describe(k.pub), err)
	}
	blob := append([]byte(sshsigMagic), 0, 0, 0, sshsigVersion)
	armored := armor(append(blob, ssh.Marshal(&envelope{
		PublicKey: k.pub.Marshal(),
		Namespace: namespace,
		Hash:      hashSHA512,
		Signature: ssh.Marshal(sig),
	})...))
	made, err := ParseSignature(armored)
	if err == nil {
		err = made.Check(namespace, message)
	}
	if err != nil {
		// Not %w: the signer is at fault here, no one's signature was rejected.
		return nil, fmt.Errorf("signing with %s: what it returned is not usable: %v", describe(k.pub), err)
	}
	return armored, nil
}

// GenerateKey makes an Ed25519 key pair: the private half in OpenSSH form,
// encrypted unless passphrase is empty, and the line of a .pub file.
func GenerateKey(comment string, passphrase []byte) (privatePEM, authorized []byte, err error) {
	if line, err := cleanLine([]byte(comment)); err != nil || line != comment || strings.ContainsAny(line, "\t") {
		return nil, nil, fmt.Errorf("comment %q is not a line of plain text", comment)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating key: %w", err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, nil, fmt.Errorf("generating key: %w", err)
	}
	var block *pem.Block
	if len(passphrase) == 0 {
		block, err = ssh.MarshalPrivateKey(private, comment)
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, passphrase)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("generating key: %w", err)
	}
	return pem.EncodeToMemory(block), []byte(authorizedKey(pub, comment) + "\n"), nil
}
