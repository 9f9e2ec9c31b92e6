package transfer

import (
	"context"
	"net"
	"sync"
	"time"
)

// bucket is a token bucket: it lets so many bytes a second pass, over all who
// share it, after a burst of an eighth of a second.
type bucket struct {
	perSecond int64
	mu        sync.Mutex
	free      time.Time // when the bytes that were let pass so far have been paid for
}

const burst = time.Second / 8

func newBucket(perSecond int64) *bucket {
	if perSecond <= 0 {
		return nil
	}
	return &bucket{perSecond: perSecond}
}

// wait returns when n more bytes may pass.
func (b *bucket) wait(ctx context.Context, n int) error {
	if b == nil {
		return ctx.Err()
	}
	b.mu.Lock()
	now := time.Now()
	if early := now.Add(-burst); b.free.Before(early) {
		b.free = early
	}
	b.free = b.free.Add(time.Duration(float64(n) / float64(b.perSecond) * float64(time.Second)))
	pause := b.free.Sub(now)
	b.mu.Unlock()
	if pause <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// paced is a connection whose arriving bytes are let pass at a rate: who reads
// slowly is sent to slowly.
type paced struct {
	net.Conn
	ctx  context.Context // ends the waiting
	rate *bucket
}

// pace returns the connection itself if there is no limit.
func pace(ctx context.Context, c net.Conn, rate *bucket) net.Conn {
	if rate == nil {
		return c
	}
	return &paced{c, ctx, rate}
}

// Read takes little enough at a time that the pauses are short: a watchdog
// hears of each piece.
func (p *paced) Read(b []byte) (int, error) {
	piece := max(1, p.rate.perSecond/int64(time.Second/burst))
	n, err := p.Conn.Read(b[:min(int64(len(b)), piece)])
	if werr := p.rate.wait(p.ctx, n); err == nil {
		err = werr
	}
	return n, err
}
