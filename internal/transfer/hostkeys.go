package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ErrHostKey is wrapped by a HostKeyError.
var ErrHostKey = errors.New("host key not accepted")

// HostKeyError says why a server's key was not accepted. Nothing was sent to
// that server, neither a name nor a file.
type HostKeyError struct {
	Address     string   // as known_hosts names it
	Type        string   // of the key that was offered, such as ssh-ed25519
	Fingerprint string   // of it, "SHA256:…" as ssh-keygen -l prints it
	Known       []string // "file:line" of what known_hosts holds for the address; empty: first contact
	Reason      string

	Revoked bool // the key is one that must not be used any more
	other   bool // the server may have another key that fits the fingerprint given
}

func (e *HostKeyError) Error() string {
	s := fmt.Sprintf("%v: %s offers %s %s: %s", ErrHostKey, e.Address, e.Type, e.Fingerprint, e.Reason)
	if len(e.Known) > 0 {
		s += " (" + strings.Join(e.Known, ", ") + ")"
	}
	return s
}

func (e *HostKeyError) Unwrap() error { return ErrHostKey }

// hostKeys is what is known about the key of one server.
type hostKeys struct {
	address     string
	fingerprint string // given by the person, or ""
	check       ssh.HostKeyCallback
	plain       []knownhosts.KnownKey // the server's own keys
	authorities []knownhosts.KnownKey // keys that may sign the server's keys
	offered     []string              // algorithms to be offered now; nil: those that are by default
}

// newHostKeys reads the known_hosts files. Those that do not exist hold nothing.
func newHostKeys(address, fingerprint string, files []string) (*hostKeys, error) {
	if fingerprint != "" && !strings.HasPrefix(fingerprint, "SHA256:") {
		return nil, fmt.Errorf("host key fingerprint %q: want SHA256:…", fingerprint)
	}
	h := &hostKeys{address: address, fingerprint: fingerprint}
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var err error
	if h.check, err = knownhosts.New(there...); err != nil {
		return nil, err
	}
	return h, h.find()
}

// find asks for the entries of the address by showing a key that nobody has.
func (h *hostKeys) find() error {
	var unknown *knownhosts.KeyError
	err := h.check(h.address, &net.TCPAddr{}, nobody{})
	if !errors.As(err, &unknown) {
		return fmt.Errorf("asking known_hosts for %s: %w", h.address, err)
	}
	for _, k := range unknown.Want {
		authority, err := isAuthority(k)
		if err != nil {
			return err
		}
		if authority {
			h.authorities = append(h.authorities, k)
		} else {
			h.plain = append(h.plain, k)
		}
	}
	return nil
}

// nobody is a public key that no file can hold.
type nobody struct{}

func (nobody) Type() string                        { return "none" }
func (nobody) Marshal() []byte                     { return nil }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// isAuthority looks at the line of an entry: the package that parsed it does
// not tell whether it began with @cert-authority.
func isAuthority(k knownhosts.KnownKey) (bool, error) {
	text, err := os.ReadFile(k.Filename)
	if err != nil {
		return false, err
	}
	n := 0
	for line := range bytes.Lines(text) {
		if n++; n == k.Line {
			return bytes.HasPrefix(bytes.TrimSpace(line), []byte("@cert-authority")), nil
		}
	}
	return false, fmt.Errorf("%s:%d: %w", k.Filename, k.Line, fs.ErrNotExist)
}

// algorithms are those to offer the server: of its keys it must show one that
// is known, else an honest server would look like an impostor. Without any
// entry nil: those that are offered by default.
func (h *hostKeys) algorithms() []string {
	var list []string
	seen := map[string]bool{}
	add := func(names ...string) {
		for _, n := range names {
			if !seen[n] {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	if len(h.authorities) > 0 {
		add(ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
			ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
	}
	for _, k := range h.plain {
		if t := k.Key.Type(); t == ssh.KeyAlgoRSA { // RFC 8332: never with SHA-1
			add(ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			add(t)
		}
	}
	return list
}

// tries returns the choices of algorithms to offer, one after the other: with
// nothing but a fingerprint, it is not known which of the server's keys that is.
func (h *hostKeys) tries() [][]string {
	if known := h.algorithms(); known != nil || h.fingerprint == "" {
		return [][]string{known}
	}
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

// offering returns the same keys, with what to offer.
func (h *hostKeys) offering(algorithms []string) *hostKeys {
	next := *h
	next.offered = algorithms
	return &next
}

// verify is the callback of the handshake. A key is accepted if the files hold
// it for the address, or a certificate by an authority that they hold, or if
// they hold nothing and the person gave its fingerprint. A fingerprint that
// was given must match in any case, and a revoked key never passes.
func (h *hostKeys) verify(_ string, remote net.Addr, key ssh.PublicKey) error {
	err := h.check(h.address, &net.TCPAddr{}, key)
	cert, isCert := key.(*ssh.Certificate)
	shown := key
	if isCert {
		shown = cert.Key
	}
	print := ssh.FingerprintSHA256(shown)
	refuse := func(reason string) error {
		e := &HostKeyError{Address: h.address, Type: key.Type(), Fingerprint: print, Reason: reason}
		e.Revoked = errors.As(err, new(*knownhosts.RevokedError))
		e.other = h.fingerprint != "" && h.fingerprint != print
		for _, k := range append(append([]knownhosts.KnownKey{}, h.plain...), h.authorities...) {
			e.Known = append(e.Known, fmt.Sprintf("%s:%d", k.Filename, k.Line))
		}
		return e
	}
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		return refuse(fmt.Sprintf("%s:%d revokes it", revoked.Revoked.Filename, revoked.Revoked.Line))
	case h.fingerprint != "" && h.fingerprint != print:
		return refuse("the fingerprint given is " + h.fingerprint)
	case isCert && err != nil:
		return refuse(err.Error())
	case isCert, h.holds(key):
		return nil
	case len(h.plain)+len(h.authorities) > 0:
		return refuse("known_hosts holds another key for this server")
	case h.fingerprint != "":
		return nil
	}
	return refuse("first contact, and no known_hosts file has an entry for this server")
}

func (h *hostKeys) holds(key ssh.PublicKey) bool {
	for _, k := range h.plain {
		if bytes.Equal(k.Key.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}
