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
	for _, want := range []string{"shop 1.0", r.Root.String(), "by ana", r.Signatures[0].Fingerprint, "registry.example/app/0:1.0", "linux/amd64", "stream", "2026-01-02T03:04:05Z"} {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
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

// hostile is a bundle whose every text tries to write to the terminal.
func hostile(t testing.TB) fstest.MapFS {
	t.Helper()
	raw, err := os.ReadFile(goldenDir + "/manifest.json")
	must(t, err)
	m, err := manifest.Parse(raw)
	must(t, err)
	const evil = "\x1b[2J\x07\u009b"
	m.Annotations = map[string]string{"k" + evil: "v" + evil}
	m.Images[0].Platforms = []string{"linux/" + evil}
	r := manifest.Referrer{Descriptor: m.Images[0].Root, Subject: m.Images[0].Root.Digest, Tag: evil}
	other := r
	other.Tag, other.MediaType = "", "type"+evil
	artifact := other
	artifact.ArtifactType = evil
	m.Images[0].Referrers = []manifest.Referrer{r, other, artifact}
	text, err := m.Marshal()
	if err != nil {
		return nil
	}
	sums := manifest.Sums{"manifest.json": manifest.DigestOf(text)}
	return fstest.MapFS{"manifest.json": {Data: text}, "SHA256SUMS": {Data: sums.Marshal()}, "SHA256SUMS.eve.sig": {Data: []byte("junk")}}
}

// TestNothingReachesTheTerminal is row 51 of the hostile inputs.
func TestNothingReachesTheTerminal(t *testing.T) {
	files := hostile(t)
	if files == nil {
		return // such a manifest cannot be made any more
	}
	r, err := inspect.Unproven(files)
	must(t, err)
	text := print(t, r)
	var b bytes.Buffer
	must(t, r.List(&b))
	must(t, r.PrintSignatures(&b))
	for _, c := range text + b.String() {
		if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
			t.Fatalf("writes %q to the terminal:\n%q", c, text+b.String())
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := inspect.Unproven(fstest.MapFS{}); !errors.Is(err, manifest.ErrIncomplete) {
		t.Error(err)
	}
	if _, err := inspect.Proven(hostile(t), allowed(t), bundletest.Created); hostile(t) != nil && !errors.Is(err, trust.ErrRejected) {
		t.Error(err)
	}
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
