package create_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

const segment = 8 << 20

// large is a source with blobs around the edges of segments.
func large() *source {
	s := newSource()
	s.image("linux/amd64", noise("a", 100), noise("b", segment-1), noise("c", segment), noise("d", segment+1), noise("e", 2*segment+7), []byte{}, noise("f", 1))
	return s
}

func TestSameBytesWhateverTheTiming(t *testing.T) {
	kit, want := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(large(), shared()), want)
	must(t, err)
	check(t, kit, want.Files)
	for seed := range uint64(4) {
		got := newSink()
		_, err := pack(t.Context(), t, kit, release(slow(large(), seed), slow(shared(), seed)), got)
		must(t, err)
		sameFiles(t, got.Files, want.Files)
	}
}

// shared is a second image that has some of large's layers.
func shared() *source {
	s := newSource()
	s.image("linux/amd64", noise("c", segment), noise("g", 1<<20), noise("a", 100))
	return s
}

// TestManySizes packs blobs of many sizes in turn, so that memory of one size
// is free when another is wanted.
func TestManySizes(t *testing.T) {
	s := newSource()
	var layers [][]byte
	for i := range 12 {
		for _, n := range []int{600_000, 1 << 20, 1<<20 + 1, 3 << 20} {
			layers = append(layers, noise(fmt.Sprint(i, ".", n), n+i))
		}
	}
	layers = append(layers, noise("x", 3*segment), noise("y", 2*segment+1))
	s.image("linux/amd64", layers...)
	kit, to := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(s), to)
	must(t, err)
	check(t, kit, to.Files)
}

// slow makes a source answer after times that vary, in pieces that vary.
func slow(s *source, seed uint64) *source {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		mu.Lock()
		wait, most := time.Duration(random.IntN(20))*time.Millisecond, 1+random.IntN(1<<20)
		mu.Unlock()
		time.Sleep(wait)
		r, err := s.Source.Open(ctx, d, from, to)
		return pieces{r, most}, err
	}
	return s
}

type pieces struct {
	io.ReadCloser
	most int
}

func (p pieces) Read(b []byte) (int, error) { return p.ReadCloser.Read(b[:min(len(b), p.most)]) }

// TestSourcesWithoutRanges packs from a source that gives whole blobs only,
// and from one that says so now and then.
func TestSourcesWithoutRanges(t *testing.T) {
	kit, want := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(large()), want)
	must(t, err)
	for name, has := range map[string]func(call int64) bool{
		"never":        func(int64) bool { return false },
		"at first":     func(call int64) bool { return call < 5 },
		"now and then": func(call int64) bool { return call%2 == 0 },
	} {
		s := large()
		var whole atomic.Int64
		s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
			if (from != 0 || to != d.Size) && !has(s.asks.Load()) {
				return nil, fmt.Errorf("the server gave all of it: %w", oci.ErrNoRanges)
			}
			if from == 0 && to == d.Size {
				whole.Add(1)
			}
			return s.Source.Open(ctx, d, from, to)
		}
		synctest.Test(t, func(t *testing.T) {
			got := newSink()
			_, err := pack(t.Context(), t, kit, release(slowly(s)), got)
			must(t, err)
			sameFiles(t, got.Files, want.Files)
		})
		if name == "never" && whole.Load() > 20 {
			t.Errorf("%d requests for whole blobs", whole.Load())
		}
	}
}

// slowly makes each request to a source, and each segment of one, take a
// second of a test's fake time.
func slowly(s *source) *source {
	open := s.open
	if open == nil {
		open = s.Source.Open
	}
	s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		time.Sleep(time.Second)
		r, err := open(ctx, d, from, to)
		if err != nil {
			return nil, err
		}
		return &slowReader{r, 0}, nil
	}
	return s
}

type slowReader struct {
	io.ReadCloser
	read int
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if (r.read+n)/segment > r.read/segment {
		time.Sleep(time.Second)
	}
	r.read += n
	return n, err
}

