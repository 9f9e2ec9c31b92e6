// Package proxytest puts a bad network between a client and a server: a TCP
// proxy that delays, throttles, cuts or freezes what passes, and counts it.
package proxytest

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy passes TCP connections on to one server.
type Proxy struct {
	Addr string // where it listens

	target string
	l      net.Listener

	up, down atomic.Int64 // bytes passed to the server and back
	delay    atomic.Int64 // nanoseconds each way
	rate     atomic.Int64 // bytes per second each way and connection, 0: no limit
	cutAt    atomic.Int64 // once this many bytes in all went up; 0: never
	frozen   atomic.Bool
	refuse   atomic.Bool
	cuts     atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// New starts a proxy to a server. It ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, l: l, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.frozen.Store(false)
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Delay holds every byte back for that long, each way, from now on.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Throttle lets so many bytes per second pass, each way of each connection.
func (p *Proxy) Throttle(perSecond int64) { p.rate.Store(perSecond) }

// CutAfter cuts all connections when so many more bytes have gone up.
func (p *Proxy) CutAfter(bytes int64) { p.cutAt.Store(p.up.Load() + max(bytes, 1)) }

// Freeze lets nothing pass in either direction; connections stay open.
func (p *Proxy) Freeze(on bool) { p.frozen.Store(on) }

// Refuse closes new connections at once.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Up is how many bytes went to the server, and Down how many came back.
func (p *Proxy) Up() int64   { return p.up.Load() }
func (p *Proxy) Down() int64 { return p.down.Load() }

// Cuts is how often CutAfter has cut.
func (p *Proxy) Cuts() int64 { return p.cuts.Load() }

// Cut resets all connections, as a pulled cable that is noticed at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if p.refuse.Load() {
			c.Close()
			continue
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			c.Close()
			continue
		}
		p.keep(c, s)
		p.wg.Go(func() { p.pass(s, c, &p.up) })
		p.wg.Go(func() { p.pass(c, s, &p.down) })
	}
}

func (p *Proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

type packet struct {
	b   []byte
	due time.Time
}

// pass copies one direction: a reader that stamps what it reads and a writer
// that holds it back until it is due, so that delay costs no throughput.
func (p *Proxy) pass(to, from net.Conn, count *atomic.Int64) {
	line := make(chan packet, 4096)
	p.wg.Go(func() {
		defer close(line)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				line <- packet{b[:n], time.Now().Add(time.Duration(p.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	})
	var err error
	for k := range line { // to its end, so that the reader never waits
		if err == nil {
			err = p.deliver(to, k, count)
		}
		if err != nil {
			from.Close()
		}
	}
	to.Close()
	p.mu.Lock()
	delete(p.conns, to)
	delete(p.conns, from)
	p.mu.Unlock()
}

func (p *Proxy) deliver(to io.Writer, k packet, count *atomic.Int64) error {
	time.Sleep(time.Until(k.due))
	for p.frozen.Load() {
		time.Sleep(time.Millisecond)
	}
	if rate := p.rate.Load(); rate > 0 {
		time.Sleep(time.Duration(float64(len(k.b)) / float64(rate) * float64(time.Second)))
	}
	total := count.Add(int64(len(k.b)))
	if at := p.cutAt.Load(); count == &p.up && at > 0 && total >= at {
		if p.cutAt.CompareAndSwap(at, 0) {
			p.cuts.Add(1)
			p.Cut()
		}
		return io.ErrClosedPipe
	}
	_, err := to.Write(k.b)
	return err
}
