// Package proxytest puts a bad network between a client and a server: a TCP
// proxy that delays, throttles, cuts or freezes what passes, and counts it.
package proxytest

import (
	"errors"
	"io"
	"net"
	"slices"
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

	heard atomic.Int64 // trips before what the client has got by now

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	all   []*Conn
	wg    sync.WaitGroup
}

// Conn is what one connection has carried.
type Conn struct {
	up, down atomic.Int64
	trips    atomic.Int64 // up to what the server has got by now
}

// Up is how many bytes went to the server, and Down how many came back.
func (c *Conn) Up() int64   { return c.up.Load() }
func (c *Conn) Down() int64 { return c.down.Load() }

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

// Carried is all connections since the proxy began, in the order of their making.
func (p *Proxy) Carried() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// Trips is how many times the client has waited for an answer before it could go
// on: the longest chain in which each message was sent when the answer to the
// one before had come, over all connections. Connecting itself is not counted.
// It is too high where messages that wait for nothing are sent late: the delay
// has to be long against what client and server take.
func (p *Proxy) Trips() int64 { return p.heard.Load() }

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
		conn := p.keep(c, s)
		p.wg.Go(func() { p.pass(s, c, &upward{p, conn}) })
		p.wg.Go(func() { p.pass(c, s, &downward{p, conn}) })
	}
}

func (p *Proxy) keep(conns ...net.Conn) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	one := new(Conn)
	p.all = append(p.all, one)
	return one
}

type packet struct {
	b    []byte
	due  time.Time
	trip int64 // that it belongs to
}

// direction is one of the two of a connection.
type direction interface {
	way() *way
	trip() int64         // that what is sent now belongs to
	arrived(trip int64)  // at the other end
	carried(n int) int64 // counts bytes, and returns how many all connections carried
}

type upward struct {
	p    *Proxy
	conn *Conn
}

func (d *upward) way() *way          { return &d.p.up }
func (d *upward) trip() int64        { return d.p.heard.Load() + 1 }
func (d *upward) arrived(trip int64) { raise(&d.conn.trips, trip) }

func (d *upward) carried(n int) int64 {
	d.conn.up.Add(int64(n))
	return d.p.up.passed.Add(int64(n))
}

type downward struct {
	p    *Proxy
	conn *Conn
}

func (d *downward) way() *way          { return &d.p.down }
func (d *downward) trip() int64        { return d.conn.trips.Load() }
func (d *downward) arrived(trip int64) { raise(&d.p.heard, trip) }

func (d *downward) carried(n int) int64 {
	d.conn.down.Add(int64(n))
	return d.p.down.passed.Add(int64(n))
}

func raise(a *atomic.Int64, to int64) {
	for now := a.Load(); now < to && !a.CompareAndSwap(now, to); now = a.Load() {
	}
}

// pass copies one direction: a reader that stamps what it reads and a writer
// that holds it back until it is due, so that delay costs no throughput.
func (p *Proxy) pass(to, from net.Conn, d direction) {
	line := make(chan packet, 4096)
	p.wg.Go(func() {
		defer close(line)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				line <- packet{b[:n], time.Now().Add(time.Duration(p.delay.Load())), d.trip()}
			}
			if err != nil {
				return
			}
		}
	})
	var err error
	for k := range line { // to its end, so that the reader never waits
		if err == nil {
			err = p.deliver(to, k, d)
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

func (p *Proxy) deliver(to io.Writer, k packet, d direction) error {
	time.Sleep(time.Until(k.due))
	for p.frozen.Load() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(d.way().wait(len(k.b)))
	total := d.carried(len(k.b))
	if at := p.cutAt.Load(); d.way() == &p.up && at > 0 && total >= at {
		if p.cutAt.CompareAndSwap(at, 0) {
			p.cuts.Add(1)
			p.Cut()
		}
		return io.ErrClosedPipe
	}
	d.arrived(k.trip)
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
