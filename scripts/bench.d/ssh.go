//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"airlock/internal/transfer/proxytest"
)

// An sshServer is OpenSSH's, which gives SFTP to who has the key.
type sshServer struct {
	*program
	dir        string // of its keys and configuration
	host, port string
	line       *proxytest.Proxy // between it and its clients; nil: none
}

// sshd starts a server that ends with the bench.
func (b *bench) sshd(ctx context.Context) (*sshServer, error) {
	s, err := startServer(ctx, b.path("sshd"))
	if err == nil {
		b.atEnd(func() error { s.end(); return nil })
	}
	return s, err
}

// startServer starts a server whose keys and configuration lie in dir.
func startServer(ctx context.Context, dir string) (*sshServer, error) {
	if err := os.MkdirAll(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		return nil, err
	}
	s := &sshServer{dir: dir}
	for _, key := range []string{s.hostKey(), s.identity()} {
		if err := new(meter).run(ctx, command{args: []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}}); err != nil {
			return nil, err
		}
	}
	// sshd cannot have the kernel choose a port: one that was free is taken.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	free.Close()
	config := filepath.Join(dir, "sshd_config")
	err = os.WriteFile(config, fmt.Appendf(nil, `ListenAddress %s
HostKey %s
AuthorizedKeysFile %s.pub
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
`, addr, s.hostKey(), s.identity()), 0o600)
	if err != nil {
		return nil, err
	}
	sshd, err := exec.LookPath("sshd") // it wants to be called by its whole path
	if err != nil {
		return nil, err
	}
	if s.program, err = startProgram(dir, "sshd", os.Getenv("PATH"), sshd, "-D", "-e", "-f", config); err != nil {
		return nil, err
	}
	err = s.ready(ctx, func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err == nil {
		err = s.at(addr)
	}
	if err != nil {
		s.end()
	}
	return s, err
}

// at says where clients reach the server, and has s.dir, as a home, know its key there.
func (s *sshServer) at(addr string) (err error) {
	if s.host, s.port, err = net.SplitHostPort(addr); err != nil {
		return err
	}
	key, err := os.ReadFile(s.hostKey() + ".pub")
	if err != nil {
		return err
	}
	return os.WriteFile(s.knownHosts(), fmt.Appendf(nil, "[%s]:%s %s", s.host, s.port, key), 0o600)
}

// moveAway puts a line between the server and its clients.
func (s *sshServer) moveAway() (err error) {
	if s.line, err = proxytest.Start(net.JoinHostPort(s.host, s.port)); err != nil {
		return err
	}
	return s.at(s.line.Addr)
}

func (s *sshServer) end() {
	if s.line != nil {
		s.line.Close()
	}
	s.program.end()
}

func (s *sshServer) hostKey() string    { return filepath.Join(s.dir, "host_key") }
func (s *sshServer) identity() string   { return filepath.Join(s.dir, "user_key") }
func (s *sshServer) knownHosts() string { return filepath.Join(s.dir, ".ssh", "known_hosts") }

// env is what a client of Airlock's needs to log in.
func (s *sshServer) env() []string { return []string{"HOME=" + s.dir, "SSH_AUTH_SOCK="} }

// url names a folder of this machine, as the server has it.
func (s *sshServer) url(dir string) string {
	return "sftp://root@" + net.JoinHostPort(s.host, s.port) + dir
}

// sftp is OpenSSH's client with one line of its commands, such as "put a b".
func (s *sshServer) sftp(line string, names ...string) command {
	for _, name := range names {
		line += " " + name
	}
	return command{args: []string{"sh", "-ec", `echo "$1" | sftp -q -b - -P "$2" -i "$3" -o UserKnownHostsFile="$4" "root@$5"`,
		"sh", line, s.port, s.identity(), s.knownHosts(), s.host}}
}
