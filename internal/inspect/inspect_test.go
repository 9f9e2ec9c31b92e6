package inspect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"airlock/internal/bundletest"
	"airlock/internal/inspect"
	"airlock/internal/manifest"
	"airlock/internal/trust"
)

const goldenDir = "../archive/testdata/golden"

func allowed(t testing.TB) *trust.AllowedSigners {
	t.Helper()
	text, err := os.ReadFile("../archive/testdata/allowed_signers")
	must(t, err)
	a, err := trust.ParseAllowedSigners(text)
	must(t, err)
	return a
}

func print(t testing.TB, r *inspect.Report) string {
	t.Helper()
	var b bytes.Buffer
	must(t, r.Print(&b))
	return b.String()
}

func TestProven(t *testing.T) {
	r, err := inspect.Proven(os.DirFS(goldenDir), allowed(t), bundletest.Created)
	must(t, err)
	sums, err := os.ReadFile(goldenDir + "/SHA256SUMS")
	must(t, err)
	if !r.Proven || r.Root != manifest.DigestOf(sums) || len(r.Blobs) != 4 || len(r.Signatures) != 1 || !r.Signatures[0].Trusted || r.Signatures[0].Principals[0] != "ana" {
		t.Errorf("%+v", r)
	}
	text := print(t, r)
	for _, want := range []string{"shop 1.0", r.Root.String(), "by ana", r.Signatures[0].Fingerprint, "registry.example/app/0:1.0", "linux/amd64", "stream", "2026-01-02T03:04:05Z",
		"107 B in 50 B: as it is (frames: 1 zstd)", "55 B in 55 B: as it is (frames: 1 stored)"} {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	r.Blobs[0].Why = "for a reason"
	if text := print(t, r); !strings.Contains(text, ": as it is, for a reason (frames: ") {
		t.Errorf("does not say why:\n%s", text)
	}
	raw, err := json.Marshal(r)
	must(t, err)
	var back inspect.Report
	must(t, json.Unmarshal(raw, &back))
	if back.Root != r.Root || !back.Proven || len(back.Blobs) != 4 || back.Blobs[0].Frames == "" {
		t.Errorf("as JSON: %s", raw)
	}
}

// TestUnproven holds that what is not checked is not called trusted.
func TestUnproven(t *testing.T) {
	r, err := inspect.Unproven(os.DirFS(goldenDir))
	must(t, err)
	if r.Proven || r.Blobs != nil || len(r.Signatures) != 1 || r.Signatures[0].Trusted || r.Signatures[0].Principals != nil || r.Signatures[0].Fingerprint == "" {
		t.Errorf("%+v", r)
	}
	text := print(t, r)
	if !strings.Contains(text, "not checked") || strings.Contains(text, "by ana") {
		t.Errorf("says\n%s", text)
	}
	var b bytes.Buffer
	must(t, r.List(&b))
	if want := "registry.example/app/0:1.0"; !strings.Contains(b.String(), want) {
		t.Errorf("%q does not list %s", b.String(), want)
	}
}

// TestNothingReachesTheTerminal is row 51 of the hostile inputs: a report in
// which every text tries to write to the terminal.
func TestNothingReachesTheTerminal(t *testing.T) {
	r, err := inspect.Unproven(os.DirFS(goldenDir))
	must(t, err)
	const evil = "\x1b[2J\x07\u009b\r"
	m := r.Manifest
	m.Release, m.Version, m.Stream, m.Created, m.Expires = evil, evil, evil, evil, evil
	m.Annotations = map[string]string{"k" + evil: "v" + evil}
	image := &m.Images[0]
	image.Names, image.Platforms = []string{"a" + evil, "b" + evil}, []string{"linux/" + evil}
	tagged := manifest.Referrer{Tag: evil}
	typed, artifact := tagged, tagged
	typed.Tag, typed.MediaType = "", evil
	artifact.Tag, artifact.ArtifactType = "", evil
	image.Referrers = []manifest.Referrer{tagged, typed, artifact}
	r.Signatures = []inspect.Signature{{File: evil, KeyType: evil, Fingerprint: evil}, {Trusted: true, Principals: []string{evil}}}
	for _, proven := range []bool{false, true} {
		r.Proven = proven
		var b bytes.Buffer
		must(t, r.Print(&b))
		must(t, r.List(&b))
		must(t, r.PrintSignatures(&b))
		if b.Len() < 300 {
			t.Errorf("says only %q", b.String())
		}
		for _, c := range b.String() {
			if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("writes %q to the terminal:\n%q", c, b.String())
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := inspect.Unproven(fstest.MapFS{}); !errors.Is(err, manifest.ErrIncomplete) {
		t.Error(err)
	}
	nobody, err := trust.ParseAllowedSigners([]byte("bob " + bobsKey(t) + "\n"))
	must(t, err)
	if r, err := inspect.Proven(os.DirFS(goldenDir), nobody, bundletest.Created); r != nil || !errors.Is(err, trust.ErrRejected) {
		t.Errorf("%v, %v", r, err)
	}
}

// bobsKey is a public key that the golden bundle is not signed by.
func bobsKey(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../archive/testdata/allowed_signers")
	must(t, err)
	_, bob, _ := strings.Cut(string(text), "\nbob ")
	at := strings.Index(bob, "ssh-ed25519")
	if at < 0 {
		t.Fatal("there is no bob")
	}
	return strings.TrimSpace(bob[at:])
}

type failing struct{ after int }

var errPipe = errors.New("broken pipe")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errPipe
	}
	return len(p), nil
}

func TestPrintErrors(t *testing.T) {
	r, err := inspect.Unproven(os.DirFS(goldenDir))
	must(t, err)
	for _, after := range []int{0, 50, 300} {
		if err := r.Print(&failing{after}); !errors.Is(err, errPipe) {
			t.Errorf("after %d bytes: %v", after, err)
		}
	}
	if err := r.List(&failing{}); !errors.Is(err, errPipe) {
		t.Errorf("List: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
