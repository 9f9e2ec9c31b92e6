package volume

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// maxDamage is how many damaged blocks Verify lists before it stops.
const maxDamage = 100

// Verify reads every volume once and proves each block and the whole file's
// SHA-256. It goes on past damage and returns all of it, each item wrapping
// ErrDamaged and naming volume and block, up to a hundred items. Until damage
// is found it calls each with the proven bytes of the space, in order; they
// are each's until it returns.
func (r *Reader) Verify(ctx context.Context, show progress.Sink, each func(data []byte) error) error {
	var damage []error
	for i := range r.volumes {
		s := &r.volumes[i]
		task := show.Start(s.name, s.size)
		v := verifier{r: r, s: s, task: task, each: each, damage: damage, whole: sha256.New()}
		err := v.run(ctx)
		task.Done()
		if err != nil {
			return err
		}
		if damage = v.damage; len(damage) >= maxDamage {
			return errors.Join(append(damage, fmt.Errorf("%w: and perhaps more", ErrDamaged))...)
		}
	}
	return errors.Join(damage...)
}

// verifier proves one volume: blocks side by side, the whole in order.
type verifier struct {
	r      *Reader
	s      *section
	task   progress.Task
	each   func([]byte) error
	whole  hash.Hash
	damage []error
}

// reading is a block that is being read and proven.
type reading struct {
	data []byte
	err  chan error
}

const readAhead = 8

func (v *verifier) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *reading, readAhead)
	free := make(chan []byte, readAhead+2)
	for range cap(free) {
		free <- make([]byte, manifest.BlockSize)
	}
	go v.read(ctx, queue, free)
	for b := range queue {
		if err := v.take(b); err != nil {
			return err
		}
		free <- b.data[:manifest.BlockSize]
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(v.damage) == 0 && manifest.Digest(v.whole.Sum(nil)) != v.r.verified.Sum(v.s.name) {
		v.damage = append(v.damage, fmt.Errorf("%w: volume %s has another SHA-256 than %s lists", ErrDamaged, v.s.name, manifest.SumsName))
	}
	return nil
}

// read has the volume's blocks read and proven, and queues them in order.
func (v *verifier) read(ctx context.Context, queue chan<- *reading, free <-chan []byte) {
	defer close(queue)
	for index := range BlocksPer(v.s.size) {
		select {
		case <-ctx.Done():
			return
		case buffer := <-free:
			size := min(manifest.BlockSize, v.s.size-index*manifest.BlockSize)
			b := &reading{data: buffer[:size], err: make(chan error, 1)}
			go func() { b.err <- v.r.readBlock(v.s, index, b.data) }()
			select {
			case queue <- b:
			case <-ctx.Done():
				return
			}
		}
	}
}

// take uses the next block.
func (v *verifier) take(b *reading) error {
	err := <-b.err
	v.task.Add(int64(len(b.data)))
	if err != nil {
		v.damage = append(v.damage, err)
	}
	if len(v.damage) > 0 {
		return nil
	}
	v.whole.Write(b.data)
	return v.each(b.data)
}
