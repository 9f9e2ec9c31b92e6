package deflate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Without a limit in the way, Huffman's algorithm gives the lengths that
// package-merge gives, and it knows when a limit is.
func TestHuffmanIsPackageMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	var a, b Code
	limited := 0
	for i := range rounds {
		freq := someFrequencies(r)
		maxBits := 7 + r.IntN(9)
		var keys []uint64
		for sym, f := range freq {
			if f != 0 {
				keys = append(keys, uint64(f)<<16|uint64(sym))
			}
		}
		if len(keys) < 3 || len(keys) > 1<<maxBits {
			continue
		}
		want := slices.Sorted(slices.Values(keys))
		keys = a.sort(keys)
		if !slices.Equal(keys, want) {
			t.Fatalf("round %d: not sorted", i)
		}
		clear(a.Len[:])
		clear(b.Len[:])
		b.packageMerge(keys, min(maxBits, len(keys)-1))
		if a.huffman(keys, maxBits) {
			if a.Len != b.Len {
				t.Fatalf("round %d: got lengths %d, want %d of %d", i, a.Len, b.Len, freq)
			}
		} else if limited++; slices.Max(b.Len[:]) != uint8(maxBits) {
			t.Fatalf("round %d: limit %d, got a longest of %d", i, maxBits, slices.Max(b.Len[:]))
		}
	}
	if limited == 0 || limited > rounds*3/4 {
		t.Errorf("got %d of %d rounds with a limit in the way", limited, rounds)
	}
}

// someFrequencies returns frequencies of one of many shapes, most with equals.
func someFrequencies(r *rand.Rand) []int32 {
	freq := make([]int32, 3+r.IntN(MaxLitLen-2))
	spread, steep := 1+r.IntN(1<<r.IntN(17)), r.IntN(4)
	next := int32(1)
	for i := range freq {
		switch {
		case steep == 0 && i < 40: // Fibonacci's numbers make the deepest tree
			freq[i] = next
			next = min(next+next*5/8+int32(r.IntN(2)), 1<<20)
		case steep == 1:
			freq[i] = 1 << r.IntN(1+r.IntN(16))
		default:
			freq[i] = int32(r.IntN(spread + 1))
		}
	}
	r.Shuffle(len(freq), func(i, j int) { freq[i], freq[j] = freq[j], freq[i] })
	return freq
}
