package delta

import (
	"fmt"
	"slices"
)

// Limits bound what a frame may copy from. Both keep decoding at random cheap.
type Limits struct {
	// MaxPages is how many source pages a frame may use, 1 to MaxPages.
	MaxPages int
	// Usable reports whether frames may copy from a page. It must not change
	// its mind about a page during a Match. Without it all may.
	Usable func(page int64) bool
}

// votesWanted is how many samples of a page must be found in a source page,
// and in no page chosen before it, to make reading it worth while.
const votesWanted = 4

// votesPart is the part of a page's samples that must be, from the second
// source page on: each is one more to be decoded for the page.
const votesPart = 1024

// followed is the votes for the page on which the page before ended.
const followed = 8

// Encoder finds pages' bytes in earlier ones. It serves one goroutine, and
// takes PageSize bytes of memory for each of Limits.MaxPages, some 10 MiB more,
// and for each worker what zstd takes. It keeps only one thing from one Match
// to the next: where the copies of a page end is where those of the page
// behind it may go on. It may therefore serve all contents in turn.
type Encoder struct {
	index   *Index
	source  Source
	limits  Limits
	zstd    *compressor
	matcher matcher
	last    trail
	page    struct{ address, size int64 } // that spots are of
	pieces  []match                       // of it, if its plan copies

	// Scratch, by sample of the page.
	spots      []spot
	news       []spot
	ranges     []int32 // where a spot's candidates begin; one more than spots
	candidates []candidate
	uncovered  []int32 // samples that are found, but in no page chosen so far
	numbers    []int64 // page number by local number
	local      map[int64]int32
	votes      []int32
	touched    uint64
}

// candidate is a place where a window may be found.
type candidate struct {
	address int64 // behind the window
	page    int32 // local number
}

// trail is where a page's last copy would go on in the page behind it.
type trail struct {
	address int64 // of the page behind
	source  int64
	known   bool
}

// NewEncoder returns an Encoder over what index knows. Of its Plans workers
// many can be marshalled at a time.
func NewEncoder(index *Index, source Source, limits Limits, workers int) (*Encoder, error) {
	if limits.MaxPages < 1 || limits.MaxPages > MaxPages {
		return nil, fmt.Errorf("%d source pages a frame, want 1 to %d", limits.MaxPages, MaxPages)
	}
	if workers < 1 {
		return nil, fmt.Errorf("%d workers, want at least 1", workers)
	}
	z, err := newCompressor(workers)
	if err != nil {
		return nil, err
	}
	return &Encoder{index: index, source: source, limits: limits, zstd: z, local: map[int64]int32{}}, nil
}

// Encode is Match and Plan.Marshal in one.
func (e *Encoder) Encode(page []byte, address int64) (encoded []byte, pages []int64, err error) {
	plan, err := e.Match(page, address)
	if err != nil {
		return nil, nil, err
	}
	if encoded = plan.Marshal(); encoded == nil {
		return nil, nil, nil
	}
	return encoded, plan.Pages(), nil
}

// Match finds what to copy for page, which lies at address, from pages before
// it. It does not index the page.
func (e *Encoder) Match(page []byte, address int64) (*Plan, error) {
	if len(page) > PageSize || address < 0 || address%PageSize != 0 {
		return nil, fmt.Errorf("a page of %d bytes at %d", len(page), address)
	}
	if !e.last.known || e.last.address != address {
		e.last = trail{}
	}
	e.collect(page, address)
	e.page.address, e.page.size = address, int64(len(page))
	e.pieces = nil
	chosen := e.choose()
	plan := &Plan{page: page, zstd: e.zstd}
	if len(chosen) == 0 {
		e.last = trail{}
		return plan, nil
	}
	if err := e.matcher.load(chosen, e.source); err != nil {
		return nil, err
	}
	e.matcher.run(e, page)
	e.matcher.plan(plan)
	e.follow(address + int64(len(page)))
	if !plan.pays() {
		return &Plan{page: page, zstd: e.zstd}, nil
	}
	e.pieces = e.matcher.parts
	return plan, nil
}

// AddNews indexes what is new in the page that was matched last, as the page at
// its address: all of it if it is to be stored plainly, else the Literals of
// its plan. Little of it is sampled again.
func (e *Encoder) AddNews(plan *Plan) {
	if e.page.address > addressMask-e.page.size {
		return
	}
	if len(e.pieces) == 0 {
		e.index.enter(e.page.address, e.spots)
		return
	}
	e.news = e.newsSpots(plan.Literals(), e.news[:0])
	e.index.enter(e.page.address, e.news)
}

// Forget forgets all that was indexed and matched at address from and behind.
func (e *Encoder) Forget(from int64) {
	e.last = trail{}
	e.index.forget(from)
}

