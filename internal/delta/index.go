package delta

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// windowSize is how many bytes a sample stands for, and so the shortest run
// that can be found again.
const windowSize = 32

// sampleBits says how many positions are sampled while the table is wide
// enough: one in 1<<sampleBits, chosen by the bytes before them.
const sampleBits = 6

// Parts of an entry: the low bits are the address behind the window, the high
// ones tell windows of one bucket apart.
const (
	addressBits = 40
	checkBits   = 64 - addressBits
	addressMask = 1<<addressBits - 1
)

// bucketSize is the entries of a bucket: one cache line.
const bucketSize = 8

// copiesKept is how many addresses of one and the same window are kept.
const copiesKept = 4

// maxLevel is how often the sampling rate can be halved. What is left of an
// entry's check then still tells windows apart.
const maxLevel = 12

// Index knows where earlier bytes lie: a table of sampled windows. The table
// has a fixed size; when it fills, the sampling rate is halved and entries
// that the new rate would not have taken go. An Index serves one goroutine
// while Add runs; between Adds any number of Encoders may read it. What it
// holds depends on nothing but the Adds, in their order.
type Index struct {
	gear    [256]uint32
	table   []uint64 // buckets, each newest first; 0 is no entry
	buckets uint64
	count   int    // entries in the table
	level   int    // how often the rate was halved
	samples []spot // scratch of Add
	touched uint64
}

// memoryPage is the bytes that the operating system maps at a time, at least.
const memoryPage = 4 << 10

// spot is a sampled window: the position behind it and the window's hash.
type spot struct {
	end  int
	hash uint64
}

// NewIndex returns an Index whose table takes memory bytes, at least 4 KiB.
// 512 MiB index 3 GB at the full rate, one position in 64; each doubling of the
// content beyond that halves the rate, down to one in 262,144.
func NewIndex(memory int) *Index {
	x := &Index{buckets: uint64(max(memory, 4<<10) / (8 * bucketSize))}
	x.table = make([]uint64, x.buckets*bucketSize)
	advise(x.table)
	// Memory that is read before it is written is mapped twice, and the second
	// time all cores are interrupted: writing here is far cheaper.
	for i := 0; i < len(x.table); i += memoryPage / 8 {
		x.table[i] = 0
	}
	state := uint64(0x6169726c6f636b31)
	for i := range x.gear {
		// Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators.
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		x.gear[i] = uint32(z ^ z>>31)
	}
	return x
}

// Add indexes page, whose first byte lies at address. Bytes beyond 1 TiB are
// not indexed.
func (x *Index) Add(address int64, page []byte) {
	if address < 0 || address > addressMask-int64(len(page)) {
		return
	}
	x.samples = x.sample(page, x.samples[:0])
	x.enter(address, x.samples)
}

// enter indexes sampled windows of a page.
func (x *Index) enter(address int64, samples []spot) {
	for group := range slices.Chunk(samples, groupSize) {
		x.touched = x.touch(group)
		for _, s := range group {
			if s.hash&(1<<x.level-1) != 0 {
				continue // the rate was halved since it was taken
			}
			x.put(s.hash, uint64(address)+uint64(s.end))
		}
	}
}

// groupSize is how many buckets are asked of memory at a time.
const groupSize = 32

// touch reads the buckets of some spots, all at once and not each when it is
// its turn: the table is far larger than any cache, and waiting for memory is
// most of the work. The sum only keeps the reads alive.
func (x *Index) touch(spots []spot) (sum uint64) {
	for _, s := range spots {
		n, _ := bits.Mul64(s.hash, x.buckets)
		sum += x.table[n*bucketSize]
	}
	return sum
}

// sample appends the windows of page that the present rate takes. A window is
// judged by its own bytes alone, so equal bytes give equal samples wherever
// they lie.
func (x *Index) sample(page []byte, to []spot) []spot { return x.sampleFrom(page, 0, to) }

