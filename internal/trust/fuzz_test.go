package trust

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// FuzzParseSignature holds that what parses is what Marshal writes, that
// whatever does not parse is a rejection, and that checking never panics.
func FuzzParseSignature(f *testing.F) {
	seeds := 0
	for _, p := range []parts{
		sign(f, newEd25519(f)), sign(f, newECDSA(f, elliptic.P256())), sign(f, newECDSA(f, elliptic.P384())), sign(f, newRSA(f)),
		newAuthenticator(f, ssh.KeyAlgoSKED25519, 1).parts(f), newAuthenticator(f, ssh.KeyAlgoSKECDSA256, 0).parts(f),
	} {
		text := p.armor()
		if _, err := ParseSignature(text); err != nil {
			f.Fatal(err)
		}
		blob, err := dearmor(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, false)
		f.Add(blob, true)
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, text []byte, wrapped bool) {
		if wrapped { // lets the fuzzer reach what lies inside the armour
			text = armor(text)
		}
		s, err := ParseSignature(text)
		if err != nil {
			if !errors.Is(err, ErrRejected) {
				t.Errorf("error %q is no rejection", err)
			}
			return
		}
		if !bytes.Equal(s.Marshal(), text) {
			t.Errorf("parsed\n%q\nbut marshals to\n%q", text, s.Marshal())
		}
		if err := s.Check(s.Namespace(), testMessage); err != nil && !errors.Is(err, ErrRejected) {
			t.Errorf("error %q is no rejection", err)
		}
		if err := checkPublicKey(s.PublicKey()); err != nil {
			t.Errorf("parsed with a key that is refused: %v", err)
		}
	})
}

// FuzzParseAllowedSigners holds that every line that parses has a canonical
// form, which means the same and is its own canonical form.
func FuzzParseAllowedSigners(f *testing.F) {
	key := authorizedKey(newEd25519(f).pub, "comment")
	seeds := []string{
		"ana " + key,
		"# c\n\nana,b?b*,!bob " + key + "\r\n",
		`*@x.org namespaces="git,airlock-*,!x",valid-after="20260101Z",valid-before="20261231235959" ` + key,
		`ana valid-before="202601010000Z" ` + key + "\nbob " + key + "\n",
		`ana cert-authority ` + key,
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	zone := time.FixedZone("", -3*3600)
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseAllowedSigners(text, zone)
		if err != nil {
			return
		}
		if len(a.Entries()) == 0 {
			t.Error("a file without keys was accepted")
		}
		for _, e := range a.Entries() {
			again, err := parseAllowedSigners([]byte(e.String()), time.UTC)
			if err != nil {
				t.Fatalf("line %q becomes %q, which does not parse: %v", text, e.String(), err)
			}
			other := again.Entries()[0]
			if other.String() != e.String() || !other.ValidAfter.Equal(e.ValidAfter) || !other.ValidBefore.Equal(e.ValidBefore) ||
				!slices.Equal(other.Principals(), e.Principals()) || !slices.Equal(other.Namespaces(), e.Namespaces()) {
				t.Errorf("line %q becomes %q, which means something else", text, e.String())
			}
			if len(e.Principals()) == 0 {
				t.Errorf("line %q names nobody", e.String())
			}
		}
	})
}
