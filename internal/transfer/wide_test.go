//go:build linux

package transfer_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/proxytest"
	"airlock/internal/transfer/transfertest"
)

// TestWide sends one large file over all connections, each of which carries some
// of it, and reads it over all; and over the one that the server takes, if it
// takes no more.
func TestWide(t *testing.T) {
	servers(t, func(t *testing.T, server *realtest.SSHServer) {
		data := transfertest.Noise(3, 24<<20)
		for _, refuse := range []bool{false, true} {
			p := proxytest.New(t, server.Addr)
			s := dial(t, server, "wide", func(u *transfer.URL, o *transfer.Options) {
				through(t, server, p.Addr)(u, o)
				o.Connections = 3
			})
			p.Refuse(refuse)
			most := make(chan int)
			done := make(chan struct{})
			go func() {
				n := 0
				for {
					select {
					case <-done:
						most <- n
						return
					case <-time.After(time.Millisecond):
						n = max(n, p.Conns())
					}
				}
			}()
			if err := (transfer.Sender{}).Send(t.Context(), s, transfertest.File("x.vol", data)); err != nil {
				t.Fatal(err)
			}
			close(done)
			if n, want := <-most, map[bool]int{false: 3, true: 1}[refuse]; n != want {
				t.Errorf("refused: %v: %d connections, want %d", refuse, n, want)
			}
			carry(t, p, (*proxytest.Conn).Up, len(data))
			before := p.Down()
			f, err := s.Files().Open("x.vol")
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(data))
			for off := 0; off < len(data); off += 1 << 20 {
				if _, err := f.(io.ReaderAt).ReadAt(got[off:off+1<<20], int64(off)); err != nil {
					t.Fatal(err)
				}
			}
			f.Close()
			if p.Down()-before < int64(len(data)) {
				t.Errorf("%d bytes came back, want %d and more", p.Down()-before, len(data))
			}
			carry(t, p, (*proxytest.Conn).Down, len(data))
			if !bytes.Equal(got, data) {
				t.Errorf("refused: %v: other bytes arrived", refuse)
			}
			s.Close()
		}
	})
}

// carry tells if a connection has not carried a fair part of the data.
func carry(t *testing.T, p *proxytest.Proxy, bytes func(*proxytest.Conn) int64, size int) {
	t.Helper()
	conns := slices.DeleteFunc(p.Carried(), func(c *proxytest.Conn) bool { return c.Up() == 0 })
	for i, c := range conns {
		if got, want := bytes(c), int64(size/len(conns)/4); got < want {
			t.Errorf("connection %d of %d carried %d bytes, want %d and more", i+1, len(conns), got, want)
		}
	}
}

// TestMore holds that files which travel over one connection each get a second one,
// but not small ones.
func TestMore(t *testing.T) {
	server := realtest.SSHD(t)
	for name, size := range map[string]int{"small": 1 << 20, "larger": 5 << 20} {
		p := proxytest.New(t, server.Addr)
		s := dial(t, server, name, through(t, server, p.Addr))
		if err := (transfer.Sender{}).Send(t.Context(), s, transfertest.File("x.vol", transfertest.Noise(1, size))); err != nil {
			t.Fatal(err)
		}
		if name == "small" {
			if n := len(p.Carried()); n != 1 {
				t.Errorf("%d connections for a small file", n)
			}
			continue
		}
		for end := time.Now().Add(time.Minute); len(p.Carried()) < 2; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("no second connection for a larger file")
			}
		}
	}
}
