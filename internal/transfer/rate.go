package transfer

import (
	"context"
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