// TestSlowSourcesAreAskedForSegments holds that one request is for a whole
// blob, unless the source takes long for it: then it is asked for several
// segments at once.
func TestSlowSourcesAreAskedForSegments(t *testing.T) {
	kit := bundletest.NewKit(t)
	for _, slow := range []bool{false, true} {
		s := newSource()
		blob := noise("one", 22*segment)
		s.image("linux/amd64", blob)
		var requests, now, most atomic.Int64
		s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
			if d.Size == int64(len(blob)) {
				requests.Add(1)
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				if slow {
					time.Sleep(time.Second)
				}
			}
			return s.Source.Open(ctx, d, from, to)
		}
		synctest.Test(t, func(t *testing.T) {
			got := newSink()
			if slow {
				s = slowly(s)
			}
			_, err := pack(t.Context(), t, kit, release(s), got)
			must(t, err)
			check(t, kit, got.Files)
		})
		if slow && most.Load() < 3 || !slow && requests.Load() != 1 {
			t.Errorf("slow %t: %d requests, at most %d at once", slow, requests.Load(), most.Load())
		}
	}
}

// TestSequentialSourcesAreAskedOnce holds that a large blob of a source that
// has no ranges is one request.
func TestSequentialSourcesAreAskedOnce(t *testing.T) {
	s := newSource()
	var layers [][]byte
	for i := range 6 {
		layers = append(layers, noise(fmt.Sprint(i), 3*segment+i))
	}
	s.image("linux/amd64", layers...)
	var mu sync.Mutex
	asked := map[manifest.Digest]int{}
	s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		if from != 0 || to != d.Size {
			return nil, oci.ErrNoRanges
		}
		mu.Lock()
		asked[d.Digest]++
		mu.Unlock()
		return s.Source.Open(ctx, d, from, to)
	}
	kit, got := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(s), got)
	must(t, err)
	check(t, kit, got.Files)
	once := 0
	for _, n := range asked {
		if n == 1 {
			once++
		}
	}
	if once < 3 {
		t.Errorf("blobs were asked for %v times", asked)
	}
}

// TestFailingSource has each segment of a blob fail in each way.
func TestFailingSource(t *testing.T) {
	kit := bundletest.NewKit(t)
	before := runtime.NumGoroutine()
	for _, ranges := range []bool{true, false} {
		for at := int64(0); at <= 2*segment; at += segment {
			for _, late := range []bool{false, true} {
				s := newSource()
				s.image("linux/amd64", noise("e", 2*segment+7), noise("f", 2*segment+8))
				s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
					if !ranges && (from != 0 || to != d.Size) {
						return nil, oci.ErrNoRanges
					}
					r, err := s.Source.Open(ctx, d, from, to)
					if d.Size != 2*segment+7 || from > at || to <= at {
						return r, err
					}
					if !late {
						return nil, errSource
					}
					return breaking{r, at - from + 3}.reader(), err
				}
				to := newSink()
				_, err := pack(t.Context(), t, kit, release(s), to)
				if !errors.Is(err, errSource) || errors.Is(err, create.ErrRejected) || !strings.HasPrefix(err.Error(), "registry.example/app/0:1.0: ") {
					t.Errorf("ranges %t, segment at %d, late %t: %v", ranges, at, late, err)
				}
				noSums(t, to)
			}
		}
	}
	settle(t, before)
}

type breaking struct {
	io.Reader
	after int64
}

// reader gives some bytes and then an error.
func (b breaking) reader() io.ReadCloser {
	return io.NopCloser(io.MultiReader(io.LimitReader(b.Reader, b.after), failing{}))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSource }

func TestWrongBytesAreNotSealed(t *testing.T) {
	kit := bundletest.NewKit(t)
	for name, change := range map[string]func(raw []byte) []byte{
		"flipped": func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw },
		"short":   func(raw []byte) []byte { return raw[:len(raw)-1] },
		"nothing": func([]byte) []byte { return nil },
	} {
		for _, victim := range []int64{1, 100, segment + 1, 102, segment + 2, 2*segment + 2} {
			s := newSource()
			s.image("linux/amd64", noise("a", 100), gzipped(102), noise("d", segment+1), gzipped(segment+2), gzipped(2*segment+2), gzipped(segment+3), noise("f", 1))
			s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
				r, err := s.Source.Open(ctx, d, from, to)
				if d.Size != victim || err != nil {
					return r, err
				}
				raw, err := io.ReadAll(r)
				return io.NopCloser(bytes.NewReader(change(raw))), err
			}
			to := newSink()
			_, err := pack(t.Context(), t, kit, release(s), to)
			if !errors.Is(err, create.ErrRejected) || !errors.Is(err, archive.ErrMismatch) || !strings.Contains(err.Error(), s.digest(victim).String()) {
				t.Errorf("%s, blob of %d bytes: %v", name, victim, err)
			}
			noSums(t, to)
		}
	}
}

