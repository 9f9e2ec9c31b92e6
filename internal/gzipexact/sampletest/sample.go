// Package sampletest makes the content that the encoders' tests run on. It is
// the same for ever: golden hashes of what encoders make of it are in the
// repository.
package sampletest

import "bytes"

// A Rand is the splitmix64 generator (Steele, Lea and Flood, 2014).
type Rand uint64

// Next returns the next number.
func (r *Rand) Next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// N returns a number below n.
func (r *Rand) N(n int) int { return int(r.Next() % uint64(n)) }

// Mixed returns n bytes of runs, noise, letters, records and copies of what
// came before, in changing proportions.
func Mixed(seed uint64, n int) []byte {
	r := Rand(seed)
	p := make([]byte, 0, n+1000)
	mode := r.N(8)
	for len(p) < n {
		if r.N(2000) == 0 {
			mode = r.N(8)
		}
		k := 1 + r.N(600)
		switch m := r.N(6); {
		case m == 0 && mode < 4:
			p = append(p, bytes.Repeat([]byte{byte(r.N(3))}, k)...)
		case m == 1 || mode == 7:
			for range k {
				p = append(p, byte(r.Next()))
			}
		case m == 2 || mode == 6:
			for range k {
				p = append(p, "etaoin shrdlu\n"[r.N(14)])
			}
		case m == 5:
			for range k / 8 {
				p = append(p, 0, 0, byte(r.N(4)), 0, byte(r.Next()), 0x48, 0x8b, byte(r.N(16)))
			}
		case len(p) > 0:
			from := len(p) - 1 - r.N(min(len(p), 1<<r.N(18)))
			for i := range k {
				p = append(p, p[from+i])
			}
		}
	}
	return p[:n]
}

// All returns contents of all sizes at which an encoder may change its mind,
// and a few larger ones.
func All() [][]byte {
	var all [][]byte
	sizes := []int{
		0, 1, 2, 3, 4, 5, 7, 8, 12, 13, 15, 16, 17, 18, 31, 32, 33, 127, 128, 129, 257, 258, 259, 262, 270,
		1000, 16383, 16384, 16385, 32767, 32768, 32769, 65273, 65274, 65275, 65276, 65534, 65535, 65536, 65537,
		98304, 131070, 131071, 131072, 196608, 262143, 262144, 262145, 262146, 300000,
	}
	for i, n := range sizes {
		all = append(all, Mixed(uint64(i), n))
	}
	noise := make([]byte, 200000)
	r := Rand(7)
	for i := range noise {
		noise[i] = byte(r.Next())
	}
	for at := 65273; at <= 65276; at++ {
		all = append(all, farMatch(noise, at), farMatch(noise, at+32768))
	}
	return append(all,
		make([]byte, 70), make([]byte, 400000), noise,
		bytes.Repeat([]byte("abcd"), 30000), bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), 10000),
		bytes.Repeat(noise[:32768], 4), bytes.Repeat(noise[:32769], 4), bytes.Repeat(noise[:32506], 6),
		Mixed(100, 1<<20), Mixed(101, 1<<20+1), Mixed(102, 3_300_000),
	)
}

// farMatch returns noise with a copy from 32700 bytes away at a position. It is
// for encoders whose reach depends on the position.
func farMatch(noise []byte, at int) []byte {
	p := bytes.Clone(noise[:140000])
	copy(p[at:at+20], p[at-32700:])
	return p
}
