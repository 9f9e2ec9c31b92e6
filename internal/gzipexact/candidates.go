package gzipexact

// candidates returns the encoders that may have written a stream that starts
// with a member header, in tiers, the likeliest first: what the tools that
// make images use, then all the others.
func candidates(header string) [][]encoderSpec {
	// XFL (RFC 1952, section 2.3.1) is 2 for the slowest level, 4 for the
	// fastest, and 0 for the others or from a writer that does not set it.
	switch header[8] {
	case 2:
		return [][]encoderSpec{atLevel(9)}
	case 4:
		return [][]encoderSpec{atLevel(1)}
	}
	// A tier has all encoders of a level: some agree over much more than the
	// prefix that decides about tiers.
	first := append(atLevel(6), atLevel(5)...)
	var others []encoderSpec
	for _, level := range []int{1, 9, 4, 3, 2, 7, 8, 0, -2} {
		others = append(others, atLevel(level)...)
	}
	return [][]encoderSpec{first, others}
}

// atLevel returns the encoders that have a level.
func atLevel(level int) []encoderSpec {
	var specs []encoderSpec
	for _, s := range []encoderSpec{
		{goFlate, level, 0},
		{kp15Pgz, level, 1 << 20}, {kp18Pgz, level, 1 << 20},
		{kp15Pgz, level, 256 << 10}, {kp18Pgz, level, 256 << 10},
		{kp18, level, 0}, {kp15, level, 0},
	} {
		if s.check() == nil {
			specs = append(specs, s)
		}
	}
	return specs
}
