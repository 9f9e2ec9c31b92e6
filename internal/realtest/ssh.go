//go:build linux

package realtest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An SSHServer is a server that offers SFTP to one user with one key.
type SSHServer struct {
	// Addr is its "127.0.0.1:PORT"; Host and Port are its halves.
	Addr, Host, Port string
	// User is who may log in, with the key in IdentityFile (OpenSSH's format,
	// no passphrase, IdentityFile+".pub" beside it).
	User, IdentityFile string
	// KnownHosts is a known_hosts file with the server's key for Addr.
	KnownHosts string
	// SecondKeyFile is the public half of what SecondKey made.
	SecondKeyFile string
	// ConfigFile is an ssh_config in which the host "realtest" is this server,
	// with the user, key and known_hosts file above and nothing else.
	ConfigFile string
	// Root is the folder, empty at first, that a session begins in.
	Root string
	// Path is Root as a client names it: "/" if sessions are confined to it.
	Path string

	t       testing.TB
	program *program
}

// An SSHOption changes how [SSHD] serves.
type SSHOption int

const (
	// Confined has sessions see nothing but Root, by chroot(2). Needs root.
	Confined SSHOption = iota + 1
	// WithShell lets sessions run commands, where they otherwise get SFTP
	// whatever they ask for.
	WithShell
	// SecondKey gives the server a key of another type as well, with its
	// public half in SecondKeyFile.
	SecondKey
)

// SSHD starts OpenSSH's server. Who runs the test, root too, may log in to it.
func SSHD(t testing.TB, options ...SSHOption) *SSHServer {
	t.Helper()
	needSystem(t, "sshd", "ssh-keygen")
	has := map[SSHOption]bool{}
	for _, option := range options {
		has[option] = true
	}
	p := openPlace(t)
	s := &SSHServer{t: t, Host: "127.0.0.1", Root: p.path("root"), Path: p.path("root")}
	if has[Confined] {
		needRoot(t, "sshd with a chroot")
		s.Root, s.Path = chrootFolder(t), "/"
	}
	err := s.prepare(p, "ed25519")
	if err == nil {
		err = s.listen(p, "sshd", func() ([]string, error) { return s.sshd(p, has) })
	}
	if err != nil {
		t.Fatalf("starting sshd: %v", err)
	}
	return s
}

// chrootFolder makes a folder that sshd accepts: sshd_config(5) wants every
// folder above it writable by root alone, which /tmp is not.
func chrootFolder(t testing.TB) string {
	t.Helper()
	p, err := newPlace("/run")
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	p.endWith(t)
	root := p.path("root")
	if err := errors.Join(os.Chmod(p.dir, 0o755), os.Mkdir(root, 0o755)); err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	return root
}

// prepare makes the folder and the keys, of this type.
func (s *SSHServer) prepare(p *place, keyType string) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	s.User = me.Username
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return err
	}
	s.IdentityFile = p.path("user_key")
	return errors.Join(makeKey(keyType, s.IdentityFile), makeKey(keyType, p.path("host_key")))
}

// makeKey makes a key of a type, unless the file is there from an attempt before.
func makeKey(keyType, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	keygen, err := findSystem("ssh-keygen")
	if err != nil {
		return err
	}
	if out, err := exec.Command(keygen, "-q", "-t", keyType, "-N", "", "-C", "realtest", "-f", file).CombinedOutput(); err != nil {
		return fmt.Errorf("making a key: %w: %s", err, out)
	}
	return nil
}

// sshd returns the command that serves on s.Port.
func (s *SSHServer) sshd(p *place, has map[SSHOption]bool) ([]string, error) {
	config := fmt.Sprintf(`ListenAddress %s
Port %s
HostKey %s
AuthorizedKeysFile %s
PidFile none
# The folder above the keys is /tmp, which all may write to.
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers %s
LogLevel VERBOSE
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
`, s.Host, s.Port, p.path("host_key"), s.IdentityFile+".pub", s.User)
	if has[SecondKey] {
		s.SecondKeyFile = p.path("second_key.pub")
		if err := makeKey("ecdsa", p.path("second_key")); err != nil {
			return nil, err
		}
		config += "HostKey " + p.path("second_key") + "\n"
	}
	if has[Confined] {
		config += "ChrootDirectory " + s.Root + "\n"
	}
	if !has[WithShell] {
		config += "ForceCommand internal-sftp -d " + s.Path + "\n"
	}
	file, err := p.write("sshd_config", config)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		// Compiled in: where the unprivileged half of sshd is confined to.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	command, err := findSystem("sshd") // it wants an absolute path
	return []string{command, "-D", "-e", "-f", file}, err
}

// listen starts the server on a free port. Somebody else may take the port
// before the server does; then the next one is tried.
func (s *SSHServer) listen(p *place, name string, command func() ([]string, error)) error {
	var errs []error
	for range 5 {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Port = strconv.Itoa(port)
		s.Addr = net.JoinHostPort(s.Host, s.Port)
		words, err := command()
		if err != nil {
			return err
		}
		if s.program, err = p.start(name, systemPath(), words...); err != nil {
			return err
		}
		if err = s.program.ready(s.greets); err == nil {
			return s.describe(p)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// greets returns nil if the server announces itself (RFC 4253, section 4.2).
func (s *SSHServer) greets() error {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-2.0-") {
		err = fmt.Errorf("greeting %q", line)
	}
	return err
}

// describe writes the files that a client needs.
func (s *SSHServer) describe(p *place) error {
	key, err := os.ReadFile(p.path("host_key.pub"))
	if err != nil {
		return err
	}
	if s.KnownHosts, err = p.write("known_hosts", fmt.Sprintf("[%s]:%s %s", s.Host, s.Port, key)); err != nil {
		return err
	}
	s.ConfigFile, err = p.write("ssh_config", fmt.Sprintf(`Host realtest
  HostName %s
  Port %s
  User %s
  IdentityFile %s
  IdentitiesOnly yes
  UserKnownHostsFile %s
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
`, s.Host, s.Port, s.User, s.IdentityFile, s.KnownHosts))
	return err
}

// Log returns what the server has printed.
func (s *SSHServer) Log() string { return s.program.output() }

// Cut kills the processes of all sessions, as a cable that is pulled ends
// them; the server goes on. It returns how many processes there were.
func (s *SSHServer) Cut() int {
	s.t.Helper()
	sessions := family([]int{s.program.pid}, "")
	if err := killAll(sessions); err != nil {
		s.t.Fatalf("cutting sessions: %v", err)
	}
	return len(sessions)
}
