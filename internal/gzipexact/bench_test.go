package gzipexact

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
)

// BenchmarkRebuild measures content bytes a second on real files; the
// toolchain's encoder is there to compare with.
func BenchmarkRebuild(b *testing.B) {
	p := sourceTree(b)
	for _, s := range []encoderSpec{
		{goFlate, 6, 0}, {goFlate, 1, 0}, {goFlate, 9, 0},
		{kp18, 6, 0}, {kp15Pgz, 5, 1 << 20}, {kp18Pgz, 5, 1 << 20},
		{zlib8, 6, 0}, {zlib8, 9, 0}, {gnuGzip, 6, 0}, {pigzMany, 6, pigzBlock}, {pigzOne, 6, pigzBlock},
	} {
		for _, workers := range []int{1, 2} {
			r := Recipe{
				encoder: s, headers: []string{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"},
				members: []member{{size: int64(len(p)), flushed: s.alwaysFlushed()}},
			}
			b.Run(fmt.Sprintf("%s/workers=%d", s, workers), func(b *testing.B) {
				b.SetBytes(int64(len(p)))
				for b.Loop() {
					if err := RebuildParallel(io.Discard, r, bytes.NewReader(p), workers); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for _, level := range []int{6, 1, 9} {
		b.Run(fmt.Sprintf("toolchain level %d", level), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				w, err := gzip.NewWriterLevel(io.Discard, level)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAnalyze(b *testing.B) {
	p := sourceTree(b)
	blob := gzipped(b, p, 6, false)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, err := Analyze(bytes.NewReader(blob), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
