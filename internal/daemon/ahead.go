package daemon

import (
	"io"
	"sync"
)

// Bytes that are read ahead: aheadChunks of aheadSize.
const (
	aheadSize   = 256 << 10
	aheadChunks = 4
)

// ahead reads in a goroutine of its own, so that inflating and sending go on
// at the same time.
type ahead struct {
	full   chan chunk
	free   chan []byte
	stop   chan struct{}
	once   sync.Once
	now    chunk // being handed out
	buffer []byte
}

type chunk struct {
	data []byte
	err  error // behind data
}

// aheadOf reads r until its end, an error or Close. Then it calls done, from
// the goroutine that reads.
func aheadOf(r io.Reader, done func()) *ahead {
	a := &ahead{full: make(chan chunk, aheadChunks), free: make(chan []byte, aheadChunks), stop: make(chan struct{})}
	for range aheadChunks {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(r, done)
	return a
}

func (a *ahead) run(r io.Reader, done func()) {
	defer done()
	for {
		var buffer []byte
		select {
		case buffer = <-a.free:
		case <-a.stop:
			return
		}
		n, err := 0, error(nil)
		for n < len(buffer) && err == nil {
			var more int
			more, err = r.Read(buffer[n:])
			n += more
		}
		select {
		case a.full <- chunk{buffer[:n], err}:
		case <-a.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.now.data) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.buffer != nil {
			a.free <- a.buffer[:aheadSize]
		}
		a.now = <-a.full
		a.buffer = a.now.data
	}
	n := copy(p, a.now.data)
	a.now.data = a.now.data[n:]
	return n, nil
}

// Close ends the reading. It waits for nothing.
func (a *ahead) Close() error {
	a.once.Do(func() { close(a.stop) })
	return nil
}
