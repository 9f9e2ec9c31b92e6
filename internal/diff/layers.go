package diff

// paired is a layer in both images, or in one of them.
type paired struct {
	from, to *layer
	same     bool
}

// maxTable is how many pairs of layers are weighed at most; with more of them
// only those at the same end of both images are found to be the same.
const maxTable = 1 << 20

// align finds which layer of to takes the place of which one of from: those
// that are the same, in order; between them those that the same step of a
// build made; between them one after the other.
func align(from, to *unit) []paired {
	byDiffID := from.diffIDs && to.diffIDs
	same := func(a, b *layer) bool { return a.Digest == b.Digest || byDiffID && a.diffID == b.diffID }
	step := func(a, b *layer) bool { return a.createdBy != "" && a.createdBy == b.createdBy }
	var all []paired
	split(from.layers, to.layers, same, func(a, b []layer) {
		split(a, b, step, func(a, b []layer) { all = append(all, inOrder(a, b)...) },
			func(a, b *layer) { all = append(all, paired{from: a, to: b}) })
	}, func(a, b *layer) { all = append(all, paired{a, b, true}) })
	return all
}

// inOrder pairs layers by their places.
func inOrder(a, b []layer) []paired {
	var all []paired
	for i := range max(len(a), len(b)) {
		var p paired
		if i < len(a) {
			p.from = &a[i]
		}
		if i < len(b) {
			p.to = &b[i]
		}
		all = append(all, p)
	}
	return all
}

// split goes through a and b in order, and calls pair for those that a longest
// common subsequence takes for equal, and gap for what lies between them.
func split(a, b []layer, equal func(a, b *layer) bool, gap func(a, b []layer), pair func(a, b *layer)) {
	first := 0
	for first < min(len(a), len(b)) && equal(&a[first], &b[first]) {
		pair(&a[first], &b[first])
		first++
	}
	a, b = a[first:], b[first:]
	i, j := 0, 0
	for _, p := range common(a, b, equal) {
		gap(a[i:p[0]], b[j:p[1]])
		pair(&a[p[0]], &b[p[1]])
		i, j = p[0]+1, p[1]+1
	}
	gap(a[i:], b[j:])
}

// common returns the pairs of a longest common subsequence.
func common(a, b []layer, equal func(a, b *layer) bool) [][2]int {
	if len(a)*len(b) > maxTable {
		return nil
	}
	// best[i][j] is how many pairs a[i:] and b[j:] have.
	best := make([][]int32, len(a)+1)
	for i := range best {
		best[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if equal(&a[i], &b[j]) {
				best[i][j] = max(best[i][j], best[i+1][j+1]+1)
			}
		}
	}
	var pairs [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case equal(&a[i], &b[j]) && best[i][j] == best[i+1][j+1]+1:
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case best[i+1][j] >= best[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}
