package deflate

// Both are built once, and not changed.
var fixedLit, fixedDist = fixedTables()

func fixedTables() (lit *litTable, dist *distTable) {
	lit, dist = new(litTable), new(distTable)
	code := FixedLitLen()
	lengths := append(code.Len[:], 8, 8) // two symbols that never occur
	codeTable{lit[:], litBits, litEntry}.build(lengths)
	var five [32]uint8
	for i := range five {
		five[i] = 5
	}
	codeTable{dist[:], distBits, distEntry}.build(five[:])
	return lit, dist
}

// fixedCodes makes the codes of RFC 1951, section 3.2.6, those of the block.
func (r *Reader) fixedCodes() { r.lit, r.dist = fixedLit, fixedDist }

// dynamicCodes reads the codes of a block (RFC 1951, section 3.2.7).
func (r *Reader) dynamicCodes() error {
	var n [3]int
	for i, f := range []struct {
		bits  uint
		least int
	}{{5, 257}, {5, 1}, {4, 4}} {
		v, err := r.bits(f.bits)
		if err != nil {
			return err
		}
		n[i] = v + f.least
	}
	if n[0] > MaxLitLen {
		return ErrCorrupt
	}
	if err := r.lengthsCode(n[2]); err != nil {
		return err
	}
	if err := r.readLengths(n[0] + n[1]); err != nil {
		return err
	}
	lengths := r.lengths[:n[0]+n[1]]
	r.lit, r.dist = &r.ownLit, &r.ownDist
	if lengths[EndBlock] == 0 ||
		!(codeTable{r.lit[:], litBits, litEntry}).build(lengths[:n[0]]) ||
		!(codeTable{r.dist[:], distBits, distEntry}).build(lengths[n[0]:]) {
		return ErrCorrupt
	}
	return nil
}

// lengthsCode reads the code that the lengths are sent in into ownDist, which
// is not yet needed.
func (r *Reader) lengthsCode(n int) error {
	var lengths [19]uint8
	for _, sym := range codegenOrder[:n] {
		v, err := r.bits(3)
		if err != nil {
			return err
		}
		lengths[sym] = uint8(v)
	}
	own := func(sym int) entry { return literalEntry | entry(sym)<<16 }
	if !(codeTable{r.ownDist[:], distBits, own}).build(lengths[:]) {
		return ErrCorrupt
	}
	return nil
}

// readLengths reads n lengths.
func (r *Reader) readLengths(n int) error {
	for i := 0; i < n; {
		e, err := r.symbol(r.ownDist.lookup)
		if err != nil {
			return err
		}
		sym := e.value()
		if sym < 16 {
			r.lengths[i] = sym
			i++
			continue
		}
		if sym == 16 && i == 0 {
			return ErrCorrupt
		}
		v, err := r.bits([]uint{2, 3, 7}[sym-16])
		if err != nil {
			return err
		}
		times, length := v+3, uint8(0)
		switch sym {
		case 16:
			length = r.lengths[i-1]
		case 18:
			times += 8
		}
		if times > n-i {
			return ErrCorrupt
		}
		for range times {
			r.lengths[i] = length
			i++
		}
	}
	return nil
}