// gzipped returns n bytes that look like a gzip stream.
func gzipped(n int) []byte {
	p := noise(fmt.Sprint("gzip", n), n)
	copy(p, "\x1f\x8b\x08")
	return p
}

// digest returns the digest of the blob of that size.
func (s *source) digest(size int64) manifest.Digest {
	for d, data := range s.All() {
		if int64(len(data)) == size {
			return d
		}
	}
	panic("no such blob")
}

// TestCancel cancels while the source hangs, and while it flows.
func TestCancel(t *testing.T) {
	kit := bundletest.NewKit(t)
	before := runtime.NumGoroutine()
	for name, open := range map[string]func(s *source, cancel func()) func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error){
		"a source that hangs": func(_ *source, cancel func()) func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) {
			return func(ctx context.Context, _ oci.Descriptor, _, _ int64) (io.ReadCloser, error) {
				time.AfterFunc(10*time.Millisecond, cancel)
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"a source that flows": func(s *source, cancel func()) func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) {
			return func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
				if s.asks.Load() == 4 {
					cancel()
				}
				return s.Source.Open(ctx, d, from, to)
			}
		},
	} {
		s := large()
		ctx, cancel := context.WithCancel(t.Context())
		contents, err := create.Collect(ctx, release(s))
		must(t, err)
		s.asks.Store(0)
		s.open = open(s, cancel)
		to, began := newSink(), time.Now()
		_, err = contents.Write(ctx, to, create.Options{Signatures: []create.Signature{{Principal: "ana", Signer: kit.Key}}, Progress: progress.Discard})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s to end", name, took)
		}
		noSums(t, to)
	}
	settle(t, before)
}

// TestMemoryIsBounded counts bytes that were asked of the source and are not
// yet on a volume, while the volumes are slow.
func TestMemoryIsBounded(t *testing.T) {
	s := newSource()
	var layers [][]byte
	for i := range 10 {
		layers = append(layers, noise(fmt.Sprint(i), 2*segment+i*1000))
	}
	s.image("linux/amd64", layers...)
	var underWay, most, asked atomic.Int64
	s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		asked.Add(to - from)
		now := underWay.Add(to - from)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return s.Source.Open(ctx, d, from, to)
	}
	to := newSink()
	to.write = func(n int) {
		underWay.Add(-int64(n))
		time.Sleep(time.Millisecond)
	}
	_, err := pack(t.Context(), t, bundletest.NewKit(t), release(s), to)
	must(t, err)
	// 64 MiB fetched, 16 in frames, 16 in blocks, and the segment being read.
	if limit := int64(64+16+16+8) << 20; most.Load() > limit || most.Load() < 3*segment || asked.Load() < 20*segment {
		t.Errorf("%d MiB under way of %d, want at most %d", most.Load()>>20, asked.Load()>>20, limit>>20)
	}
}

func TestSumsComeLast(t *testing.T) {
	to := newSink()
	_, err := pack(t.Context(), t, bundletest.NewKit(t), release(large()), to)
	must(t, err)
	if n := len(to.order); n != len(to.MapFS) || to.order[n-1] != manifest.SumsName {
		t.Errorf("files appeared in the order %q", to.order)
	}
	for i, name := range to.order {
		if strings.HasSuffix(name, ".vol") && slices.Contains(to.order[:i], manifest.ManifestName) {
			t.Errorf("%s came after the manifest", name)
		}
	}
}

// TestSinkErrors has each file fail.
func TestSinkErrors(t *testing.T) {
	kit, errDisk := bundletest.NewKit(t), errors.New("no space left")
	whole := newSink()
	_, err := pack(t.Context(), t, kit, release(large()), whole)
	must(t, err)
	before := runtime.NumGoroutine()
	for name := range whole.MapFS {
		to := newSink()
		to.fail = map[string]error{name: errDisk}
		if _, err := pack(t.Context(), t, kit, release(large()), to); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", name, err)
		}
		noSums(t, to)
	}
	settle(t, before)
}

type badSigner struct{}

func (badSigner) Sign(string, []byte) ([]byte, error) { return nil, errSource }

