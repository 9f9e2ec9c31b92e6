package trust

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Signer is who signed, and how: the outcome of [AllowedSigners.Verify].
type Signer struct {
	Principals    []string // whom the allowing lines name: names, or patterns as written
	KeyType       string   // such as "ssh-ed25519"
	Fingerprint   string   // "SHA256:…"
	Namespace     string
	HashAlgorithm string // "sha256" or "sha512"
	Algorithm     string // of the signature, such as "rsa-sha2-512"
	Touch         *Touch // what the FIDO authenticator states; nil for a plain key

	entries []Entry
}

// Is reports whether an allowing line stands for that principal, patterns and
// negation considered: what `ssh-keygen -Y verify -I principal` decides.
func (s *Signer) Is(principal string) bool {
	return slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Names(principal) })
}

// Verify returns who signed message in namespace. The signature is right, and
// at least one line names its key and allows it in that namespace at that
// time, to the second and with both ends included. Errors about the
// signature wrap [ErrRejected]; if it is right but not allowed, [ErrNotTrusted].
func (a *AllowedSigners) Verify(namespace string, message, armored []byte, at time.Time) (*Signer, error) {
	if at.IsZero() {
		// A forgotten clock would pass every valid-before.
		return nil, errors.New("verifying signature: no time to verify at")
	}
	sig, err := ParseSignature(armored)
	if err != nil {
		return nil, err
	}
	if err := sig.Check(namespace, message); err != nil {
		return nil, err
	}
	return a.signer(sig, at)
}

// signer finds who may sign like sig, which must have been checked.
func (a *AllowedSigners) signer(sig *Signature, at time.Time) (*Signer, error) {
	s := &Signer{
		KeyType:       sig.KeyType(),
		Fingerprint:   sig.Fingerprint(),
		Namespace:     sig.Namespace(),
		HashAlgorithm: sig.HashAlgorithm(),
		Algorithm:     sig.Algorithm(),
		Touch:         sig.Touch(),
	}
	var reasons []string
	blob := sig.pub.Marshal()
	for _, e := range a.entries {
		if !bytes.Equal(e.Key.Marshal(), blob) {
			continue
		}
		if reason := e.refusal(sig.namespace, at); reason != "" {
			reasons = append(reasons, reason)
			continue
		}
		s.entries = append(s.entries, e)
		for _, p := range e.Principals() {
			if !slices.Contains(s.Principals, p) {
				s.Principals = append(s.Principals, p)
			}
		}
	}
	switch {
	case len(s.entries) > 0:
		return s, nil
	case len(reasons) > 0:
		return nil, distrustf("signed with %s, which allowed_signers names but does not allow: %s", describe(sig.pub), abridge(reasons))
	}
	return nil, distrustf("signed with %s, which allowed_signers does not name; it names %s", describe(sig.pub), abridge(a.summary()))
}

// refusal says why the line does not allow its key, or nothing if it does.
func (e *Entry) refusal(namespace string, at time.Time) string {
	who := fmt.Sprintf("line %d (%s)", e.Line, strings.Join(e.principals, ","))
	switch {
	case e.namespaces != nil && !e.namespaces.match(namespace):
		return fmt.Sprintf("%s is for namespaces %q, not %q", who, strings.Join(e.namespaces, ","), namespace)
	case !e.ValidAfter.IsZero() && at.Unix() < e.ValidAfter.Unix():
		return fmt.Sprintf("%s is valid from %s, and it is %s", who, stamp(e.ValidAfter), stamp(at))
	case !e.ValidBefore.IsZero() && at.Unix() > e.ValidBefore.Unix():
		return fmt.Sprintf("%s is valid until %s, and it is %s", who, stamp(e.ValidBefore), stamp(at))
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *AllowedSigners) summary() []string {
	var out []string
	for _, e := range a.entries {
		out = append(out, fmt.Sprintf("%s (%s)", strings.Join(e.principals, ","), describe(e.Key)))
	}
	return out
}

// abridge joins the first few of many for a message that people read.
func abridge(items []string) string {
	const most = 8
	if len(items) > most {
		items = append(slices.Clone(items[:most]), fmt.Sprintf("and %d more", len(items)-most))
	}
	return strings.Join(items, "; ")
}
