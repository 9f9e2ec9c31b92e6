package deflate

// A Header is the description of a dynamic block's two codes: their lengths
// in run-length form, and the code that sends that (RFC 1951, section 3.2.7).
type Header struct {
	numLit, numDist int
	numCodegen      int
	runs            [MaxLitLen + MaxDist + 2]uint16 // symbol, or symbol | repeat count << 8
	numRuns         int
	freq            [19]int32
	code            Code
}

// Describe makes h the header for the first numLit lengths of lit and the
// first numDist of dist. A run of a length is sent as the length, then repeats
// of six as long as three are left; a run of zeros as repeats of at most 138,
// then of at most 10.
func (h *Header) Describe(lit *Code, numLit int, dist *Code, numDist int) {
	h.numLit, h.numDist, h.numRuns = numLit, numDist, 0
	clear(h.freq[:])
	var all [MaxLitLen + MaxDist]uint8
	n := copy(all[:], lit.Len[:numLit])
	n += copy(all[n:], dist.Len[:numDist])
	for i := 0; i < n; {
		j := i + 1
		for j < n && all[j] == all[i] {
			j++
		}
		if all[i] == 0 {
			h.zeros(j - i)
		} else {
			h.lengths(all[i], j-i)
		}
		i = j
	}
	h.code.Build(h.freq[:], 7)
	h.numCodegen = 19
	for h.numCodegen > 4 && h.freq[codegenOrder[h.numCodegen-1]] == 0 {
		h.numCodegen--
	}
}

func (h *Header) add(sym uint8, repeat int) {
	h.runs[h.numRuns] = uint16(sym) | uint16(repeat)<<8
	h.numRuns++
	h.freq[sym]++
}

func (h *Header) zeros(count int) {
	for count >= 11 {
		k := min(count, 138)
		h.add(18, k-11)
		count -= k
	}
	if count >= 3 {
		h.add(17, count-3)
		count = 0
	}
	for range count {
		h.add(0, 0)
	}
}

func (h *Header) lengths(l uint8, count int) {
	h.add(l, 0)
	count--
	for count >= 3 {
		k := min(count, 6)
		h.add(16, k-3)
		count -= k
	}
	for range count {
		h.add(l, 0)
	}
}

// Size returns the number of bits of the header, with the block's three.
func (h *Header) Size() int {
	return 3 + 5 + 5 + 4 + 3*h.numCodegen + h.code.Size(h.freq[:]) +
		2*int(h.freq[16]) + 3*int(h.freq[17]) + 7*int(h.freq[18])
}

// WriteHeader writes the start of a dynamic block that is not the last.
func (w *Writer) WriteHeader(h *Header) {
	w.Bits(2<<1, 3)
	w.Bits(uint64(h.numLit-257), 5)
	w.Bits(uint64(h.numDist-1), 5)
	w.Bits(uint64(h.numCodegen-4), 4)
	for _, sym := range codegenOrder[:h.numCodegen] {
		w.Bits(uint64(h.code.Len[sym]), 3)
	}
	for _, r := range h.runs[:h.numRuns] {
		sym := r & 0xff
		w.Bits(uint64(h.code.bits[sym]), uint(h.code.Len[sym]))
		switch sym {
		case 16:
			w.Bits(uint64(r>>8), 2)
		case 17:
			w.Bits(uint64(r>>8), 3)
		case 18:
			w.Bits(uint64(r>>8), 7)
		}
	}
}
