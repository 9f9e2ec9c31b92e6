package create_test

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// estimate returns what a release is said to come to in each way of packing.
func estimate(t *testing.T, r create.Release, link int64, bases ...*archive.Reader) (*create.Estimate, map[create.Pack]create.Mode) {
	t.Helper()
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	e, err := contents.Estimate(t.Context(), create.Options{Bases: archive.NewBases(bases...), Link: link, Progress: progress.Discard})
	must(t, err)
	modes := map[create.Pack]create.Mode{}
	for _, m := range e.Modes {
		modes[m.Pack] = m
	}
	if len(modes) != 3 {
		t.Fatalf("modes %+v", e.Modes)
	}
	return e, modes
}

// near holds that an estimate is within a fifth of what it came to.
func near(t *testing.T, what string, estimated, real int64) {
	t.Helper()
	if estimated < real*8/10 || estimated > real*12/10 {
		t.Errorf("%s: estimated %d bytes, it has %d", what, estimated, real)
	}
}

// zipped is an image with one gzip layer of a generation.
func (g *generation) zipped(t *testing.T) *bundletest.Source {
	s := newSource()
	s.image("linux/amd64", zip(t, 6, g.content), noise("plain", 1<<20))
	return s.Source
}

func TestEstimateComesNear(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 20)
	first := g.zipped(t)
	e, modes := estimate(t, bundletest.Release(first), 1e6)
	var bytes int64
	for _, data := range first.All() {
		bytes += int64(len(data))
	}
	if e.Bytes != bytes || e.Blobs != 4 || e.Images != 1 || e.Link != 1e6 {
		t.Errorf("estimate %+v, want %d bytes", e, bytes)
	}
	dir := packSmall(t, kit, 1, first)
	near(t, "fast", modes[create.Fast].Bytes, bytes)
	near(t, "small", modes[create.Small].Bytes, size(t, dir))
	if m := modes[create.Fast]; m.Journey.Seconds() != float64(m.Bytes)/1e6 || m.Total() != m.Create+m.Journey+m.Load || m.Create == 0 || m.Load == 0 {
		t.Errorf("times %+v", m)
	}
	g.next()
	second := g.zipped(t)
	base, err := archive.Open(os.DirFS(dir), kit.Allowed, bundletest.Created)
	must(t, err)
	defer base.Close()
	_, modes = estimate(t, bundletest.Release(second), 1e6, base)
	near(t, "small on a base", modes[create.Small].Bytes, size(t, packSmall(t, kit, 2, second, dir)))
	near(t, "auto on a base", modes[create.Auto].Bytes, modes[create.Small].Bytes)
}

// TestEstimateOfLinks holds that a slow journey asks for small packing, and a
// fast one for none.
func TestEstimateOfLinks(t *testing.T) {
	r := bundletest.Release(newGeneration(5 << 20).zipped(t))
	slow, modes := estimate(t, r, 1e4)
	if slow.Soonest().Pack == create.Fast || modes[create.Auto].Bytes != modes[create.Small].Bytes || modes[create.Auto].Bytes >= modes[create.Fast].Bytes {
		t.Errorf("at 10 kB/s: %+v", slow)
	}
	fast, modes := estimate(t, r, 1e12)
	if fast.Soonest().Pack != create.Fast || modes[create.Auto].Bytes != modes[create.Fast].Bytes {
		t.Errorf("at 1 TB/s: %+v", fast)
	}
}

// TestEstimateMeets holds that creation and journey count side by side where what
// is packed is on its way while more is packed, but for the learning of a base.
func TestEstimateMeets(t *testing.T) {
	kit := bundletest.NewKit(t)
	g := newGeneration(5 << 20)
	dir := packSmall(t, kit, 1, g.zipped(t))
	base, err := archive.Open(os.DirFS(dir), kit.Allowed, bundletest.Created)
	must(t, err)
	defer base.Close()
	g.next()
	contents, err := create.Collect(t.Context(), bundletest.Release(g.zipped(t)))
	must(t, err)
	for _, test := range []struct {
		link  int64
		meets bool
		bases []*archive.Reader
	}{
		{1e4, false, nil}, {1e4, true, nil}, {1e9, true, nil}, {20e6, true, nil},
		{1e4, false, []*archive.Reader{base}}, {1e4, true, []*archive.Reader{base}}, {1e9, true, []*archive.Reader{base}},
	} {
		bases := archive.NewBases(test.bases...)
		e, err := contents.Estimate(t.Context(), create.Options{Bases: bases, Link: test.link, Meets: test.meets, Progress: progress.Discard})
		must(t, err)
		for _, m := range e.Modes {
			var learn time.Duration
			if m.Pack == create.Small {
				learn = time.Duration(float64(bases.Size()) / 150e6 * float64(time.Second))
			}
			want := m.Create + m.Journey + m.Load
			if test.meets {
				want = max(m.Create, learn+m.Journey) + m.Load
			}
			if off := m.Total() - want; (off > time.Microsecond || off < -time.Microsecond) && (m.Pack != create.Auto || test.bases == nil) {
				t.Errorf("link %d, meets %v: %+v: in all %v, want %v", test.link, test.meets, m, m.Total(), want)
			}
		}
		if e.Meets != test.meets {
			t.Errorf("link %d: meets %v, want %v", test.link, e.Meets, test.meets)
		}
	}
}

// TestEstimateFetchesBeginnings holds that no blob is fetched beyond its
// sample, nor at all if a base has it; and that a place without ranges will do.
func TestEstimateFetchesBeginnings(t *testing.T) {
	kit := bundletest.NewKit(t)
	s := newSource()
	s.image("linux/amd64", noise("large", 20<<20), []byte("\x1f\x8bnot gzip at all"), zip(t, 6, nil), nil)
	ranges := true
	var read int64
	s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		if !ranges && (from != 0 || to != d.Size) {
			return nil, oci.ErrNoRanges
		}
		r, err := s.Source.Open(ctx, d, from, to)
		return counting{r, &read}, err
	}
	r := release(s)
	e, modes := estimate(t, r, 1e6)
	if read > 9<<20 || read < 8<<20 || modes[create.Fast].Bytes < 20<<20 {
		t.Errorf("%d bytes were read for %+v", read, e)
	}
	read, ranges = 0, false
	if again, _ := estimate(t, r, 1e6); read > 9<<20 || again.Modes[2] != e.Modes[2] {
		t.Errorf("without ranges: %d bytes were read for %+v", read, again)
	}
	ranges = true
	base, err := archive.Open(kit.Bundle(t, release(s), 0), kit.Allowed, bundletest.Created)
	must(t, err)
	defer base.Close()
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	read = 0
	all, err := contents.Estimate(t.Context(), create.Options{Bases: archive.NewBases(base), Link: 1e6, Progress: progress.Discard})
	must(t, err)
	if read != 0 || all.Modes[2].Bytes > 1000 {
		t.Errorf("on a base that has all: %d bytes were read for %+v", read, all)
	}
}

// counting counts what is read of a blob.
type counting struct {
	io.ReadCloser
	n *int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	atomic.AddInt64(c.n, int64(n))
	return n, err
}

func TestEstimateNamesTheImage(t *testing.T) {
	s := newSource()
	s.image("linux/amd64", noise("layer", 5000))
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	s.open = func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) { return nil, errSource }
	_, err = contents.Estimate(t.Context(), create.Options{Bases: archive.NewBases(), Link: 1, Progress: progress.Discard})
	if !errors.Is(err, errSource) || err.Error() != "registry.example/app/0:1.0: connection reset" {
		t.Error(err)
	}
}