// sampleFrom is sample for the windows that end behind from. The sample before
// them is the last of to.
func (x *Index) sampleFrom(page []byte, from int, to []spot) []spot {
	var last uint64
	gear, below := &x.gear, uint32(1)<<(windowSize-sampleBits-x.level)
	if len(to) > 0 {
		last = to[len(to)-1].hash
	}
	var h uint32 // a byte has been shifted out of it by the last of windowSize behind it
	for _, b := range page[max(0, from-(windowSize-1)):from] {
		h = h<<1 + gear[b]
	}
	for i := from; i < len(page); i++ {
		h = h<<1 + gear[page[i]]
		if h >= below || i < windowSize-1 {
			continue
		}
		w := hash(page[i+1-windowSize:i+1])&^(1<<maxLevel-1) | rate(h)
		// A run of one byte, or of a short pattern, is one sample.
		if w == last {
			continue
		}
		last = w
		to = append(to, spot{end: i + 1, hash: w})
	}
	return to
}

// rate returns the low maxLevel bits of a sample's hash, where h is its rolling
// one: as many of them are 0, from the lowest one on, as the rate can be halved
// and the window be taken still.
func rate(h uint32) uint64 {
	return uint64(bits.Reverse32(h) >> sampleBits & (1<<maxLevel - 1))
}

// hash mixes the bytes of a window. The low checkBits go into the entry.
func hash(window []byte) uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	_ = window[windowSize-1]
	a := binary.LittleEndian.Uint64(window)
	b := binary.LittleEndian.Uint64(window[8:])
	c := binary.LittleEndian.Uint64(window[16:])
	d := binary.LittleEndian.Uint64(window[24:])
	hi, lo := bits.Mul64(a^k0, b^k1)
	h := hi ^ lo
	hi, lo = bits.Mul64(c^k1^h, d^k0^bits.RotateLeft64(h, 29))
	h = (hi ^ lo) * k0
	return h ^ h>>32
}

// bucket returns the entries among which a window with this hash lies, and
// what distinguishes the window's entries in their high bits.
func (x *Index) bucket(hash uint64) (*[bucketSize]uint64, uint64) {
	n, _ := bits.Mul64(hash, x.buckets)
	return (*[bucketSize]uint64)(x.table[n*bucketSize:]), hash & (1<<checkBits - 1)
}

// put makes address the newest entry for the window with this hash. Of more entries for it
// than copiesKept the second oldest goes: the oldest is nearest to plain
// bytes. A full bucket loses its oldest entry.
func (x *Index) put(hash, address uint64) {
	bucket, check := x.bucket(hash)
	end, same, second := 0, 0, 0
	for end < bucketSize && bucket[end] != 0 {
		if bucket[end]>>addressBits == check {
			if same++; same == copiesKept-1 {
				second = end
			}
		}
		end++
	}
	switch {
	case same == copiesKept:
		end = second
	case end == bucketSize:
		end--
	default:
		x.count++
	}
	copy(bucket[1:end+1], bucket[:end])
	bucket[0] = check<<addressBits | address
	if x.count > len(x.table)/8*6 && x.level < maxLevel {
		x.halve()
	}
}

// halve doubles the distance between samples.
func (x *Index) halve() {
	x.level++
	skip := uint64(1)<<x.level - 1
	x.keep(func(e uint64) bool { return e>>addressBits&skip == 0 })
}

// forget drops the windows that begin at from or behind.
func (x *Index) forget(from int64) {
	x.keep(func(e uint64) bool { return int64(e&addressMask) < from+windowSize })
}

// keep drops all entries but some.
func (x *Index) keep(some func(entry uint64) bool) {
	x.count = 0
	for n := 0; n < len(x.table); n += bucketSize {
		bucket, kept := x.table[n:n+bucketSize], 0
		for _, e := range bucket {
			if e != 0 && some(e) {
				bucket[kept] = e
				kept++
			}
		}
		clear(bucket[kept:])
		x.count += kept
	}
}
