package trust

import (
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMatchPattern(t *testing.T) {
	tests := []struct {
		list, s string
		want    bool
	}{
		{"ana", "ana", true},
		{"ana", "Ana", false},
		{"ana", "anax", false},
		{"ana", "", false},
		{"*", "", true},
		{"*", "x", true},
		{"?", "", false},
		{"?", "x", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*@x.org", "ana@x.org", true},
		{"*@x.org", "ana@x.org.evil", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
		{"**", "x", true},
		{"a*", "a", true},
		{"ana,bob", "bob", true},
		{"*,!bob", "bob", false},
		{"!bob,*", "bob", false},
		{"!b*,*", "ana", true},
		{"!bob,ana", "carl", false},
		{"airlock-*", "airlock-bundle-v1", true},
		{"airlock-*", "airlock", false},
	}
	for _, test := range tests {
		list, err := parsePatternList(test.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := list.match(test.s); got != test.want {
			t.Errorf("match(%q, %q) = %v", test.list, test.s, got)
		}
	}
	// Time that grows with the square of the length, not exponentially.
	start := time.Now()
	if matchGlob(strings.Repeat("*a", 100)+"b", strings.Repeat("a", 250)) {
		t.Error("a glob that ends in b matches a string without b")
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("matching took %v", took)
	}
}

func TestParseAllowedSigners(t *testing.T) {
	key, other := newEd25519(t), newECDSA(t, elliptic.P256())
	pub, pub2 := authorizedKey(key.pub, ""), authorizedKey(other.pub, "")
	text := "# who may sign\r\n\n  \t\n  # indented\nana " + pub + "\r\n" +
		"\tbob,*@x.org,!eve@x.org  NameSpaces=\"git,airlock-*\",valid-after=\"20260101Z\",valid-before=\"202612312359\"\t" + pub2 + "  bob's  laptop \n" +
		`carl valid-before="20260101000000Z" ` + pub
	a, err := parseAllowedSigners([]byte(text), time.FixedZone("", 2*60*60))
	if err != nil {
		t.Fatal(err)
	}
	got := a.Entries()
	if len(got) != 3 {
		t.Fatalf("got %d entries, want 3", len(got))
	}
	if got[0].Line != 5 || got[1].Line != 6 || got[2].Line != 7 {
		t.Errorf("lines %d, %d, %d", got[0].Line, got[1].Line, got[2].Line)
	}
	if p := got[1].Principals(); !slices.Equal(p, []string{"bob", "*@x.org"}) {
		t.Errorf("principals %q", p)
	}
	if n := got[1].Namespaces(); !slices.Equal(n, []string{"git", "airlock-*"}) || got[0].Namespaces() != nil {
		t.Errorf("namespaces %q, %q", n, got[0].Namespaces())
	}
	if got[1].Comment != "bob's  laptop" || got[0].Comment != "" {
		t.Errorf("comments %q, %q", got[1].Comment, got[0].Comment)
	}
	if !got[1].ValidAfter.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("valid after %v", got[1].ValidAfter)
	}
	if !got[1].ValidBefore.Equal(time.Date(2026, 12, 31, 21, 59, 0, 0, time.UTC)) {
		t.Errorf("valid before %v, want a time of the local zone", got[1].ValidBefore)
	}
	if !got[1].Names("ana@x.org") || got[1].Names("eve@x.org") || got[1].Names("carl") {
		t.Error("principals match wrongly")
	}
	want := `bob,*@x.org,!eve@x.org namespaces="git,airlock-*",valid-after="20260101000000Z",valid-before="20261231215900Z" ` + pub2 + " bob's  laptop"
	if s := got[1].String(); s != want {
		t.Errorf("canonical line is\n%s, want\n%s", s, want)
	}
}

// TestHostileAllowedSigners holds that a line which is not fully understood
// makes the file an error that names the line.
func TestHostileAllowedSigners(t *testing.T) {
	key := newEd25519(t)
	pub := authorizedKey(key.pub, "")
	b64 := strings.Fields(pub)[1]
	tests := []struct{ name, text, want string }{
		{"empty", "", "no key in it"},
		{"comments only", "# nobody\n\n", "no key in it"},
		{"too large", strings.Repeat("#\n", 1<<19) + "#", "at most 1048576"},
		{"long line", "#" + strings.Repeat("x", maxAllowedLine), "line 1: 16385 bytes"},
		{"line number", "# c\n\nana " + pub + "\nbob " + b64, "line 4: "},
		{"no principals", pub, "neither a known option nor a known key type"},
		{"principals only", "ana", "only principals"},
		{"no key", `ana namespaces="x"`, "no key after the options"},
		{"no base64", "ana ssh-ed25519", "not base64"},
		{"cut base64", "ana " + pub[:len(pub)-3], "not base64"},
		{"cut key", "ana ssh-ed25519 " + b64[:len(b64)-4], "malformed ssh-ed25519 key"},
		{"other type", "ana ssh-rsa " + b64, "line says ssh-rsa, but its key is of type ssh-ed25519"},
		{"cert-authority", "*@x cert-authority " + pub, "cert-authority is not supported"},
		{"Cert-Authority among others", `*@x namespaces="x",Cert-Authority ` + pub, "cert-authority is not supported"},
		{"certificate", "ana ssh-ed25519-cert-v01@openssh.com " + b64, "certificate"},
		{"DSA", "ana ssh-dss " + b64, "DSA"},
		{"P-521", "ana ecdsa-sha2-nistp521 " + b64, "nistp521 is not allowed"},
		{"unknown type", "ana ssh-new " + b64, `"ssh-new" is neither a known option nor a known key type`},
		{"unknown option", "ana no-touch-required " + pub, `"no-touch-required" is neither`},
		{"unknown option with value", `ana namespaces="x",principals="a" ` + pub, `"principals" is neither`},
		{"option twice", `ana namespaces="x",NAMESPACES="y" ` + pub, "given twice"},
		{"no quotes", "ana namespaces=x " + pub, "with the quotes"},
		{"no value", "ana namespaces " + pub, "with the quotes"},
		{"open quote", `ana namespaces="x ` + pub, "no closing quote"},
		{"text after the quote", `ana namespaces="x"y ` + pub, "follows its closing quote"},
		{"comma at the end", `ana namespaces="x", ` + pub, `"" is neither`},
		{"two commas", `ana namespaces="x",,valid-after="20260101" ` + pub, `"" is neither`},
		{"options apart", `ana namespaces="x" valid-after="20260101" ` + pub, "unknown key type"},
		{"backslash", `ana namespaces="a\"b" ` + pub, "backslash"},
		{"no namespace", `ana namespaces="" ` + pub, "empty pattern"},
		{"space in namespaces", `ana namespaces="a, b" ` + pub, "not allowed"},
		{"negated namespaces only", `ana namespaces="!git" ` + pub, "matches nothing"},
		{"empty principal", "ana,,bob " + pub, "empty pattern"},
		{"comma after principal", "ana, " + pub, "empty pattern"},
		{"only a negation mark", "! " + pub, "empty pattern"},
		{"negated principals only", "!ana,!bob " + pub, "matches nothing"},
		{"principal negated again", "ana,!a* " + pub, "matches nothing"},
		{"double negation", "!!ana " + pub, "not allowed"},
		{"quoted principals", `"ana" ` + pub, "not allowed"},
		{"long principal", strings.Repeat("a", 256) + " " + pub, "pattern of 256 bytes"},
		{"principal beyond ASCII", "аna " + pub, "not allowed"},
		{"time 7 digits", `ana valid-after="2026010" ` + pub, "is not YYYYMMDD"},
		{"time with sign", `ana valid-after="+2026010" ` + pub, "is not YYYYMMDD"},
		{"time with offset", `ana valid-after="20260101+0100" ` + pub, "is not YYYYMMDD"},
		{"time in lower case", `ana valid-after="20260101z" ` + pub, "is not YYYYMMDD"},
		{"no time", `ana valid-before="" ` + pub, "is not YYYYMMDD"},
		{"only Z", `ana valid-before="Z" ` + pub, "is not YYYYMMDD"},
		{"31 February", `ana valid-after="20260231" ` + pub, "does not exist"},
		{"hour 24", `ana valid-after="202602012400" ` + pub, "does not exist"},
		{"leap second", `ana valid-before="20161231235960Z" ` + pub, "does not exist"},
		{"epoch", `ana valid-after="19700101Z" ` + pub, "out of range"},
		{"year 0", `ana valid-before="00000101Z" ` + pub, "out of range"},
		{"empty window", `ana valid-after="20260102Z",valid-before="20260101Z" ` + pub, "not later"},
		{"window of nothing", `ana valid-after="20260101Z",valid-before="20260101Z" ` + pub, "not later"},
		{"byte order mark", "\ufeffana " + pub, "byte order mark"},
		{"NUL", "ana " + pub + " \x00", "not text"},
		{"escape", "ana " + pub + " \x1b[2J", "not text"},
		{"carriage return inside", "ana\r " + pub, "not text"},
		{"UTF-16", "a\x00n\x00a\x00", "not text"},
		{"not UTF-8", "ana " + pub + " \xff", "not text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseAllowedSigners([]byte(test.text))
			wantError(t, err, nil, test.want)
			if errors.Is(err, ErrRejected) {
				t.Errorf("a bad file rejects no signature, but %q says so", err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "allowed_signers") {
				t.Errorf("error %q does not start with what was read", err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	ana, bob := newEd25519(t), newEd25519(t)
	sig := sign(t, ana).armor()
	anaKey, bobKey := authorizedKey(ana.pub, ""), authorizedKey(bob.pub, "")
	tests := []struct {
		name, allowed string
		who           []string
		want          string
	}{
		{"named", "ana " + anaKey, []string{"ana"}, ""},
		{"among others", "bob " + bobKey + "\nana " + anaKey, []string{"ana"}, ""},
		{"two lines", "ana " + anaKey + "\nana,ops " + anaKey, []string{"ana", "ops"}, ""},
		{"one of two lines", `ana namespaces="git" ` + anaKey + "\nops " + anaKey, []string{"ops"}, ""},
		{"pattern", "*@x.org,!eve@x.org " + anaKey, []string{"*@x.org"}, ""},
		{"namespace", `ana namespaces="git,airlock-*" ` + anaKey, []string{"ana"}, ""},
		{"first second", `ana valid-after="20260504030201Z" ` + anaKey, []string{"ana"}, ""},
		{"last second", `ana valid-before="20260504030201Z" ` + anaKey, []string{"ana"}, ""},
		{"unknown", "bob " + bobKey, nil, "which allowed_signers does not name; it names bob (ssh-ed25519 " + bob.Fingerprint()},
		{"other namespace", `ana namespaces="git" ` + anaKey, nil, `line 1 (ana) is for namespaces "git", not "airlock-bundle-v1"`},
		{"negated namespace", `ana namespaces="*,!airlock-*" ` + anaKey, nil, "is for namespaces"},
		{"namespace in other case", `ana namespaces="Airlock-*" ` + anaKey, nil, "is for namespaces"},
		{"too early", `ana valid-after="20260504030202Z" ` + anaKey, nil, "line 1 (ana) is valid from 2026-05-04T03:02:02Z, and it is 2026-05-04T03:02:01Z"},
		{"too late", `ana valid-before="20260504030200Z" ` + anaKey, nil, "line 1 (ana) is valid until 2026-05-04T03:02:00Z, and it is 2026-05-04T03:02:01Z"},
		{"no line of two", `ana namespaces="git" ` + anaKey + "\n" + `ops valid-before="20260101Z" ` + anaKey, nil, "line 2 (ops) is valid until"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A fraction of a second does not count, as in OpenSSH.
			s, err := parseAllowed(t, test.allowed).Verify(testNamespace, testMessage, sig, testTime.Add(time.Second-1))
			if test.who == nil {
				wantError(t, err, ErrNotTrusted, test.want)
				wantError(t, err, ErrRejected, ana.Fingerprint())
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Principals, test.who) || s.Fingerprint != ana.Fingerprint() || s.KeyType != "ssh-ed25519" ||
				s.Namespace != testNamespace || s.HashAlgorithm != "sha512" || s.Algorithm != "ssh-ed25519" || s.Touch != nil {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// TestVerifyRefuses holds that a signature which is wrong is not called
// untrusted, and that no detour accepts one.
func TestVerifyRefuses(t *testing.T) {
	ana, bob := newEd25519(t), newEd25519(t)
	allowed := parseAllowed(t, allowLine(t, "ana", ana.pub))
	good := sign(t, ana)
	forged := sign(t, bob)
	forged.pub = good.pub // bob's signature under ana's name
	tests := []struct {
		name      string
		namespace string
		message   []byte
		sig       []byte
		want      string
	}{
		{"other bytes", testNamespace, []byte("other"), good.armor(), "does not belong to these bytes"},
		{"no bytes", testNamespace, nil, good.armor(), "does not belong to these bytes"},
		{"namespace file", "file", testMessage, good.armor(), "was made in namespace"},
		{"namespace git", "git", testMessage, good.armor(), "was made in namespace"},
		{"namespace prefix", testNamespace[:7], testMessage, good.armor(), "was made in namespace"},
		{"forged", testNamespace, testMessage, forged.armor(), "does not belong to these bytes"},
		{"no signature", testNamespace, testMessage, nil, "file is empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := allowed.Verify(test.namespace, test.message, test.sig, testTime)
			wantError(t, err, ErrRejected, test.want)
			if errors.Is(err, ErrNotTrusted) {
				t.Errorf("%q is called untrusted, but it is wrong", err)
			}
		})
	}
	if _, err := allowed.Verify(testNamespace, testMessage, good.armor(), time.Time{}); err == nil {
		t.Error("verified at no time at all")
	}
	_, err := new(AllowedSigners).Verify(testNamespace, testMessage, good.armor(), testTime)
	wantError(t, err, ErrNotTrusted, "does not name")
}

func TestSignerIs(t *testing.T) {
	key := newEd25519(t)
	pub := authorizedKey(key.pub, "")
	a := parseAllowed(t, "*@x.org,!eve@x.org "+pub+"\n"+`eve@x.org namespaces="git" `+pub)
	s, err := a.Verify(testNamespace, testMessage, sign(t, key).armor(), testTime)
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]bool{"ana@x.org": true, "eve@x.org": false, "ana": false, "": false} {
		if s.Is(who) != want {
			t.Errorf("Is(%q) = %v", who, !want)
		}
	}
}

func TestUntrustedMessageIsShort(t *testing.T) {
	var text strings.Builder
	for range 30 {
		text.WriteString(allowLine(t, "p", newEd25519(t).pub))
	}
	_, err := parseAllowed(t, text.String()).Verify(testNamespace, testMessage, sign(t, newEd25519(t)).armor(), testTime)
	wantError(t, err, ErrNotTrusted, "and 22 more")
}

func TestAllowedSignersLine(t *testing.T) {
	pub := newEd25519(t).pub
	line := allowLine(t, "ana@x.org", pub)
	if want := `ana@x.org namespaces="airlock-bundle-v1" ` + authorizedKey(pub, "") + "\n"; line != want {
		t.Errorf("got %q, want %q", line, want)
	}
	for _, bad := range []string{"", "a b", "a,b", "*", "a?", "!a", "#a", `a"`, "a\nb", "ä"} {
		if line, err := AllowedSignersLine(bad, "git", pub); err == nil {
			t.Errorf("principal %q gives line %q", bad, line)
		}
	}
	for _, bad := range []string{"", "a b", "!git", `a"`, "a\nb"} {
		if line, err := AllowedSignersLine("ana", bad, pub); err == nil {
			t.Errorf("namespaces %q give line %q", bad, line)
		}
	}
}

func TestZoneIgnoresEnvironment(t *testing.T) {
	before := systemZone().String()
	t.Setenv("TZ", "Pacific/Auckland")
	if got := systemZone().String(); got != before {
		t.Errorf("zone %s with TZ set, %s without", got, before)
	}
	if systemZone() == time.Local {
		t.Error("the zone is time.Local, which follows TZ")
	}
}
