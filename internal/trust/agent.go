package trust

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An Agent holds keys and signs with them. Every [agent.ExtendedAgent] is one.
type Agent interface {
	List() ([]*agent.Key, error)
	SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error)
}

// AgentKey returns the one key of an agent that selector names:
//
//   - "SHA256:…", a fingerprint;
//   - the text of a public key line, "ssh-ed25519 AAAA… comment";
//   - a path that ends in ".pub", the file with such a line;
//   - anything else, the key's comment, exactly;
//   - "", the only usable key there is.
//
// Keys that the package refuses (see the package comment) count as absent. If
// no key or more than one answers, the error lists what the agent holds.
func AgentKey(ag Agent, selector string) (*Key, error) {
	held, err := ag.List()
	if err != nil {
		return nil, fmt.Errorf("asking ssh-agent for its keys: %w", err)
	}
	matches, err := matcher(selector)
	if err != nil {
		return nil, err
	}
	var found []*Key
	for _, h := range held {
		pub, err := parsePublicKey(h.Blob)
		if err != nil || !matches(pub, h.Comment) {
			continue
		}
		found = append(found, &Key{pub, h.Comment, agentSign(ag, pub)})
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(held) == 0:
		return nil, errors.New("ssh-agent holds no keys: add one with ssh-add, or unlock the agent")
	case len(found) > 1:
		return nil, fmt.Errorf("ssh-agent holds %d keys that %q could mean; choose one by its fingerprint: %s", len(found), selector, listKeys(held))
	}
	return nil, fmt.Errorf("ssh-agent holds no usable key %q; it holds %s", selector, listKeys(held))
}

// matcher returns a test for the keys that selector names.
func matcher(selector string) (func(pub ssh.PublicKey, comment string) bool, error) {
	if selector == "" {
		return func(ssh.PublicKey, string) bool { return true }, nil
	}
	if strings.HasPrefix(selector, "SHA256:") {
		return func(pub ssh.PublicKey, _ string) bool { return ssh.FingerprintSHA256(pub) == selector }, nil
	}
	line := selector
	if strings.HasSuffix(selector, ".pub") && !strings.ContainsAny(selector, "\n") {
		text, err := readSmall(selector)
		if err != nil {
			return nil, fmt.Errorf("reading public key: %w", err)
		}
		line = string(text)
	}
	want, _, err := parsePublicLine(line)
	if err == nil {
		return func(pub ssh.PublicKey, _ string) bool { return bytes.Equal(pub.Marshal(), want.Marshal()) }, nil
	}
	if line != selector {
		return nil, fmt.Errorf("public key %q: %w", selector, err)
	}
	return func(_ ssh.PublicKey, comment string) bool { return comment == selector }, nil
}

func agentSign(ag Agent, pub ssh.PublicKey) func([]byte) (*ssh.Signature, error) {
	var flags agent.SignatureFlags
	if pub.Type() == ssh.KeyAlgoRSA {
		flags = agent.SignatureFlagRsaSha512 // without it agents sign with SHA-1
	}
	return func(data []byte) (*ssh.Signature, error) {
		sig, err := ag.SignWithFlags(pub, data, flags)
		if err != nil {
			return nil, fmt.Errorf("asking ssh-agent: %w", err)
		}
		return sig, nil
	}
}

// listKeys names the keys that an agent holds, and why some cannot be used.
func listKeys(held []*agent.Key) string {
	var out []string
	for _, h := range held {
		item := fmt.Sprintf("%q (%s %s)", h.Comment, h.Format, ssh.FingerprintSHA256(h))
		if _, err := parsePublicKey(h.Blob); err != nil {
			item += fmt.Sprintf(", not usable: %v", err)
		}
		out = append(out, item)
	}
	return abridge(out)
}