// newsSpots appends the samples of literals: those of the page, and of where
// the page goes on otherwise than its literals do.
func (e *Encoder) newsSpots(literals []byte, to []spot) []spot {
	done, copied, k := 0, 0, 0
	for i := 0; i <= len(e.pieces); i++ {
		// A run of literals lies in the page from done to end.
		end := int(e.page.size)
		if i < len(e.pieces) {
			end = e.pieces[i].start
		}
		for k < len(e.spots) && e.spots[k].end-windowSize < done {
			k++
		}
		// Up to its first own sample, windows lie over the run before too, or may
		// be left out of the page's for being the same as one before the run.
		first := end
		if k < len(e.spots) {
			first = min(first, e.spots[k].end)
		}
		if i > 0 {
			to = e.index.sampleFrom(literals[:first-copied], done-copied, to)
		}
		for ; k < len(e.spots) && e.spots[k].end <= end; k++ {
			s := spot{end: e.spots[k].end - copied, hash: e.spots[k].hash}
			if len(to) == 0 || to[len(to)-1].hash != s.hash {
				to = append(to, s)
			}
		}
		if i < len(e.pieces) {
			done = e.pieces[i].end
			copied += done - end
		}
	}
	return to
}

// follow remembers the diagonal on which the page ended.
func (e *Encoder) follow(next int64) {
	e.last = trail{}
	if m := &e.matcher; m.current.end > m.current.start {
		at := len(m.target) + m.current.shift
		slot := at / PageSize
		// One byte before: the place may be just behind its page.
		if at > 0 && at%PageSize == 0 {
			slot--
		}
		if at >= 0 && slot < len(m.numbers) {
			e.last = trail{address: next, source: m.numbers[slot]*PageSize + int64(at-slot*PageSize), known: true}
		}
	}
}

// collect looks up the samples of page.
func (e *Encoder) collect(page []byte, address int64) {
	e.spots = e.index.sample(page, e.spots[:0])
	e.ranges, e.candidates = e.ranges[:0], e.candidates[:0]
	e.numbers, e.votes = e.numbers[:0], e.votes[:0]
	clear(e.local)
	limit := address / PageSize
	if e.last.known {
		if l := e.number(e.last.source/PageSize, limit); l >= 0 {
			e.votes[l] += followed
		}
	}
	lastNumber, lastLocal := int64(-1), int32(-1)
	for i, s := range e.spots {
		if i%groupSize == 0 {
			e.touched = e.index.touch(e.spots[i:min(i+groupSize, len(e.spots))])
		}
		e.ranges = append(e.ranges, int32(len(e.candidates)))
		bucket, check := e.index.bucket(s.hash)
		begin := len(e.candidates)
		for _, entry := range bucket {
			if entry == 0 {
				break
			}
			if entry>>addressBits != check {
				continue
			}
			at := int64(entry & addressMask)
			n := (at - 1) / PageSize
			if n != lastNumber {
				lastNumber, lastLocal = n, e.number(n, limit)
			}
			if lastLocal < 0 {
				continue
			}
			if !onPage(e.candidates[begin:], lastLocal) {
				e.votes[lastLocal]++
			}
			e.candidates = append(e.candidates, candidate{address: at, page: lastLocal})
		}
	}
	e.ranges = append(e.ranges, int32(len(e.candidates)))
}

// number returns the local number of a page, or -1 if it may not be used.
func (e *Encoder) number(page, limit int64) int32 {
	l, ok := e.local[page]
	if ok {
		return l
	}
	l = -1
	if page < limit && (e.limits.Usable == nil || e.limits.Usable(page)) {
		l = int32(len(e.numbers))
		e.numbers = append(e.numbers, page)
		e.votes = append(e.votes, 0)
	}
	e.local[page] = l
	return l
}

// choose returns the source pages to use, ascending: again and again the page
// in which most samples are found that none of the chosen ones has; of equals
// the earlier one.
func (e *Encoder) choose() []int64 {
	var chosen []int64
	wanted := int32(votesWanted)
	e.uncovered = e.uncovered[:0]
	for i := range e.spots {
		if e.ranges[i] < e.ranges[i+1] {
			e.uncovered = append(e.uncovered, int32(i))
		}
	}
	for len(chosen) < e.limits.MaxPages {
		best := -1
		for l, v := range e.votes {
			if v >= wanted && (best < 0 || v > e.votes[best] || v == e.votes[best] && e.numbers[l] < e.numbers[best]) {
				best = l
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, e.numbers[best])
		wanted = int32(max(votesWanted, len(e.spots)/votesPart))
		e.cover(int32(best))
	}
	slices.Sort(chosen)
	return chosen
}

// cover takes back the votes of all samples that are found in a page.
func (e *Encoder) cover(page int32) {
	left := e.uncovered[:0]
	for _, i := range e.uncovered {
		found := e.candidates[e.ranges[i]:e.ranges[i+1]]
		if !onPage(found, page) {
			left = append(left, i)
			continue
		}
		for k, c := range found {
			if !onPage(found[:k], c.page) {
				e.votes[c.page]--
			}
		}
	}
	e.uncovered = left
	e.votes[page] = 0
}

// onPage reports whether one of the candidates lies on a page.
func onPage(candidates []candidate, page int32) bool {
	for i := range candidates {
		if candidates[i].page == page {
			return true
		}
	}
	return false
}
