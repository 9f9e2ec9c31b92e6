//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An sshServer is OpenSSH's, which gives SFTP to who has the key, behind a wire of
// a limited rate.
type sshServer struct {
	*program
	dir  string // of its keys and configuration
	wire *wire
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
		s.wire, err = newWire(addr)
	}
	if err == nil {
		err = s.remember()
	}
	if err != nil {
		s.end()
	}
	return s, err
}

func (s *sshServer) hostKey() string  { return filepath.Join(s.dir, "host_key") }
func (s *sshServer) identity() string { return filepath.Join(s.dir, "user_key") }

// remember has s.dir, as a home, know the server's key.
func (s *sshServer) remember() error {
	key, err := os.ReadFile(s.hostKey() + ".pub")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, ".ssh", "known_hosts"), fmt.Appendf(nil, "[%s]:%s %s", s.wire.host, s.wire.port, key), 0o600)
}

// url names a folder of this machine, as the server has it.
func (s *sshServer) url(dir string) string {
	return "sftp://root@" + net.JoinHostPort(s.wire.host, s.wire.port) + dir
}

// put is OpenSSH's client that sends a folder into another.
func (s *sshServer) put(dir, into string) command {
	return command{args: []string{"sh", "-ec", `printf 'put -r %s %s\n' "$1" "$2" | sftp -q -b - -P "$3" -i "$4" -o UserKnownHostsFile="$5" "root@$6"`,
		"sh", dir, into, s.wire.port, s.identity(), filepath.Join(s.dir, ".ssh", "known_hosts"), s.wire.host}}
}

// A wire passes TCP connections on, each way at a rate that they share.
type wire struct {
	host, port string
	to         string
	listener   net.Listener
	up, down   shared
}

func newWire(to string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{to: to, listener: l}
	w.host, w.port, _ = strings.Cut(l.Addr().String(), ":")
	go w.serve()
	return w, nil
}

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			continue
		}
		go w.up.pass(far, near)
		go w.down.pass(near, far)
	}
}

// limit sets the rate, in bytes a second each way.
func (w *wire) limit(rate int64) {
	w.up.limit(rate)
	w.down.limit(rate)
}

// shared is a rate that all connections share.
type shared struct {
	mu   sync.Mutex
	rate int64
	free time.Time // when what has passed was paid for
}

func (s *shared) limit(rate int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate, s.free = rate, time.Time{}
}

// pass copies until either side ends.
func (s *shared) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		time.Sleep(s.after(n))
		if _, werr := to.Write(buffer[:n]); werr != nil || err != nil {
			return // the commands tell, if that was not the end
		}
	}
}

// after returns when n more bytes may pass. A connection that has waited may
// catch up for a tenth of a second.
func (s *shared) after(n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if early := time.Now().Add(-time.Second / 10); s.free.Before(early) {
		s.free = early
	}
	s.free = s.free.Add(time.Duration(float64(n) / float64(s.rate) * float64(time.Second)))
	return time.Until(s.free)
}
