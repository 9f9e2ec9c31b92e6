//go:build linux

package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"airlock/internal/transfer"
	"airlock/internal/transfer/transfertest"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// plainServer is an SSH server in this process whose SFTP half is serve. It
// lets anybody in.
type plainServer struct {
	addr, known, identity string
	serve                 func(io.ReadWriteCloser)
	signer                ssh.Signer // of the host
	wg                    sync.WaitGroup
}

func newPlainServer(t *testing.T, serve func(io.ReadWriteCloser)) *plainServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	key, signer := newKey(t)
	dir := t.TempDir()
	p := &plainServer{addr: l.Addr().String(), serve: serve, signer: signer,
		known: filepath.Join(dir, "known_hosts"), identity: filepath.Join(dir, "id")}
	host, port, _ := net.SplitHostPort(p.addr)
	if err := os.WriteFile(p.known, []byte(line("", "["+host+"]:"+port, key)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", p.identity).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.session(c) })
		}
	})
	t.Cleanup(func() { l.Close(); p.wg.Wait() })
	return p
}

func (p *plainServer) session(c net.Conn) {
	defer c.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(p.signer)
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests) // answers keepalive
	for open := range channels {
		channel, requests, err := open.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				is := r.Type == "subsystem"
				r.Reply(is, nil)
				if is {
					go func() { p.serve(channel); channel.Close() }()
				}
			}
		}()
	}
}

func (p *plainServer) dial(t *testing.T, dir string, change func(*transfer.Options)) (*transfer.Server, error) {
	t.Helper()
	host, port, _ := net.SplitHostPort(p.addr)
	o := transfer.Options{ConfigFile: "none", AgentSocket: "none", KnownHosts: []string{p.known}, IdentityFiles: []string{p.identity}}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := transfer.Dial(ctx, transfer.URL{Host: host, Port: port, User: "me", Dir: dir}, o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// withoutExtensions serves SFTP version 3 and nothing else: the greeting's
// list of extensions is cut off.
func withoutExtensions(c io.ReadWriteCloser) {
	s, err := sftp.NewServer(&bareGreeting{ReadWriteCloser: c})
	if err == nil {
		s.Serve()
	}
}

// bareGreeting replaces the first packet that the server writes.
type bareGreeting struct {
	io.ReadWriteCloser
	mu   sync.Mutex
	held []byte
	done bool
}

func (g *bareGreeting) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return g.ReadWriteCloser.Write(b)
	}
	g.held = append(g.held, b...)
	if len(g.held) < 4 {
		return len(b), nil
	}
	size := 4 + int(g.held[0])<<24 + int(g.held[1])<<16 + int(g.held[2])<<8 + int(g.held[3])
	if len(g.held) < size {
		return len(b), nil
	}
	g.done = true
	// SSH_FXP_VERSION (2) with version 3: draft-ietf-secsh-filexfer-02, section 4.
	_, err := g.ReadWriteCloser.Write(append([]byte{0, 0, 0, 5, 2, 0, 0, 0, 3}, g.held[size:]...))
	return len(b), err
}

// TestPlainServer has neither fsync nor posix-rename, statvfs nor limits.
func TestPlainServer(t *testing.T) {
	p := newPlainServer(t, withoutExtensions)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s, err := p.dial(t, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same bytes again are no conflict
		if err := s.Put("a", []byte("one")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put("a", []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("other bytes: %v", err)
	}
	if _, err := s.FreeSpace(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("FreeSpace: %v", err)
	}
	data := transfertest.Noise(1, 70<<20)
	j, err := transfer.OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := transfertest.File("x.vol", data)
	f.Bytes = stopping{bytes.NewReader(data), 60 << 20}
	sender := transfer.Sender{Journal: j}
	if err := sender.Send(t.Context(), s, f); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	f.Bytes = bytes.NewReader(data)
	for range 2 { // resumed, then already there
		if err := sender.Send(t.Context(), s, f); err != nil {
			t.Fatal(err)
		}
	}
	mustEqual(t, dir, map[string][]byte{"a": []byte("one"), "x.vol": data})
	// Another file of that name is never overwritten.
	if err := sender.Send(t.Context(), s, transfertest.File("x.vol", []byte("other"))); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwriting: %v", err)
	}
	if got, err := fs.ReadFile(s.Files(), "x.vol"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

var errStop = errors.New("stop here")

type stopping struct {
	io.ReaderAt
	at int64
}

func (s stopping) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > s.at {
		return 0, errStop
	}
	return s.ReaderAt.ReadAt(b, off)
}

// TestDeafSFTP has a server whose connection lives, keepalives are answered,
// and whose SFTP half answers nothing after the greeting.
func TestDeafSFTP(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newPlainServer(t, func(c io.ReadWriteCloser) {
		c.Write([]byte{0, 0, 0, 5, 2, 0, 0, 0, 3})
		io.Copy(io.Discard, c)
	})
	s, err := p.dial(t, "/x", func(o *transfer.Options) { o.Idle = 200 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	f, err := s.Files().Open("x") // tried again until it is given up
	if err == nil {
		f.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, transfer.ErrCut) || !strings.Contains(err.Error(), "sign of life") {
		t.Error(err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("it took %v", d)
	}
	if err := (transfer.Sender{}).Send(ctx, s, transfertest.File("x", nil)); err == nil {
		t.Error("sent")
	}
}

// TestNoSFTP has a server without SFTP: said at once, not tried again.
func TestNoSFTP(t *testing.T) {
	p := newPlainServer(t, func(c io.ReadWriteCloser) { c.Close() })
	if _, err := p.dial(t, "/x", nil); err == nil {
		t.Error("dialled")
	}
}

// TestGarbage has servers that answer nonsense: no panic, no hang.
func TestGarbage(t *testing.T) {
	for name, answer := range map[string][]byte{
		"huge":    {0xff, 0xff, 0xff, 0xff, 2},
		"version": {0, 0, 0, 5, 2, 0, 0, 0, 9},
		"zero":    make([]byte, 64),
		"status":  {0, 0, 0, 5, 2, 0, 0, 0, 3, 0, 0, 0, 5, 101, 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlainServer(t, func(c io.ReadWriteCloser) {
				c.Write(answer)
				b := make([]byte, 1<<10)
				c.Read(b)
			})
			s, err := p.dial(t, "/x", func(o *transfer.Options) { o.Idle = time.Second })
			if err != nil {
				t.Log(err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := (transfer.Sender{}).Send(ctx, s, transfertest.File("x", []byte("x"))); err == nil {
				t.Error("sent")
			} else {
				t.Log(err)
			}
		})
	}
}
