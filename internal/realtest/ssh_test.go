//go:build linux

package realtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSSHServers(t *testing.T) {
	tests := []struct {
		name  string
		start func(testing.TB) *SSHServer
	}{
		{"sshd", func(t testing.TB) *SSHServer { return SSHD(t) }},
		{"sshd confined", func(t testing.TB) *SSHServer { return SSHD(t, Confined) }},
		{"proftpd", func(t testing.TB) *SSHServer { return ProFTPD(t) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := watched(t, test.start)
			from := filepath.Join(t.TempDir(), "from")
			if err := os.WriteFile(from, []byte("carried"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(Tool(t, "sftp"), "-F", s.ConfigFile, "-b", "-", "realtest")
			cmd.Stdin = strings.NewReader("pwd\nput " + from + " " + strings.TrimSuffix(s.Path, "/") + "/to\n")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("sftp: %v\n%s", err, out)
			}
			if want := "Remote working directory: " + s.Path + "\n"; !strings.Contains(string(out), want) {
				t.Errorf("sftp printed %q, want %q in it", out, want)
			}
			got, err := os.ReadFile(filepath.Join(s.Root, "to"))
			if err != nil || string(got) != "carried" {
				t.Errorf("file at the server: %q, %v", got, err)
			}
		})
	}
}

func TestSSHDShell(t *testing.T) {
	s := SSHD(t, WithShell)
	out, err := exec.Command(Tool(t, "ssh"), "-F", s.ConfigFile, "realtest", "echo $((6*7))").CombinedOutput()
	if err != nil || string(out) != "42\n" {
		t.Errorf("ssh printed %q, %v", out, err)
	}
}

func TestSSHDWithoutShell(t *testing.T) {
	s := SSHD(t)
	out, _ := exec.Command(Tool(t, "ssh"), "-F", s.ConfigFile, "realtest", "echo $((6*7))").Output()
	if strings.Contains(string(out), "42") {
		t.Errorf("a session that is SFTP only ran a command: %q", out)
	}
}

func TestCut(t *testing.T) {
	s := SSHD(t, WithShell)
	cmd := exec.Command(Tool(t, "ssh"), "-F", s.ConfigFile, "realtest", "echo up; sleep 600")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 3)); err != nil {
		t.Fatalf("waiting for the session: %v", err)
	}
	if n := s.Cut(); n == 0 {
		t.Error("Cut found no process")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the session ended well though it was cut")
	}
	if err := s.greets(); err != nil {
		t.Errorf("after a cut the server is gone: %v", err)
	}
}
