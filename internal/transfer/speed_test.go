//go:build linux

package transfer_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/proxytest"
	"airlock/internal/transfer/transfertest"
)

// TestSpeed compares with OpenSSH's sftp in the same run: at least 90 % of its
// put on the loopback interface and 95 % with a round trip of 40 ms.
func TestSpeed(t *testing.T) {
	if os.Getenv("AIRLOCK_SPEED") == "" {
		t.Skip("AIRLOCK_SPEED is not set: figures from a busy machine say nothing")
	}
	server := realtest.SSHD(t, realtest.Confined)
	for _, c := range []struct {
		delay time.Duration
		mib   int
		least float64
	}{{0, 256, 0.90}, {20 * time.Millisecond, 128, 0.95}} {
		t.Run(fmt.Sprint(2*c.delay), func(t *testing.T) {
			r := newRace(t, server, c.delay, c.mib)
			var theirs, synced, one, two []float64
			for range 3 {
				theirs = append(theirs, r.openssh(t, "put"))
				synced = append(synced, r.openssh(t, "put -f")) // with fsync, as we do
				one = append(one, r.ours(t, 1))
				two = append(two, r.ours(t, 2))
			}
			t.Logf("2 files of %d MiB, MB/s: sftp put %.0f, put -f %.0f; Send over 1 connection %.0f, over 2 %.0f",
				c.mib, theirs, synced, one, two)
			if ours := median(two); ours < c.least*median(theirs) {
				t.Errorf("%.0f MB/s, OpenSSH %.0f", ours, median(theirs))
			}
		})
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

type race struct {
	server *realtest.SSHServer
	addr   string
	local  []string
	files  []transfer.File
	bytes  float64
	runs   int
}

func newRace(t *testing.T, server *realtest.SSHServer, delay time.Duration, mib int) *race {
	r := &race{server: server, addr: server.Addr}
	if delay > 0 {
		p := proxytest.New(t, server.Addr)
		p.Delay(delay)
		r.addr = p.Addr
	}
	dir := t.TempDir()
	for i := range 2 {
		name := fmt.Sprintf("%d.vol", i)
		data := transfertest.Noise(uint64(i), mib<<20)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		f := transfertest.File(name, data)
		opened, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { opened.Close() })
		f.Bytes = opened
		r.files, r.local = append(r.files, f), append(r.local, path)
		r.bytes += float64(len(data))
	}
	return r
}

func (r *race) folder(t *testing.T) string {
	t.Helper()
	exec.Command("sync").Run()
	r.runs++
	dir := fmt.Sprintf("run-%d", r.runs)
	if err := os.MkdirAll(filepath.Join(r.server.Root, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Join(r.server.Root, dir)) })
	return dir
}

func (r *race) openssh(t *testing.T, put string) float64 {
	t.Helper()
	dir := r.folder(t)
	host, port, _ := net.SplitHostPort(r.addr)
	var batch bytes.Buffer
	for _, path := range r.local {
		fmt.Fprintf(&batch, "%s %s %s\n", put, path, filepath.Join(r.server.Path, dir, filepath.Base(path)))
	}
	cmd := exec.Command("sftp", "-q", "-F", r.server.ConfigFile, "-o", "HostName="+host, "-o", "Port="+port,
		"-o", "HostKeyAlias=realtest-key", "-o", "UserKnownHostsFile="+r.known(t), "-b", "-", "realtest")
	cmd.Stdin = &batch
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sftp: %v: %s", err, out)
	}
	return r.bytes / 1e6 / time.Since(start).Seconds()
}

func (r *race) ours(t *testing.T, connections int) float64 {
	t.Helper()
	dir := r.folder(t)
	j, err := transfer.OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now() // logging in counts for both
	s := dial(t, r.server, dir, func(u *transfer.URL, o *transfer.Options) {
		through(t, r.server, r.addr)(u, o)
		o.Connections = connections
	})
	if err := (transfer.Sender{Journal: j}).Send(t.Context(), s, r.files...); err != nil {
		t.Fatal(err)
	}
	speed := r.bytes / 1e6 / time.Since(start).Seconds()
	s.Close()
	return speed
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

// known is a known_hosts file in which the server has a name of its own.
func (r *race) known(t *testing.T) string {
	t.Helper()
	key, err := os.ReadFile(r.server.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(key, []byte(" "))
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, append([]byte("realtest-key "), rest...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
