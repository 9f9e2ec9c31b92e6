//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
)

// escape is what a hostile name would do to a terminal: set its title, clear
// it, and the same by control characters of eight bits.
const escape = "\x1b]0;owned\x07\x1b[2J\u009b31m\r\x7f"

// output runs the command in this process.
func output(t *testing.T, args ...string) (code int, printed string) {
	t.Helper()
	var both bytes.Buffer
	env := &cli.Env{Args: args, Stdin: strings.NewReader(""), Stdout: &both, Stderr: &both, Now: time.Now}
	code = cli.Run(t.Context(), env, commands.Classes(create.ErrRejected), root(env))
	return code, both.String()
}

func noControl(t *testing.T, what, printed string) {
	t.Helper()
	for _, r := range printed {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			t.Errorf("%s: printed the control character %U: %q", what, r, printed)
			return
		}
	}
}

// TestHostileRegistry has a registry say control characters wherever it can.
func TestHostileRegistry(t *testing.T) {
	said, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": "no " + escape}}})
	if err != nil {
		t.Fatal(err)
	}
	for what, answer := range map[string]http.HandlerFunc{
		"reasons":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden); w.Write(said) },
		"plain text": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, escape, http.StatusForbidden) },
		"media type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/\u009b2J")
			fmt.Fprint(w, "{}")
		},
		"document": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q}`, escape)
		},
		"login": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Bearer realm=\"http://x/\u009b2J\",service=\"\u009b2J\"")
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		server := httptest.NewServer(answer)
		host := strings.TrimPrefix(server.URL, "http://")
		for _, args := range [][]string{
			{"lock", host + "/x:1"},
			{"create", "--key", newKey(t), "--as", "ana", "-o", filepath.Join(t.TempDir(), "out"), host + "/x@sha256:" + strings.Repeat("a", 64)},
		} {
			code, printed := output(t, args...)
			if code == cli.ExitDone && what != "media type" && what != "document" {
				t.Errorf("%s: %s succeeded: %q", what, args[0], printed)
			}
			noControl(t, what+", "+args[0], printed)
		}
		server.Close()
	}
}

// TestHostileLayout has an OCI layout name its images in control characters.
func TestHostileLayout(t *testing.T) {
	dir := t.TempDir()
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"manifests": []any{map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2, "digest": "sha256:" + strings.Repeat("a", 64),
			"annotations": map[string]string{"org.opencontainers.image.ref.name": "name" + escape},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": string(index)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, printed := output(t, "lock", "oci:"+dir+":other")
	if code == cli.ExitDone || !strings.Contains(printed, "name") {
		t.Errorf("exit code %d: %q", code, printed)
	}
	noControl(t, "layout", printed)
}

// TestHostileArguments has arguments with control characters come back in errors.
func TestHostileArguments(t *testing.T) {
	for _, args := range [][]string{
		{"lock", "host/" + escape},
		{"lock", "-f", escape + ".yaml"},
		{"create", "-o", escape, "-f", escape},
		{"verify", escape},
		{escape},
		{"--" + escape},
	} {
		code, printed := output(t, args...)
		if code == cli.ExitDone || !strings.HasPrefix(printed, "bundle: error: ") {
			t.Errorf("%q: exit code %d: %q", args, code, printed)
		}
		noControl(t, fmt.Sprintf("%q", args), printed)
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if code, printed := output(t, "keygen", "--as", "ana", "--key", path); code != cli.ExitDone {
		t.Fatal(printed)
	}
	return path
}
