package volume_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/volume"
)

// TestWriterSizes writes spaces around the edges of blocks and volumes, in
// pieces of many sizes, and compares with cutting the bytes by hand.
func TestWriterSizes(t *testing.T) {
	for _, size := range []int64{1, block - 1, block, block + 1, 2*block - 1, 2 * block, 2*block + 1, 3 * block, 4 * block, 4*block + 1, 7 * block} {
		for _, volumeSize := range []int64{block, 2 * block, 3 * block, volume.DefaultSize} {
			for _, step := range []int{0, 65537, block, block + 1} {
				t.Run(fmt.Sprintf("%d in %d by %d", size, volumeSize, step), func(t *testing.T) {
					checkWriter(t, size, volumeSize, step)
				})
			}
		}
	}
}

func checkWriter(t *testing.T, size, volumeSize int64, step int) {
	space, files := pattern(size), newFiles()
	set := write(t, files, volumeSize, space, step)
	var blocks []byte
	i := 0
	for part := range slices.Chunk(space, int(volumeSize)) {
		name := fmt.Sprintf("shop-1.0.%03d.vol", i)
		if i >= len(set.Volumes) || set.Volumes[i] != (manifest.Volume{Name: name, Size: int64(len(part))}) {
			t.Fatalf("volumes %v, want %s of %d bytes as number %d", set.Volumes, name, len(part), i)
		}
		equal(t, name, files.MapFS[name].Data, part)
		if set.Sums[name] != manifest.DigestOf(part) {
			t.Errorf("%s has another sum", name)
		}
		for b := range slices.Chunk(part, block) {
			d := manifest.DigestOf(b)
			blocks = append(blocks, d[:]...)
		}
		i++
	}
	equal(t, "blocks.bin", set.Blocks, blocks)
	if len(files.MapFS) != i || len(set.Volumes) != i || len(set.Sums) != i {
		t.Errorf("%d files, %d volumes, %d sums, want %d", len(files.MapFS), len(set.Volumes), len(set.Sums), i)
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, size := range []int64{0, -1, -block, 1, block - 1, block + 1} {
		if _, err := volume.NewWriter(volume.Layout{Size: size}, newFiles().Create); err == nil {
			t.Errorf("volumes of %d bytes are made", size)
		}
	}
	w, err := volume.NewWriter(volume.Layout{Size: block}, newFiles().Create)
	must(t, err)
	if set, err := w.Close(); err == nil {
		t.Errorf("an empty space becomes %v", set)
	}
}

// sink fails where it is told to.
type sink struct {
	bytes   int64 // that are written without an error
	closing error
	opened  int
	closed  int
}

var errSink = errors.New("no space left on the stick")

func (s *sink) Write(p []byte) (int, error) {
	if s.bytes -= int64(len(p)); s.bytes < 0 {
		return 0, errSink
	}
	return len(p), nil
}

func (s *sink) Close() error {
	s.closed++
	return s.closing
}

// TestWriterErrors holds that no error of the sink is lost, that Write gives
// it before all is written, and that no file stays open.
func TestWriterErrors(t *testing.T) {
	const enough = 100 * block
	for name, c := range map[string]struct {
		sink   sink
		create int // the call that fails
	}{
		"first create":  {sink: sink{bytes: enough}, create: 1},
		"second create": {sink: sink{bytes: enough}, create: 2},
		"first write":   {sink: sink{bytes: 0}},
		"later write":   {sink: sink{bytes: 5 * block}},
		"close":         {sink: sink{bytes: enough, closing: errSink}},
	} {
		s := c.sink
		w, err := volume.NewWriter(volume.Layout{Stem: "shop", Size: 3 * block}, func(name string) (io.WriteCloser, error) {
			if s.opened++; s.opened == c.create {
				return nil, errSink
			}
			return &s, nil
		})
		must(t, err)
		var writeErr error
		written := 0
		for ; writeErr == nil && written < 60; written++ {
			_, writeErr = w.Write(make([]byte, block))
		}
		if !errors.Is(writeErr, errSink) || !strings.Contains(writeErr.Error(), "shop.00") {
			t.Errorf("%s: after %d blocks Write says %v", name, written, writeErr)
		}
		if set, err := w.Close(); !errors.Is(err, errSink) || set != nil {
			t.Errorf("%s: Close gives %v, %v", name, set, err)
		}
		if c.create == 0 && s.opened != s.closed {
			t.Errorf("%s: %d opened, %d closed", name, s.opened, s.closed)
		}
	}
}

// TestLastErrorsSurface holds that an error after the last Write is Close's.
func TestLastErrorsSurface(t *testing.T) {
	for name, s := range map[string]*sink{"write": {bytes: 10}, "close": {bytes: 1 << 20, closing: errSink}} {
		w, err := volume.NewWriter(volume.Layout{Size: block}, func(string) (io.WriteCloser, error) { return s, nil })
		must(t, err)
		if _, err := w.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if set, err := w.Close(); !errors.Is(err, errSink) || set != nil {
			t.Errorf("%s: Close gives %v, %v", name, set, err)
		}
	}
}

// TestWriterMemory holds that a slow sink does not make the Writer keep more
// than 16 MiB.
func TestWriterMemory(t *testing.T) {
	gate := make(chan struct{})
	w, err := volume.NewWriter(volume.Layout{Size: volume.DefaultSize}, func(string) (io.WriteCloser, error) { return slow{gate}, nil })
	must(t, err)
	written := make(chan int, 1)
	count := 0
	go func() {
		p := make([]byte, block)
		for range 64 {
			w.Write(p)
			count++
			select {
			case <-written:
			default:
			}
			written <- count
		}
		close(written)
	}()
	for range 20 {
		runtime.Gosched()
	}
	most := 0
	for n := range written {
		most = max(most, n)
		if n > 17 {
			t.Fatalf("%d blocks were taken while the sink took none", n)
		}
		if n == 16 {
			close(gate)
			break
		}
	}
	for range written {
	}
	if _, err := w.Close(); err != nil || most != 16 {
		t.Errorf("%d blocks under way, %v", most, err)
	}
}

type slow struct{ gate chan struct{} }

func (s slow) Write(p []byte) (int, error) {
	<-s.gate
	return len(p), nil
}
func (s slow) Close() error { return nil }

func TestWriterKeepsNothingOfTheCaller(t *testing.T) {
	files := newFiles()
	w, err := volume.NewWriter(volume.Layout{Stem: "s", Size: block}, files.Create)
	must(t, err)
	p := bytes.Repeat([]byte{1}, 1000)
	for range 3000 {
		_, err := w.Write(p)
		must(t, err)
		clear(p)
		copy(p, bytes.Repeat([]byte{1}, 1000))
	}
	set, err := w.Close()
	must(t, err)
	for _, v := range set.Volumes {
		if n := bytes.Count(files.MapFS[v.Name].Data, []byte{1}); int64(n) != v.Size {
			t.Errorf("%s: %d of %d bytes", v.Name, n, v.Size)
		}
	}
}
