package volume

import (
	"context"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// followBlocks is how many blocks a group has at most that Writer.Follow
// protects: while one is read back the next one is written, and both together
// are in the page cache of any machine.
const followBlocks = 2 << 10

// FollowFrom is how many bytes a space has at most that is protected whole when
// it is written: so much is in the page cache of any machine then.
const FollowFrom = 4 << 30

// follower computes the parity of each group as soon as it is written.
type follower struct {
	protecting
	writer *Writer
	begin  beginning
	done   chan struct{}
	failed error // once done
}

// beginning says when a follower begins.
type beginning struct {
	beyond int64 // blocks: a space that has no more is not followed
	task   func() progress.Task
}

// Follow makes the writer compute parity as Set.Protect does, of each group of
// up to 2 GiB while the next one is written. It is called before anything is
// written; the space will have at most size bytes, and not much less: the last
// group has as much parity as the others. Close returns when all is done.
func (w *Writer) Follow(ctx context.Context, p Protection, size int64, at Place, show progress.Sink) error {
	begin := beginning{0, func() progress.Task { return show.Start("parity", size) }}
	return w.follow(ctx, p.planFollow(max(BlocksPer(size), 1), w.layout), begin, at)
}

// FollowLarge is Follow of a space of unknown size, in groups of 2 GiB. It begins
// when the space has more than FollowFrom bytes; to one that never has, Set.Protect
// has to add parity, as after KeepChecks.
func (w *Writer) FollowLarge(ctx context.Context, p Protection, at Place, show progress.Sink) error {
	begin := beginning{BlocksPer(FollowFrom), func() progress.Task { return show.Start("parity", -1) }}
	return w.follow(ctx, p.planLarge(w.layout), begin, at)
}

func (w *Writer) follow(ctx context.Context, plan *manifest.Parity, begin beginning, at Place) error {
	w.checks = true
	set := &Set{Parity: plan, Sums: manifest.Sums{}}
	f := &follower{writer: w, begin: begin, done: make(chan struct{})}
	if err := f.prepare(set, w.layout, at); err != nil {
		return err
	}
	w.follower = f
	go func() {
		defer close(f.done)
		defer f.close()
		f.failed = f.run(ctx)
		w.fail(f.failed)
	}()
	return nil
}

func (f *follower) run(ctx context.Context) error {
	if err := f.await(f.begin.beyond + 1); err != nil || f.stripes.blocks <= f.begin.beyond {
		return err
	}
	f.task = f.begin.task()
	defer f.task.Done()
	group := f.stripes.Data * f.stripes.Stripes
	for number := int64(0); ; number++ {
		if err := f.await((number + 1) * group); err != nil || f.stripes.blocks <= number*group {
			return err
		}
		if err := f.group(ctx, stripe(number*f.stripes.Stripes)); err != nil {
			return err
		}
	}
}

// await waits until so many blocks can be read back, or all that there will be.
func (f *follower) await(blocks int64) error {
	w := f.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.ended && w.failed == nil && (w.written < blocks*manifest.BlockSize || int64(len(w.set.checks)) < blocks) {
		w.wrote.Wait()
	}
	f.size = min(w.written, blocks*manifest.BlockSize)
	f.stripes.blocks, f.checks = BlocksPer(f.size), w.set.checks
	return w.failed
}

// finish waits for the last group, when all stages are over, and adds the parity
// to the set, if the space was followed.
func (f *follower) finish(set *Set) error {
	f.writer.mu.Lock()
	f.writer.ended = true
	f.writer.mu.Unlock()
	f.writer.wrote.Broadcast()
	<-f.done
	if f.task != nil {
		set.addParity(f.set)
	}
	return f.failed
}

// addParity adds parity files that were written beside the volumes.
func (set *Set) addParity(parity *Set) {
	set.Parity = parity.Parity
	set.Blocks = append(set.Blocks, parity.Blocks...)
	for name, sum := range parity.Sums {
		set.Sums[name] = sum
	}
}
