package gzipexact

// Values of a member header's OS byte (RFC 1952, section 2.3.1).
const (
	osFAT     = 0 // Java's up to release 15
	osUnix    = 3 // GNU gzip, pigz, zlib itself
	osUnknown = 255
)

// A family is the encoders that differ in nothing but the level.
type family struct {
	id    encoderID
	block int
}

// What the tools that make images use comes first.
var (
	goFamilies = []family{
		{goFlate, 0},
		{kp15Pgz, 1 << 20}, {kp18Pgz, 1 << 20}, {kp15Pgz, 256 << 10}, {kp18Pgz, 256 << 10},
		{kp18, 0}, {kp15, 0},
	}
	zlibFamilies = []family{{zlib8, 0}, {zlib9, 0}}
	unixFamilies = []family{{gnuGzip, 0}, {pigzMany, pigzBlock}, {pigzOne, pigzBlock}}
)

// candidates returns the encoders that may have written a stream that starts
// with a member header, in tiers, the likeliest first.
func candidates(header string) [][]encoderSpec {
	var order [][]family
	switch header[9] {
	case osUnix:
		order = [][]family{append(unixFamilies[:len(unixFamilies):len(unixFamilies)], zlibFamilies...), goFamilies}
	case osFAT:
		order = [][]family{zlibFamilies, goFamilies, unixFamilies}
	case osUnknown:
		order = [][]family{append(goFamilies[:len(goFamilies):len(goFamilies)], zlibFamilies[0]), zlibFamilies[1:], unixFamilies}
	default:
		order = [][]family{goFamilies, zlibFamilies, unixFamilies}
	}
	likely, rest := likelyLevels(header[8])
	var tiers [][]encoderSpec
	for _, families := range order {
		tiers = append(tiers, atLevels(families, likely), atLevels(families, rest))
	}
	return tiers
}

// likelyLevels returns the levels that an XFL byte speaks for, and the others:
// it is 2 for the slowest level, 4 for the fastest, and 0 for the rest or from
// a writer that does not set it.
func likelyLevels(xfl byte) (likely, rest []int) {
	switch xfl {
	case 2:
		return []int{9}, []int{6, 5, 8, 7, 4, 3, 2, 1, 0, -2}
	case 4:
		return []int{1}, []int{2, 3, 6, 5, 4, 7, 8, 9, 0, -2}
	}
	return []int{6, 5}, []int{1, 9, 4, 3, 2, 7, 8, 0, -2}
}

// atLevels returns all encoders of families that have one of the levels.
func atLevels(families []family, levels []int) []encoderSpec {
	var specs []encoderSpec
	for _, level := range levels {
		for _, f := range families {
			if s := (encoderSpec{f.id, level, f.block}); s.check() == nil {
				specs = append(specs, s)
			}
		}
	}
	return specs
}

// siblings returns the encoders of tiers that differ from one of specs in
// nothing but the level.
func siblings(tiers [][]encoderSpec, specs []encoderSpec) []encoderSpec {
	wanted := map[family]bool{}
	for _, s := range specs {
		wanted[family{s.id, s.block}] = true
	}
	var all []encoderSpec
	for _, tier := range tiers {
		for _, s := range tier {
			if wanted[family{s.id, s.block}] {
				all = append(all, s)
			}
		}
	}
	return all
}
