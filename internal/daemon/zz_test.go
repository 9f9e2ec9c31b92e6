//go:build linux

package daemon

import (
	"os"
	"path/filepath"
	"fmt"
	"syscall"
	"testing"
	"time"

	"airlock/internal/progress"
	"airlock/internal/realtest"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip("scratch")
	}
	base := treeOf(t, "src")
	for _, kind := range []string{"gzip", "zstd", "plain"} {
		mk := map[string]func([]byte) layer{"gzip": func(d []byte) layer { return gzipLayer(t, d) }, "zstd": func(d []byte) layer { return zstdLayer(t, d, true) }, "plain": plainLayer}[kind]
		bl := mk(base)
		var images []named
		var names []string
		for _, top := range [][]byte{treeOf(t, "pkg"), treeOf(t, "bin", "lib"), treeOf(t, "test", "api")} {
			name := uniqueName(t, ":1")
			names = append(names, name)
			images = append(images, named{single(t, "linux/amd64", bl, mk(top)), []string{name}})
		}
		r := packed(t, images...)
		r.blobs = watch(r)
		for _, store := range []string{"classic", "containerd"} {
			start := realtest.Docker
			if store == "containerd" {
				start = realtest.DockerContainerd
			}
			d := start(t)
			e, err := Open(t.Context(), d.Host)
			must(t, err)
			saved := filepath.Join(t.TempDir(), "saved.tar")
			best := map[string]time.Duration{}
			cpus := map[string]time.Duration{}
			record := func(what string, f func()) {
				d.Clear()
				c := cpu()
				s := time.Now()
				f()
				took := time.Since(s)
				if b, ok := best[what]; !ok || took < b {
					best[what] = took
					cpus[what] = cpu() - c
				}
			}
			for range 6 {
				for _, n := range []int{1, 2, 3} {
					record(fmt.Sprint("airlock", n), func() {
						e.parallel = n
						p, err := e.plan(t.Context(), r)
						must(t, err)
						must(t, e.load(t.Context(), r, p, progress.Discard))
						must(t, e.check(t.Context(), r, p))
					})
				}
				if _, err := os.Stat(saved); err != nil {
					d.Run(append([]string{"save", "-o", saved}, names...)...)
				}
				record("docker", func() { d.Run("load", "-i", saved) })
			}
			fmt.Println(kind, store, best, cpus)
			d.Clear()
		}
	}
}
