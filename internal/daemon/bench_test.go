//go:build linux

package daemon

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/progress"
	"airlock/internal/realtest"
)

// treeOf returns a tar of some folders of the Go installation: many small
// files and a few large ones, as images have.
func treeOf(t testing.TB, folders ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, folder := range folders {
		must(t, w.AddFS(os.DirFS(filepath.Join(runtime.GOROOT(), folder))))
	}
	must(t, w.Close())
	return b.Bytes()
}

// BenchmarkLoad loads three images on one base, and for comparison what docker
// save makes of them with docker load.
func BenchmarkLoad(b *testing.B) {
	base := treeOf(b, "src")
	gz, zst, plain := gzipLayer(b, base), zstdLayer(b, base, true), plainLayer(base)
	_ = plain
	for _, kind := range []struct {
		name string
		make func([]byte) layer
		base layer
	}{
		{"gzip", func(d []byte) layer { return gzipLayer(b, d) }, gz},
		{"zstd", func(d []byte) layer { return zstdLayer(b, d, true) }, zst},
	} {
		tops := [][]byte{treeOf(b, "pkg"), treeOf(b, "bin", "lib"), treeOf(b, "test", "api")}
		var images []named
		var names []string
		for i, top := range tops {
			name := uniqueName(b, ":1")
			names = append(names, name)
			images = append(images, named{single(b, "linux/amd64", kind.base, kind.make(top)), []string{name}})
			_ = i
		}
		r := packed(b, images...)
		for store, start := range map[string]func(testing.TB, ...realtest.EngineOption) *realtest.DockerDaemon{
			"classic": realtest.Docker, "containerd": realtest.DockerContainerd,
		} {
			b.Run(kind.name+"/"+store, func(b *testing.B) { compare(b, start(b), r, names) })
		}
	}
}

func compare(b *testing.B, d *realtest.DockerDaemon, r *release, names []string) {
	e, err := Open(b.Context(), d.Host)
	must(b, err)
	defer e.Close()
	saved := filepath.Join(b.TempDir(), "saved.tar")
	w := watch(r)
	defer func() { r.blobs = w.blobs }()
	run := func(b *testing.B) *load.Plan {
		p, err := e.plan(b.Context(), r)
		must(b, err)
		must(b, e.load(b.Context(), r, p, progress.Discard))
		must(b, e.check(b.Context(), r, p))
		return p
	}
	b.Run("airlock", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			d.Clear()
			b.StartTimer()
			run(b)
		}
	})
	b.Run("again", func(b *testing.B) {
		for range b.N {
			run(b)
		}
	})
	d.Run(append([]string{"save", "-o", saved}, names...)...)
	b.Run("docker-load", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			d.Clear()
			b.StartTimer()
			d.Run("load", "-i", saved)
		}
	})
	_ = slices.Clone[[]string]
	_ = bundletest.Created
}
