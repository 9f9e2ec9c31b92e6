package gzipexact

import (
	"bytes"
	"io"
)

// A parallelBlocks emits what a pgzip, or a pigz of several threads, does, with
// several blocks at once.
type parallelBlocks struct {
	spec    encoderSpec
	dst     io.Writer
	idle    chan dictEncoder
	buf     []byte // the block so far
	tail    []byte // of the block before
	pending []*blockTask
}

type blockTask struct {
	content, dict []byte
	out           bytes.Buffer
	err           error
	done          chan struct{}
}

func newParallelBlocks(dst io.Writer, s encoderSpec, workers int) *parallelBlocks {
	z := &parallelBlocks{spec: s, dst: dst, idle: make(chan dictEncoder, workers)}
	for range workers {
		z.idle <- nil // made when it is first needed
	}
	return z
}

func (z *parallelBlocks) Reset(dst io.Writer) {
	for _, b := range z.pending {
		<-b.done
	}
	z.dst, z.buf, z.tail, z.pending = dst, nil, nil, nil
}

func (z *parallelBlocks) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(z.buf) == z.spec.block {
			if err := z.dispatch(false); err != nil {
				return 0, err
			}
		}
		if z.buf == nil {
			z.buf = make([]byte, 0, z.spec.block)
		}
		n := min(len(p), z.spec.block-len(z.buf))
		z.buf, p = append(z.buf, p[:n]...), p[n:]
	}
	return total, nil
}

// Close ends the stream, as pgzip's or pigz's. Only pgzip ends it with an empty
// block where the content fills the one before.
func (z *parallelBlocks) Close(flushed bool) error {
	if flushed != z.spec.alwaysFlushed() {
		return errEnding
	}
	var err error
	if flushed && len(z.buf) == z.spec.block {
		err = z.dispatch(false)
	}
	if err == nil {
		err = z.dispatch(true)
	}
	for err == nil && len(z.pending) > 0 {
		err = z.collect()
	}
	return err
}

func (z *parallelBlocks) dispatch(last bool) error {
	for len(z.pending) > cap(z.idle) {
		if err := z.collect(); err != nil {
			return err
		}
	}
	b := &blockTask{content: z.buf, dict: z.tail, done: make(chan struct{})}
	z.buf, z.tail = nil, b.content[max(0, len(b.content)-z.spec.tail()):]
	z.pending = append(z.pending, b)
	go func() {
		enc := <-z.idle
		enc, b.err = z.encode(enc, b, last)
		z.idle <- enc
		close(b.done)
	}()
	return nil
}

func (z *parallelBlocks) encode(enc dictEncoder, b *blockTask, last bool) (dictEncoder, error) {
	if enc == nil {
		var err error
		if enc, err = newBlockEncoder(z.spec, &b.out); err != nil {
			return nil, err
		}
	}
	enc.ResetDict(&b.out, b.dict)
	if _, err := enc.Write(b.content); err != nil {
		return enc, err
	}
	if last {
		return enc, enc.Close(z.spec.alwaysFlushed())
	}
	return enc, enc.Flush()
}

// collect writes the oldest block.
func (z *parallelBlocks) collect() error {
	b := z.pending[0]
	z.pending = z.pending[1:]
	<-b.done
	if b.err != nil {
		return b.err
	}
	_, err := z.dst.Write(b.out.Bytes())
	return err
}
