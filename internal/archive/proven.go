package archive

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"airlock/internal/manifest"
	"airlock/internal/twosum"
)

// proven hands out bytes that are made in another goroutine, a piece ahead,
// once they are hashed, and the last of them only if all have the digest.
type proven struct {
	digest manifest.Digest
	left   int64 // bytes not yet hashed
	sum    digester
	data   []byte // hashed, not yet handed out
	pieces chan []byte
	failed chan error // how making them ended
	stop   chan struct{}
	err    error // sticky
	closed bool
}

var errClosed = errors.New("reading from a closed blob")

// digester takes the digest of the pieces that a proven reader is given.
type digester interface {
	take(piece []byte)
	digest() manifest.Digest // of those taken so far
}

// ownPass hashes each piece when it is taken.
type ownPass struct{ hash.Hash }

func (s ownPass) take(piece []byte)       { s.Write(piece) }
func (s ownPass) digest() manifest.Digest { return manifest.Digest(s.Sum(nil)) }

// samePass is of pieces that were hashed before they were emitted, in the pass
// that proved their blocks: once the last of them has come, sum has them all.
type samePass struct{ sum *twosum.Hash }

func (samePass) take([]byte)               {}
func (s samePass) digest() manifest.Digest { return s.sum.Sum() }

// inUse is how many pieces are in use at one time: the one that is handed out,
// the one that waits, and the one that is made.
const inUse = 3

// newProven returns a reader of size bytes with a digest, which produce emits
// and sum takes. A piece must not change before inUse-1 further ones were emitted.
func newProven(digest manifest.Digest, size int64, sum digester, produce func(emit func([]byte) error) error) *proven {
	p := &proven{
		digest: digest, left: size, sum: sum,
		pieces: make(chan []byte, 1), failed: make(chan error, 1), stop: make(chan struct{}),
	}
	go func() {
		defer close(p.pieces)
		p.failed <- produce(func(data []byte) error {
			select {
			case p.pieces <- data:
				return nil
			case <-p.stop:
				return errClosed
			}
		})
	}()
	return p
}

func (p *proven) Read(b []byte) (int, error) {
	for len(p.data) == 0 && p.err == nil {
		p.next()
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	if n == 0 && len(b) > 0 {
		return 0, p.err
	}
	return n, nil
}

// next takes the next piece; with the last one it judges all.
func (p *proven) next() {
	data, ok := <-p.pieces
	if !ok {
		p.end()
		return
	}
	if int64(len(data)) > p.left {
		p.err = fmt.Errorf("%s: %w in the bundle: more bytes than its size", p.digest, ErrMismatch)
		return
	}
	p.sum.take(data)
	p.left -= int64(len(data))
	if p.left == 0 && !p.matches() {
		return
	}
	p.data = data
}

// end judges a stream that has ended.
func (p *proven) end() {
	switch err := <-p.failed; {
	case err != nil:
		p.err = fmt.Errorf("%s: %w", p.digest, err)
	case p.left > 0:
		p.err = fmt.Errorf("%s: %w in the bundle: %d bytes too few", p.digest, ErrMismatch, p.left)
	case p.matches():
		p.err = io.EOF
	}
}

func (p *proven) matches() bool {
	if p.sum.digest() == p.digest {
		return true
	}
	p.err = fmt.Errorf("%s: %w in the bundle", p.digest, ErrMismatch)
	return false
}

func (p *proven) Close() error {
	if !p.closed {
		p.closed = true
		close(p.stop)
		if p.err == nil {
			p.err = errClosed
		}
	}
	return nil
}
