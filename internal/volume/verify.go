package volume

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// maxDamage is how many damaged blocks Verify lists before it stops.
const maxDamage = 100

// Verify reads every volume once and proves each block and the whole file's
// SHA-256. It goes on past damage and returns all of it, each item wrapping
// ErrDamaged and naming volume and block, up to a hundred items.
func (r *Reader) Verify(ctx context.Context, show progress.Sink) error {
	var damage []error
	for i := range r.volumes {
		s := &r.volumes[i]
		task := show.Start(s.name, s.size)
		found, err := r.verifyVolume(ctx, s, task)
		task.Done()
		if err != nil {
			return err
		}
		if damage = append(damage, found...); len(damage) >= maxDamage {
			return errors.Join(append(damage, fmt.Errorf("%w: and perhaps more", ErrDamaged))...)
		}
	}
	return errors.Join(damage...)
}

// verifyVolume hashes one volume whole while other goroutines hash its blocks.
func (r *Reader) verifyVolume(ctx context.Context, s *section, task progress.Task) ([]error, error) {
	const workers = 4
	type work struct {
		index int64
		data  []byte
		err   error
		ready chan struct{}
	}
	queue := make(chan *work, workers)
	var group errgroup.Group
	group.SetLimit(workers + 1)
	free := make(chan []byte, 2*workers)
	for range cap(free) {
		free <- make([]byte, manifest.BlockSize)
	}
	var damage []error
	group.Go(func() error {
		whole := sha256.New()
		for w := range queue {
			<-w.ready
			if w.err != nil {
				damage = append(damage, w.err)
			}
			whole.Write(w.data)
			task.Add(int64(len(w.data)))
			free <- w.data[:cap(w.data)]
		}
		if manifest.Digest(whole.Sum(nil)) != r.verified.Sum(s.name) && len(damage) == 0 {
			damage = append(damage, fmt.Errorf("%w: volume %s has another SHA-256 than %s lists", ErrDamaged, s.name, manifest.SumsName))
		}
		return nil
	})
	for index := range BlocksPer(s.size) {
		if ctx.Err() != nil {
			break
		}
		size := min(manifest.BlockSize, s.size-index*manifest.BlockSize)
		w := &work{index: index, data: (<-free)[:size], ready: make(chan struct{})}
		group.Go(func() error {
			w.err = r.readBlock(s, w.index, w.data)
			close(w.ready)
			return nil
		})
		queue <- w
	}
	close(queue)
	group.Wait()
	return damage, ctx.Err()
}
