package twosum

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func check(t *testing.T, pieces [][]byte) {
	t.Helper()
	var h Hash
	for i, p := range pieces {
		if got, want := h.Append(p), sha256.Sum256(p); got != want {
			t.Fatalf("piece %d of %d bytes: %x, want %x", i, len(p), got, want)
		}
		if got, want := h.Sum(), sha256.Sum256(bytes.Join(pieces[:i+1], nil)); got != want {
			t.Fatalf("pieces to %d: %x, want %x", i, got, want)
		}
	}
}

// Every length of the last piece around the borders of padding, behind whole
// ones of several lengths.
func TestAgreesWithTheStandardLibrary(t *testing.T) {
	if !fast {
		t.Log("this processor has no SHA extensions: only the slow way is tested")
	}
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 4096)
	random.Read(data)
	for n := range 300 {
		check(t, [][]byte{data[:n]})
		check(t, [][]byte{data[:64], data[64:1024], data[1024 : 1024+n]})
		check(t, [][]byte{data[1 : 1+2048], {}, data[:n]})
	}
}

// TestExtend holds that a piece is added if its own hash is right, and leaves
// nothing behind if not.
func TestExtend(t *testing.T) {
	random := rand.NewChaCha8([32]byte{2})
	data := make([]byte, 1024)
	random.Read(data)
	for n := range 200 {
		var h Hash
		for _, piece := range [][]byte{data[:64], data[64:256], data[256 : 256+n]} {
			own, before := sha256.Sum256(piece), h.Sum()
			wrong := own
			wrong[31] ^= 1
			if h.Extend(piece, wrong) || h.Sum() != before {
				t.Fatalf("%d bytes with another hash were added", len(piece))
			}
			if !h.Extend(piece, own) {
				t.Fatalf("%d bytes were not added", len(piece))
			}
		}
		if h.Sum() != sha256.Sum256(data[:256+n]) {
			t.Fatalf("%d bytes have another hash", 256+n)
		}
	}
}

// TestAppendTo has two runs that begin at different pieces.
func TestAppendTo(t *testing.T) {
	data := make([]byte, 4096)
	rand.NewChaCha8([32]byte{4}).Read(data)
	for n := range 300 {
		var long, short Hash
		long.Append(data[:1024])
		for _, piece := range [][]byte{data[1024:1088], data[1088:2048], data[2048:2048], data[2048 : 2048+n]} {
			if got := long.AppendTo(&short, piece); got != sha256.Sum256(piece) {
				t.Fatalf("%d bytes: %x", len(piece), got)
			}
		}
		var third, fourth Hash
		fourth.Write(data[:64])
		for _, piece := range [][]byte{data[64:128], data[128:128], data[128 : 128+n]} {
			third.WriteBoth(&fourth, piece)
		}
		if third.Sum() != sha256.Sum256(data[64:128+n]) || fourth.Sum() != sha256.Sum256(data[:128+n]) {
			t.Fatalf("%d bytes, to both, have other hashes", 128+n)
		}
		if long.Sum() != sha256.Sum256(data[:2048+n]) || short.Sum() != sha256.Sum256(data[1024:2048+n]) {
			t.Fatalf("%d bytes have other hashes", 2048+n)
		}
	}
}

func TestWrite(t *testing.T) {
	data := make([]byte, 1024)
	rand.NewChaCha8([32]byte{3}).Read(data)
	for n := range 200 {
		var h Hash
		h.Write(data[:128])
		h.Append(data[128:192])
		if got, err := h.Write(data[192 : 192+n]); got != n || err != nil || h.Sum() != sha256.Sum256(data[:192+n]) {
			t.Fatalf("%d bytes: %d, %v", 192+n, got, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	var h Hash
	if h.Sum() != sha256.Sum256(nil) {
		t.Error("the hash of nothing is wrong")
	}
	if h.Append(nil) != sha256.Sum256(nil) || h.Sum() != sha256.Sum256(nil) {
		t.Error("the hash of an empty piece is wrong")
	}
}

func TestPieceAfterTheLast(t *testing.T) {
	if !fast {
		t.Skip("this processor has no SHA extensions")
	}
	defer func() {
		if recover() == nil {
			t.Error("a piece after one of 65 bytes was taken")
		}
	}()
	var h Hash
	h.Append(make([]byte, 65))
	h.Append(make([]byte, 64))
}

func FuzzAgreesWithTheStandardLibrary(f *testing.F) {
	f.Add([]byte("abc"), uint16(0))
	f.Add(bytes.Repeat([]byte{0xff}, 200), uint16(2))
	f.Fuzz(func(t *testing.T, data []byte, blocks uint16) {
		cut := min(int(blocks)*BlockSize, len(data)/BlockSize*BlockSize)
		check(t, [][]byte{data[:cut], data[cut:]})
	})
}

func BenchmarkAppend(b *testing.B) {
	piece := make([]byte, 1<<20)
	b.SetBytes(int64(len(piece)))
	var h Hash
	for b.Loop() {
		h.Append(piece)
	}
}

func BenchmarkAppendTo(b *testing.B) {
	piece := make([]byte, 1<<20)
	b.SetBytes(int64(len(piece)))
	var h, other Hash
	for b.Loop() {
		h.AppendTo(&other, piece)
	}
}

// BenchmarkOneHash is what one of the two costs.
func BenchmarkOneHash(b *testing.B) {
	piece := make([]byte, 1<<20)
	b.SetBytes(int64(len(piece)))
	for b.Loop() {
		sha256.Sum256(piece)
	}
}
