package volume

// The field is GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), with x as
// its generator: sums are exclusive-ors.

// field is the powers of x and the logarithms to that base.
type field struct {
	exp [510]byte
	log [256]int
}

var gf = newField()

func newField() *field {
	f := &field{}
	x := 1
	for i := range 255 {
		f.exp[i], f.exp[i+255] = byte(x), byte(x)
		f.log[x] = i
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return f
}

func (f *field) mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return f.exp[f.log[a]+f.log[b]]
}

// inverse returns 1/a for a that is not zero.
func (f *field) inverse(a byte) byte { return f.exp[255-f.log[a]] }

// coefficient is what data block column counts in parity block row of a stripe
// of so many data blocks: an element of a Cauchy matrix, of which every square
// part can be inverted. So any lost blocks up to the number of parity blocks
// that are left can be solved for.
func coefficient(data, row, column int) byte { return gf.inverse(byte((data + row) ^ column)) }

// invert inverts a square matrix in place of which every leading part can be
// inverted, as is so of every part of a Cauchy matrix (Gauss and Jordan, no
// pivoting needed).
func invert(m [][]byte) {
	for i := range m {
		pivot := gf.inverse(m[i][i])
		m[i][i] = 1
		for j := range m[i] {
			m[i][j] = gf.mul(m[i][j], pivot)
		}
		for k := range m {
			factor := m[k][i]
			if k == i || factor == 0 {
				continue
			}
			m[k][i] = 0
			for j := range m[k] {
				m[k][j] ^= gf.mul(factor, m[i][j])
			}
		}
	}
}
