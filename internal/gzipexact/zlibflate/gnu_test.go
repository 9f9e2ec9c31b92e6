package zlibflate

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"
)

func TestSameAsGNU(t *testing.T) {
	gzip := tool(t, "gzip")
	out, err := exec.Command(gzip, "--version").Output()
	if err != nil || !bytes.HasPrefix(out, []byte("gzip 1.")) {
		t.Skipf("%s is not GNU gzip: %v", gzip, err)
	}
	const frame = 10 + 8 // header and trailer
	all := contents(10)
	for level := 1; level <= 9; level++ {
		e, err := NewEncoder(nil, GNU, level)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range all {
			if level > 6 && (len(p) > 300_001 || i%3 != level%3) || underRace && i%27 != level-1 {
				continue
			}
			cmd := exec.Command(gzip, "-n", fmt.Sprintf("-%d", level))
			cmd.Stdin = bytes.NewReader(p)
			want, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			same(t, encode(t, e, p, false), want[frame-8:len(want)-8],
				fmt.Sprintf("level %d, content %d of %d bytes", level, i, len(p)))
		}
	}
}
