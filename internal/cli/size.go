package cli

import (
	"fmt"
	"strconv"
	"strings"
)

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

// ParseSize reads a number of bytes: 700MB, 4GiB, 4G (binary, as dd and split
// take it) or plain bytes.
func ParseSize(s string) (int64, error) {
	number, factor := s, int64(1)
	for _, unit := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, unit.suffix); ok {
			number, factor = rest, unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/factor {
		return 0, Usagef("size %q: want a number of bytes such as 4GiB, 700MB or 1048576", s)
	}
	return n * factor, nil
}

// ParseRate reads a number of bytes a second: 10MB/s, or a size alone.
func ParseRate(s string) (int64, error) { return ParseSize(strings.TrimSuffix(s, "/s")) }

// Count returns "1 volume", "2 volumes".
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
