package transfer

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkDir compares a durable file with a plain write and one fsync.
func BenchmarkDir(b *testing.B) {
	const size = 512 << 20
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	b.Run("plain", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "x")
		b.SetBytes(size)
		for b.Loop() {
			os.Remove(path)
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			for range size / len(chunk) {
				if _, err := f.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	b.Run("Create", func(b *testing.B) {
		d, err := NewDir(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
		for b.Loop() {
			f, err := d.Create("x")
			if err != nil {
				b.Fatal(err)
			}
			for range size / len(chunk) {
				if _, err := f.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
