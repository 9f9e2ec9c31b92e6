//go:build linux

package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// proftpdModule is where Debian keeps the SFTP half of ProFTPD.
const proftpdModule = "/usr/lib/proftpd/mod_sftp.so"

// ProFTPD starts ProFTPD with mod_sftp: an SFTP server that shares no code
// with OpenSSH and lacks most of its extensions. Sessions are confined to Root.
func ProFTPD(t testing.TB) *SSHServer {
	t.Helper()
	needRoot(t, "proftpd")
	needSystem(t, "proftpd", "ssh-keygen")
	if _, err := os.Stat(proftpdModule); err != nil {
		Missing(t, err.Error())
	}
	p := openPlace(t)
	s := &SSHServer{t: t, Host: "127.0.0.1", Root: p.path("root"), Path: "/"}
	err := s.prepare(p, "ecdsa")
	if err == nil {
		err = s.prepareProFTPD(p)
	}
	if err == nil {
		err = s.listen(p, "proftpd", func() ([]string, error) { return s.proftpd(p) })
	}
	if err != nil {
		t.Fatalf("starting proftpd: %v", err)
	}
	return s
}

// prepareProFTPD makes the user that is known to this server alone, with the
// rights of who runs the test, and the key in the one format it reads.
func (s *SSHServer) prepareProFTPD(p *place) error {
	s.User = "realtest"
	line := fmt.Sprintf("%s:!:%d:%d::%s:/bin/false\n", s.User, os.Getuid(), os.Getgid(), s.Root)
	if _, err := p.write("passwd", line); err != nil {
		return err
	}
	keygen, err := findSystem("ssh-keygen")
	if err != nil {
		return err
	}
	key, err := exec.Command(keygen, "-e", "-m", "RFC4716", "-f", s.IdentityFile+".pub").Output()
	if err != nil {
		return fmt.Errorf("converting a key: %w", err)
	}
	_, err = p.write("authorized_keys", string(key))
	return err
}

// proftpd returns the command that serves on s.Port.
func (s *SSHServer) proftpd(p *place) ([]string, error) {
	file, err := p.write("proftpd.conf", fmt.Sprintf(`ServerName realtest
ServerType standalone
DefaultAddress %s
SocketBindTight on
Port %s
UseIPv6 off
UseReverseDNS off
User root
Group root
PidFile %s
ScoreboardFile %s
WtmpLog off
TransferLog none
AuthOrder mod_auth_file.c
AuthUserFile %s
RequireValidShell off
RootLogin on
DefaultRoot ~
MaxInstances 100
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
LoadModule mod_sftp.c
<IfModule mod_delay.c>
  DelayEngine off
</IfModule>
SFTPEngine on
SFTPHostKey %s
SFTPAuthMethods publickey
SFTPAuthorizedUserKeys file:%s
`, s.Host, s.Port, p.path("pid"), p.path("scoreboard"), p.path("passwd"),
		p.path("host_key"), p.path("authorized_keys")))
	if err != nil {
		return nil, err
	}
	command, err := findSystem("proftpd")
	return []string{command, "--nodaemon", "--config", file}, err
}
