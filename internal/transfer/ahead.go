package transfer

import (
	"context"
	"io"
	"sync"
)

const (
	// aheadBlock is what is read at once: the block that sources prove as a whole.
	aheadBlock = 1 << 20
	// aheadBlocks are read side by side: they fill four connections to a server
	// that is a round trip of 20 ms away, each with the 2 MiB that OpenSSH lets
	// travel, and keep two processors busy with hashes.
	aheadBlocks = 8
)

// inOrder gives the bytes [from, to) of src to use, piece by piece in their order,
// while the next ones are read. A piece is use's until it returns. The first
// error ends it, a read's or use's. No read goes on when it returns.
func inOrder(ctx context.Context, src io.ReaderAt, from, to int64, use func(b []byte) error) error {
	type block struct {
		b    []byte
		err  error
		read chan struct{}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reads sync.WaitGroup
	defer reads.Wait()
	defer cancel()
	queue, free := make(chan *block, aheadBlocks), make(chan []byte, aheadBlocks)
	for range aheadBlocks {
		free <- nil
	}
	reads.Go(func() {
		defer close(queue)
		for off := from; off < to; {
			next := min(off-off%aheadBlock+aheadBlock, to)
			select {
			case <-ctx.Done():
				return
			case b := <-free:
				if int64(cap(b)) < next-off {
					b = make([]byte, next-off)
				}
				one, at := &block{b: b[:next-off], read: make(chan struct{})}, off
				reads.Go(func() {
					defer close(one.read)
					one.err = readWhole(src, one.b, at)
				})
				queue <- one // as long as free
			}
			off = next
		}
	})
	for one := range queue {
		<-one.read
		if one.err != nil {
			return one.err
		}
		if err := use(one.b); err != nil {
			return err
		}
		free <- one.b
	}
	return ctx.Err()
}

// readWhole fills b; a short read is io.ErrUnexpectedEOF.
func readWhole(src io.ReaderAt, b []byte, off int64) error {
	n, err := src.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
