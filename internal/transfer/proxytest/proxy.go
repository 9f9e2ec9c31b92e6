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

	up, down way
	delay    atomic.Int64 // nanoseconds each way
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
	p, err := Start(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Start starts a proxy to a server.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, l: l, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() {
	p.l.Close()
	p.frozen.Store(false)
	p.Cut()
	p.wg.Wait()
}

// Delay holds every byte back for that long, each way, from now on.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Throttle lets so many bytes per second pass each way, over all connections;
// 0 is no limit.
func (p *Proxy) Throttle(perSecond int64) {
	p.up.throttle(perSecond)
	p.down.throttle(perSecond)
}

// CutAfter cuts all connections when so many more bytes have gone up.
func (p *Proxy) CutAfter(bytes int64) { p.cutAt.Store(p.up.passed.Load() + max(bytes, 1)) }

// Freeze lets nothing pass in either direction; connections stay open.
func (p *Proxy) Freeze(on bool) { p.frozen.Store(on) }

// Refuse closes new connections at once.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Up is how many bytes went to the server, and Down how many came back.
func (p *Proxy) Up() int64   { return p.up.passed.Load() }
func (p *Proxy) Down() int64 { return p.down.passed.Load() }

// Conns is how many connections pass through it now.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

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
func (p *Proxy) pass(to, from net.Conn, w *way) {
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
			err = p.deliver(to, k, w)
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

func (p *Proxy) deliver(to io.Writer, k packet, w *way) error {
	time.Sleep(time.Until(k.due))
	for p.frozen.Load() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(w.wait(len(k.b)))
	total := w.passed.Add(int64(len(k.b)))
	if at := p.cutAt.Load(); w == &p.up && at > 0 && total >= at {
		if p.cutAt.CompareAndSwap(at, 0) {
			p.cuts.Add(1)
			p.Cut()
		}
		return io.ErrClosedPipe
	}
	_, err := to.Write(k.b)
	return err
}

// A way is all that goes in one direction.
type way struct {
	passed atomic.Int64 // bytes

	mu   sync.Mutex
	rate int64     // bytes per second
	free time.Time // when what has passed is paid for
}

func (w *way) throttle(perSecond int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rate, w.free = perSecond, time.Time{}
}

// wait returns how long n more bytes must wait. What a late timer has cost may
// be caught up for within a tenth of a second.
func (w *way) wait(n int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rate == 0 {
		return 0
	}
	if early := time.Now().Add(-time.Second / 10); w.free.Before(early) {
		w.free = early
	}
	w.free = w.free.Add(time.Duration(float64(n) / float64(w.rate) * float64(time.Second)))
	return time.Until(w.free)
}
