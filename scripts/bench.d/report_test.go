//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRatioIsTakenRoundByRound(t *testing.T) {
	seconds := func(all ...int) (rounds []usage) {
		for _, s := range all {
			rounds = append(rounds, usage{wall: time.Duration(s) * time.Second})
		}
		return rounds
	}
	// The machine was busy in the second round: both took ten times as long.
	r := &result{took: map[string][]usage{"ours": seconds(2, 30, 4), "theirs": seconds(1, 10, 2)}}
	if got := r.median("ours", wall); got != 4 {
		t.Errorf("the median is %v s, want 4", got)
	}
	if got := r.ratio("ours", "theirs", wall); got != 2 {
		t.Errorf("the ratio is %v, want 2", got)
	}
	if got := median([]float64{4, 1}); got != 2.5 {
		t.Errorf("the median of two is %v, want 2.5", got)
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	report{&out}.table([]string{"", "wall s"}, [][]string{{"save | zstd", "1.25"}, {"×", "10.00"}})
	want := `
|              | wall s |
| ------------ | -----: |
| save \| zstd |   1.25 |
| ×            |  10.00 |
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestBarsSayWhatWasNotMet(t *testing.T) {
	var out strings.Builder
	report{&out}.bars(bar{"time", 1.2, 1.3, ""}, bar{"memory", 300, 256, " MiB"})
	want := "\n- time: 1.2 (bar 1.3): met\n- memory: 300 MiB (bar 256 MiB): **not met**\n"
	if got := out.String(); got != want {
		t.Errorf("got %q", got)
	}
	if (bar{value: nan, limit: 1}).met() {
		t.Error("a figure that is missing meets its bar")
	}
}

func TestMeterSeesPipedCommands(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	m := &meter{}
	err := m.pipe(t.Context(),
		command{args: []string{"sh", "-c", "head -c 100000000 /dev/zero"}},
		command{args: []string{"sh", "-c", "wc -c; sleep 0.1"}, out: out})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil || strings.TrimSpace(string(text)) != "100000000" {
		t.Errorf("the last command wrote %q, %v", text, err)
	}
	if m.cpu <= 0 || m.peak < 1<<18 {
		t.Errorf("processor time %v, peak %d bytes", m.cpu, m.peak)
	}
	err = m.pipe(t.Context(), command{args: []string{"sh", "-c", "echo why >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a command that fails: %v", err)
	}
}

func TestSets(t *testing.T) {
	layer, config := blob{Digest: "a", Size: 10, Raw: 30, Layer: true}, blob{Digest: "c", Size: 1}
	old := image{Name: "x/web:v1", Blobs: []blob{layer, config}}
	next := image{Name: "x/web:v2", Blobs: []blob{layer, {Digest: "b", Size: 5, Layer: true}, config}}
	size, raw := weigh(unique([]image{old, next}))
	if size != 16 || raw != 30 {
		t.Errorf("the images have %d and %d bytes", size, raw)
	}
	if size, _ := weigh(layers(without(unique([]image{next}), unique([]image{old})))); size != 5 {
		t.Errorf("the new layers have %d bytes", size)
	}
	other := image{Name: "x/webserver:v1"}
	got := replaced([]image{other, old}, []image{next})
	if len(got) != 2 || got[0].Name != other.Name || got[1].Name != next.Name {
		t.Errorf("replaced: %+v", got)
	}
	if got := only([]image{other, old}, "x/web"); len(got) != 1 || got[0].Name != old.Name {
		t.Errorf("only: %+v", got)
	}
}
