package human_test

import (
	"math"
	"testing"

	"airlock/internal/human"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1 << 20: "1.0 MB", 96236032: "96.2 MB", 4 << 30: "4.3 GB", math.MaxInt64: "9.2 EB",
	} {
		if got := human.Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
