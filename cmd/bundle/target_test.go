package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestStanding counts what an earlier run has left: its volumes and parity.
func TestStanding(t *testing.T) {
	here := t.TempDir()
	for name, size := range map[string]int64{"bulk-1.000.vol": 1000, "bulk-1.p00.par": 200, "README.txt": 30, "else": 4} {
		path := filepath.Join(here, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(here, "bulk-1.001.vol"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := standing(here); got != 1200 {
		t.Errorf("%d bytes, want 1200", got)
	}
	if got := standing(filepath.Join(here, "not there")); got != 0 {
		t.Errorf("%d bytes where there is no folder", got)
	}
}
