package delta

import (
	"bytes"
	"slices"
	"testing"
)

// TestIndexAdapts fills a small table many times over: the rate has to fall,
// every entry has to be one that the new rate takes, and content of all ages
// has to be found still.
func TestIndexAdapts(t *testing.T) {
	r := source(10)
	a := newArchive(t, Limits{MaxPages: 1})
	a.index = NewIndex(128 << 10)
	a.encoder.index = a.index
	size := len(a.index.table)
	content := noise(r, 8*PageSize)
	a.add(t, content)
	if a.index.level < 3 {
		t.Errorf("the rate was halved %d times for %d samples in %d entries", a.index.level, len(content)>>sampleBits, size)
	}
	entries := 0
	for _, e := range a.index.table {
		if e == 0 {
			continue
		}
		entries++
		if e>>addressBits&(1<<a.index.level-1) != 0 {
			t.Fatalf("entry %#x is not of rate %d", e, a.index.level)
		}
	}
	if entries != a.index.count || entries < size/4 || len(a.index.table) != size {
		t.Errorf("%d entries, counted as %d, in a table of %d that had %d", entries, a.index.count, len(a.index.table), size)
	}
	for i, f := range a.add(t, content) {
		if f == nil || len(f) > 100 {
			t.Errorf("page %d is found in %d bytes", i, len(f))
		}
	}
}

func TestSamplesDependOnBytesAlone(t *testing.T) {
	x := NewIndex(0)
	content := noise(source(11), 100_000)
	want := x.sample(content, nil)
	if n := len(content) >> sampleBits; len(want) < n/2 || len(want) > 2*n {
		t.Fatalf("%d samples of %d bytes", len(want), len(content))
	}
	got := x.sample(content[1000:], nil)
	for i := range got {
		got[i].end += 1000
	}
	want = slices.DeleteFunc(want, func(s spot) bool { return s.end < 1000+windowSize })
	if !slices.Equal(got, want) {
		t.Error("other samples where the bytes begin elsewhere")
	}
}

func TestIndexKeepsOldestAndNewest(t *testing.T) {
	x := NewIndex(0)
	page := noise(source(14), 10_000)
	for n := range int64(10) {
		x.Add(n*PageSize, page)
	}
	samples := x.sample(page, nil)
	kept := 0
	for _, s := range samples {
		bucket, check := x.bucket(s.hash)
		var numbers []int64
		for _, e := range bucket {
			if e != 0 && e>>addressBits == check {
				numbers = append(numbers, int64(e&addressMask)/PageSize)
			}
		}
		if slices.Equal(numbers, []int64{9, 8, 7, 0}) {
			kept++
		}
	}
	// Buckets that fill push old entries out.
	if kept < len(samples)/3 {
		t.Errorf("%d of %d samples are kept of the oldest and the three newest pages", kept, len(samples))
	}
}

func TestIndexPassesOverFarAddresses(t *testing.T) {
	x := NewIndex(0)
	page := noise(source(13), 10_000)
	for _, address := range []int64{-PageSize, 1 << addressBits, 1<<addressBits - 5000} {
		x.Add(address, page)
	}
	if x.count != 0 {
		t.Errorf("%d entries", x.count)
	}
	x.Add(1<<addressBits-10_001, page)
	if x.count == 0 {
		t.Error("the last bytes of the address space are not indexed")
	}
}

// A page that was matched and copies nothing is indexed as any other.
func TestAddNewsOfPlain(t *testing.T) {
	for _, memory := range []int{8 << 10, 1 << 20} {
		got, want := NewIndex(memory), NewIndex(memory)
		e, err := NewEncoder(got, nil, Limits{MaxPages: 1, Usable: func(int64) bool { return false }}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(6) {
			page := noise(source(uint64(i/2)), 300_000)
			plan, err := e.Match(page, i*PageSize)
			if err != nil {
				t.Fatal(err)
			}
			e.AddNews(plan)
			want.Add(i*PageSize, page)
		}
		if !slices.Equal(got.table, want.table) || got.level != want.level || got.count != want.count {
			t.Errorf("table of %d bytes: %d entries at level %d, want %d at %d", memory, got.count, got.level, want.count, want.level)
		}
	}
}

// TestSamplesOfLiterals takes pieces out of pages with runs of one byte, which
// are one sample each, and samples what is left with and without those of the page.
func TestSamplesOfLiterals(t *testing.T) {
	x := NewIndex(0)
	var sampled []byte
	for b := range 256 {
		if run := bytes.Repeat([]byte{byte(b)}, windowSize); len(x.sample(run, nil)) > 0 {
			sampled = append(sampled, byte(b))
		}
	}
	if len(sampled) < 2 {
		t.Fatal("no runs are sampled")
	}
	r := source(20)
	for range 30 {
		var page []byte
		for len(page) < 20_000 {
			page = append(page, noise(r, r.IntN(100))...)
			page = append(page, bytes.Repeat(sampled[r.IntN(2):][:1], r.IntN(100))...)
		}
		e := &Encoder{index: x, spots: x.sample(page, nil)}
		e.page.size = int64(len(page))
		var literals []byte
		done := 0
		for {
			c := match{start: done + r.IntN(150)}
			if c.end = c.start + 1 + r.IntN(300); c.end > len(page) {
				break
			}
			e.pieces = append(e.pieces, c)
			literals = append(literals, page[done:c.start]...)
			done = c.end
		}
		literals = append(literals, page[done:]...)
		if got, want := e.newsSpots(literals, nil), x.sample(literals, nil); !slices.Equal(got, want) {
			t.Fatalf("%d samples, want %d", len(got), len(want))
		}
	}
}

// Of a page that copies, the literals are indexed as a page of them would be.
func TestAddNewsOfLiterals(t *testing.T) {
	r := source(21)
	a := newArchive(t, Limits{MaxPages: 1})
	old := noise(r, PageSize)
	a.add(t, old)
	page := slices.Concat(noise(r, 5000), old[:100_000], noise(r, 40_000), old[200_000:300_000])
	plan, err := a.encoder.Match(page, PageSize)
	if err != nil {
		t.Fatal(err)
	}
	want := NewIndex(4 << 20)
	want.Add(0, old)
	want.Add(PageSize, plan.Literals())
	a.encoder.AddNews(plan)
	if len(plan.Pages()) == 0 || !slices.Equal(a.index.table, want.table) {
		t.Errorf("pages %v: %d entries, want the %d of %d literals", plan.Pages(), a.index.count, want.count, len(plan.Literals()))
	}
}

// What was forgotten is as if it had never been indexed.
func TestForget(t *testing.T) {
	got, want := NewIndex(64<<20), NewIndex(64<<20) // no bucket is full
	first, second := noise(source(14), PageSize), noise(source(15), PageSize)
	for _, x := range []*Index{got, want} {
		x.Add(0, first)
	}
	got.Add(PageSize, second)
	got.Add(2*PageSize, second)
	if got.count <= want.count {
		t.Fatal("nothing was indexed")
	}
	got.forget(PageSize)
	if got.count != want.count || !slices.Equal(got.table, want.table) {
		t.Errorf("%d entries, want those %d from before", got.count, want.count)
	}
}
