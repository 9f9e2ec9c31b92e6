//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	maxMemory  = 256 << 20 // bytes, as promised
	heavyLayer = 512 << 20
	heavy      = 8 * heavyLayer // bytes of the release
)

// TestMemory carries 4 GiB of incompressible layers and watches the peak of
// both commands' memory.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: moves 4 GiB")
	}
	origin, sink, d := newOrigin(t, heavy/heavyLayer, heavyLayer), newSink(t), newDesk(t)
	begun := time.Now()
	peak := measure(t, d.command("bundle", "create", origin.ref(), "-o", "usb", "--key", "key", "--as", "ana", "--quiet"))
	t.Logf("create: %d MiB in %s, peak %d MiB", heavy>>20, time.Since(begun).Round(time.Second), peak>>20)
	if peak > maxMemory {
		t.Errorf("create takes %d bytes of memory, at most %d are allowed", peak, maxMemory)
	}
	begun = time.Now()
	peak = measure(t, d.command("bundle", "create", origin.ref(), "-o", "-", "--parity", "5%", "--key", "key", "--as", "ana", "--quiet"))
	t.Logf("create with parity: %d MiB in %s, peak %d MiB", heavy>>20, time.Since(begun).Round(time.Second), peak>>20)
	if peak > maxMemory {
		t.Errorf("create with parity takes %d bytes of memory, at most %d are allowed", peak, maxMemory)
	}
	begun = time.Now()
	peak = measure(t, d.command("unbundle", load("usb", "registry://"+sink.host+"/far")...))
	t.Logf("load: %d MiB in %s, peak %d MiB", heavy>>20, time.Since(begun).Round(time.Second), peak>>20)
	if peak > maxMemory {
		t.Errorf("load takes %d bytes of memory, at most %d are allowed", peak, maxMemory)
	}
	if !sink.arrived("1", origin.digest()) {
		t.Error("the image has not arrived")
	}
}

// measure runs a command and returns the most bytes it had resident. What
// wait4(2) tells would include this process's own at the moment of the fork.
func measure(t *testing.T, cmd *exec.Cmd) int64 {
	t.Helper()
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var peak int64
	for {
		select {
		case err := <-done:
			must(t, err)
			if peak == 0 {
				t.Fatal("no measurement was taken")
			}
			return peak
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

// highWater returns VmHWM of a process (proc(5)), or 0 if it has ended.
func highWater(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if !ok {
		return 0
	}
	fmt.Sscan(rest, &kib)
	return kib << 10
}
