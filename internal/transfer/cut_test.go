//go:build linux

package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/proxytest"
	"airlock/internal/transfer/transfertest"
)

// servers runs a test on both kinds of server, beside other tests: it waits for
// disks and servers most of the time.
func servers(t *testing.T, test func(*testing.T, *realtest.SSHServer)) {
	t.Parallel()
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		test(t, realtest.SSHD(t, realtest.Confined))
	})
	t.Run("proftpd", func(t *testing.T) {
		t.Parallel()
		test(t, realtest.ProFTPD(t))
	})
}

// TestCut cuts a transfer of two files at many offsets: it ends well by itself,
// and at most what is promised is sent again. The promise is scaled down from
// 64 MiB and tried at 8 offsets; with AIRLOCK_REQUIRE=all, unless -short, at 50, and with
// AIRLOCK_FULL at 50 and full size.
func TestCut(t *testing.T) {
	cuts, promise, size := 8, int64(2<<20), 5<<20
	if os.Getenv("AIRLOCK_REQUIRE") == "all" && !testing.Short() {
		cuts = 50
	}
	if os.Getenv("AIRLOCK_FULL") != "" {
		cuts, promise, size = 50, transfer.Resend, 80<<20
	}
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		a, b := transfertest.Noise(1, size), transfertest.Noise(2, size)
		worst := int64(0)
		for i := range cuts {
			p := proxytest.New(t, server.Addr)
			s := dial(t, server, "cut", through(t, server, p.Addr))
			s.SetResend(promise)
			before := p.Up()
			p.CutAfter(rand.Int64N(int64(2 * size)))
			j, err := transfer.OpenJournal(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			err = transfer.Sender{Journal: j}.Send(t.Context(), s, transfertest.File("a.vol", a), transfertest.File("b.vol", b))
			if err != nil {
				t.Fatalf("cut %d: %v", i, err)
			}
			if p.Cuts() != 1 {
				t.Fatalf("it was cut %d times", p.Cuts())
			}
			mustEqual(t, filepath.Join(server.Root, "cut"), map[string][]byte{"a.vol": a, "b.vol": b})
			again := p.Up() - before - int64(2*size)
			worst = max(worst, again)
			// SSH and SFTP add headers: under half a percent, and two new logins.
			if limit := promise + int64(size)/100 + 256<<10; again > limit {
				t.Errorf("cut %d: %d bytes too many went up, at most %d may", i, again, limit)
			}
			s.Close()
			os.RemoveAll(filepath.Join(server.Root, "cut"))
		}
		t.Logf("%d cuts: at most %d bytes more than the files, %d promised", cuts, worst, promise)
	})
}

// through has the client go through a proxy, which known_hosts knows nothing of.
func through(t testing.TB, server *realtest.SSHServer, addr string) func(*transfer.URL, *transfer.Options) {
	t.Helper()
	return func(u *transfer.URL, o *transfer.Options) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(server.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		known := filepath.Join(t.TempDir(), "known_hosts")
		line := bytes.Replace(key, []byte("]:"+server.Port), []byte("]:"+port), 1)
		if err := os.WriteFile(known, line, 0o600); err != nil {
			t.Fatal(err)
		}
		u.Host, u.Port, u.User = host, port, server.User
		o.ConfigFile, o.KnownHosts, o.IdentityFiles = "none", []string{known}, []string{server.IdentityFile}
	}
}

