package delta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// pages is a Source in memory: page n is pages[n]. It counts what is read.
type pages struct {
	bytes map[int64][]byte
	read  map[int64]int
}

func newPages() *pages { return &pages{bytes: map[int64][]byte{}, read: map[int64]int{}} }

func (p *pages) Page(number int64) ([]byte, error) {
	b, ok := p.bytes[number]
	if !ok {
		return nil, fmt.Errorf("no page %d", number)
	}
	p.read[number]++
	return b, nil
}

// archive encodes contents one behind the other, as an archive does.
type archive struct {
	*pages
	index   *Index
	encoder *Encoder
	decoder *Decoder
	next    int64 // page
}

func newArchive(t testing.TB, limits Limits) *archive {
	t.Helper()
	a := &archive{pages: newPages(), index: NewIndex(4 << 20)}
	var err error
	if a.encoder, err = NewEncoder(a.index, a.pages, limits, 2); err != nil {
		t.Fatal(err)
	}
	if a.decoder, err = NewDecoder(1); err != nil {
		t.Fatal(err)
	}
	return a
}

// add encodes content, proves every frame and indexes it. It returns the
// frames; nil stands for a page to be stored plainly.
func (a *archive) add(t testing.TB, content []byte) (frames [][]byte) {
	t.Helper()
	for page := range slices.Chunk(content, PageSize) {
		address := a.next * PageSize
		encoded, used, err := a.encoder.Encode(page, address)
		if err != nil {
			t.Fatal(err)
		}
		if encoded != nil {
			a.prove(t, encoded, used, page)
		} else if used != nil {
			t.Fatalf("page %d: stored plainly and yet copies from %v", a.next, used)
		}
		a.index.Add(address, page)
		a.bytes[a.next] = page
		a.next++
		frames = append(frames, encoded)
	}
	return frames
}

// prove checks a frame of page a.next.
func (a *archive) prove(t testing.TB, encoded []byte, used []int64, page []byte) {
	t.Helper()
	if len(encoded) >= len(page) {
		t.Fatalf("page %d: %d bytes encoded as %d", a.next, len(page), len(encoded))
	}
	listed, err := Pages(encoded)
	if err != nil || !slices.Equal(listed, used) {
		t.Fatalf("page %d: Pages = %v, %v, want %v", a.next, listed, err, used)
	}
	if !slices.IsSorted(used) || len(used) == 0 || used[len(used)-1] >= a.next {
		t.Fatalf("page %d copies from %v", a.next, used)
	}
	clear(a.read)
	got, err := a.decoder.Decode(encoded, len(page), a.pages)
	if err != nil {
		t.Fatalf("page %d: %v", a.next, err)
	}
	if !bytes.Equal(got, page) {
		t.Fatalf("page %d: decoded to other bytes", a.next)
	}
	for n, times := range a.read {
		if times != 1 || !slices.Contains(used, n) {
			t.Fatalf("page %d: decoding read page %d %d times, want pages %v once", a.next, n, times, used)
		}
	}
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// noise returns n bytes that do not compress.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+7)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n:n]
}

// edit returns content with a number of random edits of all kinds.
func edit(r *rand.Rand, content []byte, edits int) []byte {
	b := slices.Clone(content)
	for range edits {
		at, n := r.IntN(len(b)+1), r.IntN(1000)
		switch end := min(at+n, len(b)); r.IntN(5) {
		case 0:
			b = slices.Insert(b, at, noise(r, n)...)
		case 1:
			b = slices.Delete(b, at, end)
		case 2:
			for i := at; i < end; i += 1 + r.IntN(60) {
				b[i] += byte(r.Uint32())
			}
		case 3: // a block moves
			block := slices.Clone(b[at:end])
			b = slices.Delete(b, at, end)
			b = slices.Insert(b, r.IntN(len(b)+1), block...)
		case 4: // all addresses in a stretch grow
			for i := at; i+8 < end; i += 8 {
				b[i] += 0x40
			}
		}
	}
	return b
}

