package transfer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// login is what one attempt to log in may use.
type login struct {
	methods []ssh.AuthMethod
	agent   net.Conn // to be closed after the attempt, or nil
	keys    int
}

func (l login) close() {
	if l.agent != nil {
		l.agent.Close()
	}
}

// newLogin gathers the keys: the agent's first, since they ask for nothing,
// then those of the files.
func newLogin(h host, files []ssh.Signer, o Options) (l login, err error) {
	var signers []ssh.Signer
	if h.agent != "" {
		if l.agent, err = net.Dial("unix", h.agent); err == nil {
			signers, err = agent.NewClient(l.agent).Signers()
		}
		if err != nil && len(files) == 0 {
			l.close()
			return login{}, fmt.Errorf("asking the SSH agent for keys: %w", err)
		}
	}
	if h.onlyThose {
		signers = among(signers, h.identities)
	}
	signers = append(signers, files...)
	l.keys = len(signers)
	if len(signers) > 0 {
		l.methods = append(l.methods, ssh.PublicKeys(signers...))
	}
	if o.Password != nil {
		ask := func() (string, error) { b, err := o.Password(h.user, h.name); return string(b), err }
		l.methods = append(l.methods, ssh.PasswordCallback(ask))
	}
	return l, nil
}

// among keeps the agent's keys whose public half stands beside a key file.
func among(signers []ssh.Signer, files []string) (kept []ssh.Signer) {
	for _, s := range signers {
		for _, f := range files {
			if pub, err := publicKey(f); err == nil && bytes.Equal(pub.Marshal(), s.PublicKey().Marshal()) {
				kept = append(kept, s)
				break
			}
		}
	}
	return kept
}

func publicKey(file string) (ssh.PublicKey, error) {
	text, err := readSmall(file+".pub", 64<<10)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return key, err
}

// fileSigners reads the key files. One that is not there is passed over; one
// that cannot be read is an error.
func fileSigners(h host, o Options) (signers []ssh.Signer, err error) {
	for _, file := range h.identities {
		s, err := fileSigner(file, o)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading key file %q: %w", file, err)
		}
		if cert, err := certificate(file, s); err == nil {
			signers = append(signers, cert)
		}
		signers = append(signers, s)
	}
	return signers, nil
}

// certificate joins a key with FILE-cert.pub if there is one.
func certificate(file string, s ssh.Signer) (ssh.Signer, error) {
	pub, err := publicKey(file + "-cert")
	if err != nil {
		return nil, err
	}
	cert, ok := pub.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("not a certificate")
	}
	return ssh.NewCertSigner(cert, s)
}

func fileSigner(file string, o Options) (ssh.Signer, error) {
	text, err := readSmall(file, 64<<10)
	if err != nil {
		return nil, err
	}
	s, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return s, err
	}
	pub := locked.PublicKey // stands unencrypted in OpenSSH's own format
	if pub == nil {
		if pub, err = publicKey(file); err != nil {
			return nil, fmt.Errorf("it is encrypted, and %q: %w", file+".pub", err)
		}
	}
	return &lockedKey{file: file, text: text, pub: pub, ask: o.Passphrase}, nil
}

// lockedKey is an encrypted key file. The passphrase is asked for when the
// server has accepted the key, and then once.
type lockedKey struct {
	file string
	text []byte
	pub  ssh.PublicKey
	ask  func(file string) ([]byte, error)

	mu  sync.Mutex
	key ssh.AlgorithmSigner
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.pub }

func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	key, err := k.unlock()
	if err != nil {
		return nil, fmt.Errorf("unlocking key file %q: %w", k.file, err)
	}
	return key.SignWithAlgorithm(rand, data, algorithm)
}

func (k *lockedKey) unlock() (ssh.AlgorithmSigner, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil {
		return k.key, nil
	}
	if k.ask == nil {
		return nil, errors.New("it is encrypted and there is nobody to ask for the passphrase (use ssh-agent)")
	}
	pass, err := k.ask(k.file)
	if err != nil {
		return nil, err
	}
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(k.text, pass)
	clear(pass)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("that is not its passphrase")
	} else if err != nil {
		return nil, err
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("unsupported key type %T", raw)
	}
	s, err := ssh.NewSignerFromSigner(signer)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(s.PublicKey().Marshal(), k.pub.Marshal()) {
		return nil, errors.New("the public key beside it is another one")
	}
	k.key = s.(ssh.AlgorithmSigner)
	return k.key, nil
}
