package deflate

// SetLengths makes c the canonical code whose first n symbols have the lengths
// already in Len.
func (c *Code) SetLengths(n int) { c.assign(n) }

// StoredBlock writes p, at most MaxStored bytes, as a stored block that may be
// the last.
func (w *Writer) StoredBlock(p []byte, last bool) {
	var bit uint64
	if last {
		bit = 1
	}
	w.storedHeader(len(p), bit)
	w.drain()
	if w.err == nil {
		_, w.err = w.dst.Write(p)
	}
}

// Align pads to a whole byte with zero bits.
func (w *Writer) Align() { w.align() }

// Pending returns how many bits of the last byte are in use, 0 to 7, where 0
// says that it is whole.
func (w *Writer) Pending() uint { return w.n }

// CodegenOrder returns the symbol whose length is sent as the i-th of the code
// length code (RFC 1951, section 3.2.7).
func CodegenOrder(i int) int { return int(codegenOrder[i]) }

// Distance returns the symbol of a match's distance.
func (t Token) Distance() int { return int(t.distance()) }
