package zlibflate

import "airlock/internal/gzipexact/deflate"

const (
	maxBits    = 15 // of a literal, length or distance code
	maxLenBits = 7  // of a code for the lengths of those
	numLens    = 19 // symbols of that code

	repeatLast  = 16 // the length before, 3 to 6 times; 2 more bits
	repeatZero  = 17 // zero, 3 to 10 times; 3 more bits
	repeatZeros = 18 // zero, 11 to 138 times; 7 more bits
)

// A tree builds one Huffman code as zlib does: a binary heap in which of nodes
// of the same weight the shallower comes first, and lengths above the limit
// mended from the bottom.
type tree struct {
	code deflate.Code
	max  int // the largest symbol that has a code
	bits int // what the counted symbols take, extra bits included

	limit int
	extra func(sym int) int

	freq  [2*deflate.MaxLitLen + 1]int32
	depth [2*deflate.MaxLitLen + 1]uint8
	dad   [2*deflate.MaxLitLen + 1]int16
	size  [2*deflate.MaxLitLen + 1]int16 // of the code of a leaf or node, in bits
	heap  [2*deflate.MaxLitLen + 1]int16 // from 1 on the heap, from first on what has left it
	n     int
	first int
}

// before reports whether node a leaves the heap before node b.
func (t *tree) before(a, b int16) bool {
	return t.freq[a] < t.freq[b] || t.freq[a] == t.freq[b] && t.depth[a] <= t.depth[b]
}

// sink moves the node in slot k down to where it belongs.
func (t *tree) sink(k int) {
	v := t.heap[k]
	for j := 2 * k; j <= t.n; j *= 2 {
		if j < t.n && t.before(t.heap[j+1], t.heap[j]) {
			j++
		}
		if t.before(v, t.heap[j]) {
			break
		}
		t.heap[k] = t.heap[j]
		k = j
	}
	t.heap[k] = v
}

// build makes the code for symbols with those counts. At least two symbols get
// one, in use or not.
func (t *tree) build(counts []int32) {
	t.n, t.first, t.max = 0, len(t.heap), -1
	for sym, f := range counts {
		t.freq[sym], t.depth[sym], t.size[sym] = f, 0, 0
		if f != 0 {
			t.n++
			t.heap[t.n] = int16(sym)
			t.max = sym
		}
	}
	forced := 0
	for t.n < 2 {
		sym := 0
		if t.max < 2 {
			t.max++
			sym = t.max
		}
		t.n++
		t.heap[t.n] = int16(sym)
		t.freq[sym] = 1
		forced++
	}
	for k := t.n / 2; k >= 1; k-- {
		t.sink(k)
	}
	t.join(int16(len(counts)))
	// A symbol that is not in use takes its one bit off the account.
	t.bits = t.measure() - forced
	for sym := range counts {
		t.code.Len[sym] = uint8(t.size[sym])
	}
	t.code.SetLengths(len(counts))
}

// join makes the tree; node is the number of the first inner node.
func (t *tree) join(node int16) {
	leave := func(v int16) {
		t.first--
		t.heap[t.first] = v
	}
	for ; t.n >= 2; node++ {
		a := t.heap[1]
		t.heap[1] = t.heap[t.n]
		t.n--
		t.sink(1)
		b := t.heap[1]
		leave(a)
		leave(b)
		t.freq[node] = t.freq[a] + t.freq[b]
		t.depth[node] = max(t.depth[a], t.depth[b]) + 1
		t.dad[a], t.dad[b] = node, node
		t.heap[1] = node
		t.sink(1)
	}
	leave(t.heap[1])
}

// measure sets the lengths and returns how many bits all symbols take.
func (t *tree) measure() int {
	var count [maxBits + 2]int
	excess := 0
	t.size[t.heap[t.first]] = 0
	for _, v := range t.heap[t.first+1:] {
		l := int(t.size[t.dad[v]]) + 1
		if l > t.limit {
			l = t.limit
			excess++
		}
		t.size[v] = int16(l)
		if int(v) <= t.max {
			count[l]++
		}
	}
	if excess > 0 {
		t.mend(&count, excess)
	}
	total := 0
	for _, v := range t.heap[t.first+1:] {
		if int(v) <= t.max {
			total += int(t.freq[v]) * (int(t.size[v]) + t.extra(int(v)))
		}
	}
	return total
}

// mend makes room for the codes that were too long and deals the lengths out
// anew, the longest to the rarest.
func (t *tree) mend(count *[maxBits + 2]int, excess int) {
	for ; excess > 0; excess -= 2 {
		l := t.limit - 1
		for count[l] == 0 {
			l--
		}
		count[l]--
		count[l+1] += 2
		count[t.limit]--
	}
	at := len(t.heap)
	for l := t.limit; l > 0; l-- {
		for n := count[l]; n > 0; {
			at--
			if v := t.heap[at]; int(v) <= t.max {
				t.size[v] = int16(l)
				n--
			}
		}
	}
}

func litExtra(sym int) int {
	if sym <= deflate.EndBlock {
		return 0
	}
	return deflate.LengthExtra(sym - deflate.EndBlock - 1)
}

func lenExtra(sym int) int {
	switch sym {
	case repeatLast:
		return 2
	case repeatZero:
		return 3
	case repeatZeros:
		return 7
	}
	return 0
}