func TestRandomEdits(t *testing.T) {
	for seed := range uint64(3) {
		r := source(seed)
		a := newArchive(t, Limits{MaxPages: 4})
		content := noise(r, 3*PageSize+r.IntN(PageSize))
		a.add(t, content)
		for round := range 2 {
			content = edit(r, content, 300)
			shipped := 0
			for i, f := range a.add(t, content) {
				if f == nil {
					t.Fatalf("seed %d, round %d: page %d found nothing", seed, round, i)
				}
				shipped += len(f)
			}
			// About 60 inserts of 500 bytes each are new, and the other edits take less.
			if limit := 100_000; shipped > limit {
				t.Errorf("seed %d, round %d: %d bytes shipped of %d, want at most %d", seed, round, shipped, len(content), limit)
			}
		}
	}
}

func TestUnchanged(t *testing.T) {
	content := noise(source(1), 2*PageSize+12345)
	a := newArchive(t, Limits{MaxPages: 2})
	a.add(t, content)
	for i, f := range a.add(t, content) {
		if f == nil || len(f) > 40 {
			t.Errorf("page %d: an unchanged page takes %d bytes", i, len(f))
		}
	}
}

func TestSparseDifferences(t *testing.T) {
	content := noise(source(2), 2*PageSize)
	a := newArchive(t, Limits{MaxPages: 2})
	a.add(t, content)
	changed := slices.Clone(content)
	// Wider apart than a window only now and then, so that the diagonal has to
	// carry over page and differences.
	for i := 20; i < len(changed); i += 24 {
		changed[i] += 0x40
	}
	for i := 1 << 10; i < 1<<10+300; i++ {
		changed[i] = content[i]
	}
	for i, f := range a.add(t, changed) {
		if f == nil || len(f) > 2000 {
			t.Errorf("page %d: regular differences take %d bytes", i, len(f))
		}
	}
}

func TestNothingToFind(t *testing.T) {
	for name, content := range map[string][]byte{
		"noise":  noise(source(3), PageSize+77),
		"zeros":  make([]byte, PageSize+77),
		"period": bytes.Repeat([]byte("0123456789"), PageSize/10),
		"one":    {1},
	} {
		a := newArchive(t, Limits{MaxPages: 2})
		for _, f := range a.add(t, content) {
			if f != nil && name != "period" {
				t.Errorf("%s: %d bytes encoded", name, len(f))
			}
		}
	}
}