func TestSignatures(t *testing.T) {
	contents, err := create.Collect(t.Context(), release(shared()))
	must(t, err)
	kit := bundletest.NewKit(t)
	for name, signatures := range map[string][]create.Signature{
		"none":         nil,
		"a bad name":   {{Principal: "Ana B", Signer: kit.Key}},
		"a path":       {{Principal: "../ana", Signer: kit.Key}},
		"a bad signer": {{Principal: "ana", Signer: badSigner{}}},
		"one of two":   {{Principal: "ana", Signer: kit.Key}, {Principal: "bob", Signer: badSigner{}}},
	} {
		to := newSink()
		if _, err := contents.Write(t.Context(), to, create.Options{Signatures: signatures, Progress: progress.Discard}); err == nil {
			t.Errorf("%s: no error", name)
		}
		noSums(t, to)
	}
	to := newSink()
	result, err := contents.Write(t.Context(), to, create.Options{Progress: progress.Discard,
		Signatures: []create.Signature{{Principal: "ana", Signer: kit.Key}, {Principal: "bob", Signer: kit.Key}}})
	must(t, err)
	check(t, kit, to.Files)
	if to.MapFS["SHA256SUMS.ana.sig"] == nil || to.MapFS["SHA256SUMS.bob.sig"] == nil || result.Root != manifest.DigestOf(to.MapFS["SHA256SUMS"].Data) {
		t.Errorf("files %q, root %s", to.order, result.Root)
	}
}

// TestBlobsStandOnce holds that what two images share is fetched and stored
// once, and that documents can be read without the volumes in the middle, but
// for the one config that the image's platform stands in.
func TestBlobsStandOnce(t *testing.T) {
	a, b := large(), shared()
	var mu sync.Mutex
	asked := map[string]int{}
	for _, s := range []*source{a, b} {
		s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
			mu.Lock()
			asked[fmt.Sprint(d.Digest, from)]++
			mu.Unlock()
			return s.Source.Open(ctx, d, from, to)
		}
	}
	kit, to := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(a, b), to)
	must(t, err)
	for what, n := range asked {
		if n > 1 && !strings.Contains(what, smallConfig(a)) {
			t.Errorf("%s was fetched %d times", what, n)
		}
	}
	reading := &reader{FS: to.Files, read: map[string]bool{}}
	blobs, err := archive.Open(reading, kit.Allowed, bundletest.Created)
	must(t, err)
	defer blobs.Close()
	want := map[manifest.Digest]bool{}
	for _, s := range []*source{a, b} {
		for d := range s.All() {
			want[d] = true
		}
	}
	if n := len(blobs.Packings()); n != len(want) {
		t.Errorf("%d blobs, want %d", n, len(want))
	}
	_, err = load.NewRelease(t.Context(), blobs)
	must(t, err)
	volumes := len(blobs.Manifest().Volumes)
	if volumes < 8 || len(reading.read) > 3 || !reading.read["shop-1.0.000.vol"] {
		t.Errorf("of %d volumes %v were read for the documents", volumes, reading.read)
	}
}

// smallConfig is the digest of the config, which Collect and Write both read.
func smallConfig(s *source) string {
	for d, raw := range s.All() {
		if bytes.HasPrefix(raw, []byte(`{"os"`)) {
			return d.String()
		}
	}
	return "none"
}

// reader notes which volumes are read.
type reader struct {
	fs.FS
	mu   sync.Mutex
	read map[string]bool
}

type readerFile struct {
	fs.File
	r    *reader
	name string
}

func (r *reader) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".vol") {
		return f, err
	}
	return &readerFile{f, r, name}, nil
}

func (f *readerFile) ReadAt(p []byte, off int64) (int, error) {
	f.r.mu.Lock()
	f.r.read[f.name] = true
	f.r.mu.Unlock()
	return f.File.(io.ReaderAt).ReadAt(p, off)
}

func TestSizes(t *testing.T) {
	s := large()
	contents, err := create.Collect(t.Context(), release(s, shared()))
	must(t, err)
	var want int64
	all := map[manifest.Digest][]byte{}
	for _, from := range []*source{s, shared()} {
		for d, raw := range from.All() {
			all[d] = raw
		}
	}
	for _, raw := range all {
		want += int64(len(raw))
	}
	if contents.Size() != want {
		t.Errorf("%d bytes, want %d", contents.Size(), want)
	}
	to := newSink()
	_, err = pack(t.Context(), t, bundletest.NewKit(t), release(s, shared()), to)
	must(t, err)
	var total int64
	for _, f := range to.MapFS {
		total += int64(len(f.Data))
	}
	if most := contents.MaxBundleSize(); total > most || most > total+total/10+4<<20 {
		t.Errorf("%d bytes, at most %d were announced", total, most)
	}
}