func mustEqual(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files) {
		t.Fatalf("%v, %v", entries, err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != string(want) {
			t.Fatalf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
}

// TestCutProcess ends the process in the midst of a transfer, as far as the
// server can tell: a later one with the same journal sends only the rest.
func TestCutProcess(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		p := proxytest.New(t, server.Addr)
		data := transfertest.Noise(1, 24<<20)
		state := t.TempDir()
		attempt := func(ctx context.Context) error {
			s := dial(t, server, "", through(t, server, p.Addr))
			defer s.Close()
			s.SetResend(4 << 20)
			j, err := transfer.OpenJournal(state)
			if err != nil {
				t.Fatal(err)
			}
			return transfer.Sender{Journal: j}.Send(ctx, s, transfertest.File("x.vol", data))
		}
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(0, func() {
			for p.Up() < 15<<20 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		})
		defer stop.Stop()
		p.Throttle(40 << 20)
		if err := attempt(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		before := p.Up()
		if err := attempt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := p.Up() - before; n > (24-15+4+3)<<20 {
			t.Errorf("%d bytes went up", n)
		}
		mustEqual(t, server.Root, map[string][]byte{"x.vol": data})
	})
}

// TestFrozen has the network swallow everything: nothing hangs for long.
func TestFrozen(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		p := proxytest.New(t, server.Addr)
		s := dial(t, server, "", func(u *transfer.URL, o *transfer.Options) {
			through(t, server, p.Addr)(u, o)
			o.Idle = 2 * time.Second
		})
		if err := s.Put("a", []byte("a")); err != nil {
			t.Fatal(err)
		}
		// An idle connection that answers is left alone.
		time.Sleep(3 * time.Second)
		logins := p.Up()
		if err := s.Put("b", []byte("b")); err != nil {
			t.Fatal(err)
		}
		if p.Up()-logins > 1500 {
			t.Errorf("%d bytes: it logged in again", p.Up()-logins)
		}
		p.Freeze(true)
		thaw := time.AfterFunc(4*time.Second, func() { p.Freeze(false) })
		defer thaw.Stop()
		start, logins := time.Now(), p.Up()
		if err := s.Put("c", []byte("c")); err != nil {
			t.Errorf("after it thawed: %v", err)
		}
		if d := time.Since(start); d < 1900*time.Millisecond || d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
		if p.Up()-logins < 1500 {
			t.Errorf("%d bytes: the frozen connection was waited for", p.Up()-logins)
		}
		mustEqual(t, server.Root, map[string][]byte{"a": []byte("a"), "b": []byte("b"), "c": []byte("c")})
	})
}

// TestNoServer has the server go away for good: that ends, and says so.
func TestNoServer(t *testing.T) {
	server := realtest.SSHD(t)
	p := proxytest.New(t, server.Addr)
	s := dial(t, server, "", through(t, server, p.Addr))
	p.Refuse(true)
	p.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := transfer.Sender{}.Send(ctx, s, transfertest.File("x", []byte("x")))
	if err == nil || !(errors.Is(err, transfer.ErrCut) || errors.Is(err, context.DeadlineExceeded)) {
		t.Error(err)
	}
	if _, err := tryDial(t, server, "", through(t, server, p.Addr)); !errors.Is(err, transfer.ErrCut) {
		t.Errorf("a new one: %v", err)
	}
}

// TestReadThroughCuts reads a file while the connection is cut again and again.
func TestReadThroughCuts(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		data := transfertest.Noise(3, 12<<20)
		if err := os.WriteFile(filepath.Join(server.Root, "x.vol"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		p := proxytest.New(t, server.Addr)
		s := dial(t, server, "", through(t, server, p.Addr))
		f, err := s.Files().Open("x.vol")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var got []byte
		for i := range 6 {
			b := make([]byte, 2<<20)
			if _, err := io.ReadFull(f, b); err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
			if i%2 == 1 {
				p.Cut()
			}
		}
		if string(got) != string(data) {
			t.Error("other bytes")
		}
		if _, err := f.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		// A file that was replaced by one of another size is not mixed with it.
		if err := os.WriteFile(filepath.Join(server.Root, "x.vol"), data[:5], 0o644); err != nil {
			t.Fatal(err)
		}
		p.Cut()
		if _, err := f.(io.ReaderAt).ReadAt(make([]byte, 10), 0); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("replaced: %v", err)
		}
	})
}

// TestRateLimit sends at the rate that was asked for, over all connections.
func TestRateLimit(t *testing.T) {
	server := realtest.SSHD(t)
	s := dial(t, server, "", func(_ *transfer.URL, o *transfer.Options) { o.RateLimit = 4 << 20 })
	a, b := transfertest.Noise(1, 4<<20), transfertest.Noise(2, 4<<20)
	start := time.Now()
	if err := (transfer.Sender{}).Send(t.Context(), s, transfertest.File("a", a), transfertest.File("b", b)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 1700*time.Millisecond {
		t.Errorf("8 MiB at 4 MiB/s took %v", d)
	}
}