func TestLimits(t *testing.T) {
	r := source(4)
	content := noise(r, 12*PageSize)
	// A page of pieces from twelve pages.
	var mixed []byte
	for i := range 12 {
		mixed = append(mixed, content[i*PageSize+5000:][:150_000+i]...)
	}
	for _, limit := range []int{1, 2, 8, 16} {
		a := newArchive(t, Limits{MaxPages: limit, Usable: func(page int64) bool { return page%3 != 1 }})
		a.add(t, content)
		used, err := Pages(a.add(t, mixed)[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := min(limit, 8); len(used) != want {
			t.Errorf("limit %d: copies from %v, want %d pages", limit, used, want)
		}
		for _, p := range used {
			if p%3 == 1 {
				t.Errorf("limit %d: copies from page %d, which is not usable", limit, p)
			}
		}
	}
	for _, limit := range []int{-1, 0, MaxPages + 1} {
		if _, err := NewEncoder(NewIndex(0), newPages(), Limits{MaxPages: limit}, 1); err == nil {
			t.Errorf("NewEncoder accepts %d source pages", limit)
		}
	}
}

func TestNeverForward(t *testing.T) {
	content := noise(source(5), 2*PageSize)
	a := newArchive(t, Limits{MaxPages: 4})
	a.add(t, content)
	// Indexed already, as if a caller had read ahead.
	for address := int64(0); address < 2*PageSize; address += PageSize {
		page := content[address : address+PageSize]
		plan, err := a.encoder.Match(page, address)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Pages()) > 0 {
			t.Errorf("page at %d copies from %v", address, plan.Pages())
		}
	}
}

func TestMatchRefuses(t *testing.T) {
	a := newArchive(t, Limits{MaxPages: 1})
	for _, address := range []int64{-PageSize, 1, PageSize - 1} {
		if _, err := a.encoder.Match([]byte{1}, address); err == nil {
			t.Errorf("a page at %d is accepted", address)
		}
	}
	if _, err := a.encoder.Match(make([]byte, PageSize+1), 0); err == nil {
		t.Error("a page that is too long is accepted")
	}
}

// TestHole has a page that would match beyond the end of a short page, where
// the window happens to hold the same bytes.
func TestHole(t *testing.T) {
	r := source(8)
	short, next := noise(r, PageSize-1000), noise(r, PageSize)
	a := newArchive(t, Limits{MaxPages: 2})
	a.add(t, short)
	a.add(t, next)
	mixed := slices.Concat(short[len(short)-5000:], make([]byte, 1000), next[:5000])
	frame := a.add(t, mixed)[0]
	if used, err := Pages(frame); err != nil || !slices.Equal(used, []int64{0, 1}) {
		t.Errorf("copies from %v, %v, want pages 0 and 1", used, err)
	}
}

// TestSeam has two copies that end and begin at pages which lie side by side
// only once the page between them is not listed.
func TestSeam(t *testing.T) {
	a := newArchive(t, Limits{MaxPages: 3})
	r := source(14)
	for range 3 {
		a.bytes[a.next] = noise(r, PageSize)
		a.next++
	}
	var m matcher
	if err := m.load([]int64{0, 1, 2}, a.pages); err != nil {
		t.Fatal(err)
	}
	m.target = slices.Concat(a.bytes[0][PageSize-700:], a.bytes[2][:900])
	m.matches = []match{{end: 700, shift: PageSize - 700}, {start: 700, end: 1600, shift: 2*PageSize - 700}}
	plan := &Plan{page: m.target, zstd: a.encoder.zstd}
	m.plan(plan)
	want := numbers(0, 1600, 2*(PageSize-700))
	if !slices.Equal(plan.Pages(), []int64{0, 2}) || !bytes.Equal(plan.raw[controlStream], want) {
		t.Errorf("pages %v and control %v, want 0, 2 and %v", plan.Pages(), plan.raw[controlStream], want)
	}
	a.prove(t, plan.Marshal(), plan.Pages(), m.target)
}

// TestSeamRunsOn has a copy whose diagonal is that of another one in the page
// beside it in the window, which is not the next one.
func TestSeamRunsOn(t *testing.T) {
	r := source(15)
	content := noise(r, 3*PageSize)
	joined := slices.Concat(content[PageSize-200_000:PageSize], content[2*PageSize:][:200_000])
	a := newArchive(t, Limits{MaxPages: 2})
	a.add(t, content)
	for _, page := range [][]byte{joined, edit(r, joined, 100)} {
		if frame := a.add(t, page)[0]; len(frame) > len(page)/2 {
			t.Errorf("%d bytes in a frame of %d", len(page), len(frame))
		}
	}
}

var errSource = errors.New("the disk is gone")

type broken struct{}

func (broken) Page(int64) ([]byte, error) { return nil, errSource }

func TestSourceErrors(t *testing.T) {
	content := noise(source(6), PageSize)
	a := newArchive(t, Limits{MaxPages: 1})
	a.add(t, content)
	encoded := a.add(t, content)[0]
	if _, err := a.decoder.Decode(encoded, len(content), broken{}); !errors.Is(err, errSource) || errors.Is(err, ErrMalformed) {
		t.Errorf("Decode = %v, want the source's error", err)
	}
	e, err := NewEncoder(a.index, broken{}, Limits{MaxPages: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Encode(content, 2*PageSize); !errors.Is(err, errSource) {
		t.Errorf("Encode = %v, want the source's error", err)
	}
}

// TestDeterministic encodes the same twice, and once with Marshal in other
// goroutines.
func TestDeterministic(t *testing.T) {
	r := source(7)
	content := noise(r, 2*PageSize)
	changed := edit(r, content, 500)
	encode := func() [][]byte {
		a := newArchive(t, Limits{MaxPages: 3})
		a.add(t, content)
		return a.add(t, changed)
	}
	want := encode()
	if got := encode(); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("the same twice gives other frames")
	}
	a := newArchive(t, Limits{MaxPages: 3})
	a.add(t, content)
	results := make([]chan []byte, 0, len(want))
	for page := range slices.Chunk(changed, PageSize) {
		plan, err := a.encoder.Match(page, a.next*PageSize)
		if err != nil {
			t.Fatal(err)
		}
		a.index.Add(a.next*PageSize, page)
		a.bytes[a.next] = page
		a.next++
		result := make(chan []byte, 1)
		results = append(results, result)
		go func() { result <- plan.Marshal() }()
	}
	for i, result := range results {
		if !bytes.Equal(<-result, want[i]) {
			t.Errorf("page %d: marshalled elsewhere it is another frame", i)
		}
	}
}
