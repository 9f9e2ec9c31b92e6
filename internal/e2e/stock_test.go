//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

// stockCommands returns the two commands of README.txt that check a bundle
// without Airlock, for the signer.
func stockCommands(t *testing.T, readme, signer string) (signature, sums string) {
	t.Helper()
	for line := range strings.Lines(readme) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "NAME", signer)
		switch {
		case strings.HasPrefix(line, "ssh-keygen "):
			signature = line
		case strings.HasPrefix(line, "sha256sum "):
			sums = line
		}
	}
	if signature == "" || sums == "" {
		t.Fatalf("README.txt has not both commands: %s", readme)
	}
	return signature, sums
}

// TestStockCommands runs what README.txt says, with sh, in the bundle's folder.
func TestStockCommands(t *testing.T) {
	realtest.Tool(t, "ssh-keygen")
	corpus, d := realtest.Registry(t).PushCorpus(), newDesk(t)
	d.create("usb", corpus.Signed.Ref, corpus.Zstd.Ref)
	signature, sums := stockCommands(t, d.read("usb/README.txt"), "ana")
	d.write("usb/allowed_signers", d.read("allowed_signers"))
	sh := func(command string) ended {
		cmd := d.command("sh", "-ec", command)
		cmd.Dir = d.path("usb")
		return finish(t, cmd, (*exec.Cmd).Run)
	}
	for _, command := range []string{signature, sums} {
		if e := sh(command); e.code != 0 {
			t.Errorf("%s: exit code %d: %s", command, e.code, e.stderr)
		}
	}

	// They cover every file: nothing is left that could be changed unseen.
	files, err := os.ReadDir(d.path("usb"))
	must(t, err)
	for _, file := range files {
		name := filepath.Join("usb", file.Name())
		if file.Name() == "allowed_signers" {
			continue
		}
		good := d.read(name)
		bad := []byte(good)
		bad[len(bad)/2] ^= 1
		d.write(name, string(bad))
		if one, two := sh(signature), sh(sums); one.code == 0 && two.code == 0 {
			t.Errorf("with a flipped bit in %s both commands succeed", file.Name())
		}
		d.write(name, good)
	}

	// The load command of README.txt is a command that exists.
	load := regexp.MustCompile(`(?m)^ +(unbundle load .*)--to docker$`).FindStringSubmatch(d.read("usb/README.txt"))
	if load == nil {
		t.Fatal("README.txt has no load command")
	}
	if e := sh(load[1] + "--to oci:../far"); e.code != 0 {
		t.Errorf("%s: exit code %d: %s", load[1], e.code, e.stderr)
	}
}
