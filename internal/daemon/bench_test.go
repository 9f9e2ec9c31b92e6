//go:build linux

package daemon

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/progress"
	"airlock/internal/realtest"
)

// treeOf returns a tar of folders of the Go installation: many small files and
// a few large ones, as images have.
func treeOf(t testing.TB, folders ...string) []byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, folder := range folders {
		must(t, w.AddFS(os.DirFS(filepath.Join(strings.TrimSpace(string(root)), folder))))
	}
	must(t, w.Close())
	return b.Bytes()
}

// BenchmarkLoad loads three images on one base, loads them again, and, for
// comparison, has docker load take what docker save makes of them.
func BenchmarkLoad(b *testing.B) {
	for packing, pack := range map[string]func([]byte) layer{
		"gzip":  func(d []byte) layer { return gzipLayer(b, d) },
		"zstd":  func(d []byte) layer { return zstdLayer(b, d, true) },
		"plain": plainLayer,
	} {
		var images []named
		base := pack(treeOf(b, "src"))
		for _, top := range [][]byte{treeOf(b, "pkg"), treeOf(b, "bin", "lib"), treeOf(b, "test", "api")} {
			images = append(images, named{single(b, "linux/amd64", base, pack(top)), []string{uniqueName(b, ":1")}})
		}
		r := packed(b, images...)
		b.Run(packing+"/classic", func(b *testing.B) { compare(b, realtest.Docker(b), r) })
		b.Run(packing+"/containerd", func(b *testing.B) { compare(b, realtest.DockerContainerd(b), r) })
	}
}

func compare(b *testing.B, d *realtest.DockerDaemon, r *release) {
	e, err := Open(b.Context(), d.Host)
	must(b, err)
	defer e.Close()
	run := func() {
		p, err := e.plan(b.Context(), r)
		must(b, err)
		must(b, e.load(b.Context(), r, p, progress.Discard))
		must(b, e.check(b.Context(), r, p))
	}
	cleared := func(b *testing.B, f func()) {
		for range b.N {
			b.StopTimer()
			d.Clear()
			b.StartTimer()
			f()
		}
	}
	b.Run("load", func(b *testing.B) { cleared(b, run) })
	b.Run("again", func(b *testing.B) {
		for range b.N {
			run()
		}
	})
	saved := filepath.Join(b.TempDir(), "saved.tar")
	save := []string{"save", "-o", saved}
	for _, image := range r.images {
		save = append(save, image.Names...)
	}
	d.Run(save...)
	b.Run("docker-load", func(b *testing.B) { cleared(b, func() { d.Run("load", "-i", saved) }) })
}
