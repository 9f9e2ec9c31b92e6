package volume

import (
	"context"
	"errors"
	"fmt"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/twosum"
)

// Verify reads every volume once and proves each block and the whole file's
// SHA-256, and those of parity files. It goes on past damage and returns all of
// it as a *Damage, each item naming file and block, up to a hundred items. It
// mends nothing. Until damage is found it calls each with the proven bytes of
// the space, in order; they are each's until it returns.
func (r *Reader) Verify(ctx context.Context, show progress.Sink, each func(data []byte) error) error {
	var next int64
	d, err := r.Survey(ctx, show, func(b Block, data []byte) error {
		if b.Number != next || b.Number >= BlocksPer(r.size) {
			return nil
		}
		next++
		return each(data)
	})
	if err == nil && d.Any() {
		return d
	}
	return err
}

// Survey reads every block of every volume and parity file once, calls good
// with each that is as it was signed, in order, and returns what is not. The
// bytes are good's until it returns. Its error is good's, or the context's.
func (r *Reader) Survey(ctx context.Context, show progress.Sink, good func(b Block, data []byte) error) (*Damage, error) {
	d := r.undamaged()
	r.texts(d)
	for i := range r.files {
		s := &r.files[i]
		task := show.Start(s.name, s.size)
		v := surveyor{r: r, s: s, task: task, good: good, damage: d}
		err := v.run(ctx)
		task.Done()
		if err != nil {
			return nil, err
		}
	}
	r.assess(d)
	return d, nil
}

// surveyor proves one file: blocks are read side by side, proven in order with the
// whole, and used in order, each step in a goroutine of its own.
type surveyor struct {
	r      *Reader
	s      *section
	task   progress.Task
	good   func(Block, []byte) error
	whole  twosum.Hash // the proving goroutine's; complete when all was taken, if no block is bad
	bad    bool        // a block of the file is
	damage *Damage
}

// reading is a block that is being read and proven.
type reading struct {
	number int64
	data   []byte
	err    chan error // of the reading
	wrong  error      // of the proof
}

const (
	readAhead   = 8 // blocks being read, or waiting to be proven
	provenAhead = 4 // blocks proven and waiting to be used
)

func (v *surveyor) run(ctx context.Context) error {
	v.damage.addFile(v.s)
	if v.s.file == nil {
		return ctx.Err()
	}
	if err := v.blocks(ctx); err != nil {
		return err
	}
	if !v.bad && manifest.Digest(v.whole.Sum()) != v.r.verified.Sum(v.s.name) {
		v.damage.broken = true
		v.damage.add(fmt.Errorf("%w: %s %s has another SHA-256 than %s lists", ErrDamaged, v.s.what, v.s.name, manifest.SumsName))
	}
	return nil
}

func (v *surveyor) blocks(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue, proven := make(chan *reading, readAhead), make(chan *reading, provenAhead)
	free := make(chan []byte, readAhead+provenAhead+2)
	for range cap(free) {
		free <- make([]byte, manifest.BlockSize)
	}
	go v.read(ctx, queue, free)
	go v.prove(ctx, queue, proven)
	for b := range proven {
		if err := v.take(b); err != nil {
			return err
		}
		free <- b.data[:manifest.BlockSize]
	}
	return ctx.Err()
}

// read has the file's blocks read, and queues them in order.
func (v *surveyor) read(ctx context.Context, queue chan<- *reading, free <-chan []byte) {
	defer close(queue)
	for index := range BlocksPer(v.s.size) {
		select {
		case <-ctx.Done():
			return
		case buffer := <-free:
			number := v.s.first + index
			b := &reading{number: number, data: buffer[:v.r.blockSize(number)], err: make(chan error, 1)}
			go func() { b.err <- v.r.readRaw(number, b.data) }()
			select {
			case queue <- b:
			case <-ctx.Done():
				return
			}
		}
	}
}

// prove proves blocks and, until one is bad, adds them to the whole.
func (v *surveyor) prove(ctx context.Context, queue <-chan *reading, proven chan<- *reading) {
	defer close(proven)
	whole := &v.whole
	for b := range queue {
		if b.wrong = <-b.err; b.wrong == nil {
			b.wrong = v.r.prove(b.number, b.data, whole)
		}
		if b.wrong != nil {
			whole = nil
		}
		select {
		case proven <- b:
		case <-ctx.Done():
			return
		}
	}
}

// take uses the next block.
func (v *surveyor) take(b *reading) error {
	v.task.Add(int64(len(b.data)))
	if err := b.wrong; err != nil {
		v.bad = true
		if v.s.wrong == nil || errors.Is(err, ErrDamaged) {
			v.damage.addBlock(v.r.named(b.number), err)
		} else { // that the file is short was said of it already
			v.damage.Bad = append(v.damage.Bad, b.number)
			v.damage.run = 0
		}
		return nil
	}
	return v.good(v.r.named(b.number), b.data)
}
