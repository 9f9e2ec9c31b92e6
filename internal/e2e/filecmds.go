//go:build linux

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"airlock/internal/bulk"
)

func fileCommands() map[string]command {
	return map[string]command{
		"exits": exits, "signer": signer, "flipbyte": flipByte, "truncatefile": truncateFile, "masked": masked, "hint": hint,
		"bulk": bulkLayout,
	}
}

func bulkLayout(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: bulk NAME DIR MIB")
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	digest, err := bulk.Write(ts.MkAbs(args[1]), 1, size<<20)
	ts.Check(err)
	ts.Setenv(args[0], "oci:"+args[1]+":"+bulk.Name+"@"+digest)
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func signer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: signer NAME [KEY]")
	}
	command := []string{"keygen", "--as", args[0]}
	if len(args) == 2 {
		command = append(command, "--key", args[1])
	}
	if err := ts.Exec("bundle", command...); err != nil {
		ts.Fatalf("bundle keygen: %v", err)
	}
	f, err := os.OpenFile(ts.MkAbs("allowed_signers"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	ts.Check(err)
	_, err = f.WriteString(ts.ReadFile("stdout"))
	ts.Check(errors.Join(err, f.Close()))
}

func flipByte(ts *testscript.TestScript, _ bool, args []string) {
	path, data, n := fileAndNumber(ts, args, "flipbyte FILE OFFSET")
	if n < 0 {
		n += len(data)
	}
	if n < 0 || n >= len(data) {
		ts.Fatalf("%s has %d bytes", args[0], len(data))
	}
	data[n] ^= 0xff
	ts.Check(os.WriteFile(path, data, 0o644))
}

func truncateFile(ts *testscript.TestScript, _ bool, args []string) {
	path, data, n := fileAndNumber(ts, args, "truncatefile FILE N")
	if n < 1 || n > len(data) {
		ts.Fatalf("%s has %d bytes", args[0], len(data))
	}
	ts.Check(os.Truncate(path, int64(len(data)-n)))
}

func fileAndNumber(ts *testscript.TestScript, args []string, usage string) (string, []byte, int) {
	if len(args) != 2 {
		ts.Fatalf("usage: %s", usage)
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	return path, data, n
}

var varying = regexp.MustCompile(`\b(sha256[:-])[0-9a-f]{64}|(SHA256:)[A-Za-z0-9+/]{43}|(ssh-ed25519) AAAA\S+|` +
	`()\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|(sequence )\d{9,}|("sequence": )\d{9,}|(127\.0\.0\.1:)\d+|` +
	`()\b\d+(?:\.\d)? [kM]?B\b|("(?:bytes|size|packed|offset)": )\d+`)

func masked(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: masked FILE")
	}
	text := varying.ReplaceAllString(ts.ReadFile("stdout"), "$1$2$3$4$5$6$7$8$9***")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

func hint(ts *testscript.TestScript, _ bool, args []string) {
	_, text, ok := strings.Cut(ts.ReadFile("stderr"), ": hint: ")
	if !ok || len(args) != 0 {
		ts.Fatalf("no hint on standard error")
	}
	text = strings.TrimSpace(text)
	if at := strings.LastIndex(text, ": "); at >= 0 {
		text = text[at+2:]
	}
	ts.Logf("pasting %s", text)
	if err := ts.Exec("sh", "-ec", text); err != nil {
		ts.Fatalf("pasting %q: %v", text, err)
	}
}
