//go:build linux

package layout

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/realtest"
	"airlock/internal/tarfs"
)

func TestMain(m *testing.M) { realtest.Main(m) }

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// What skopeo writes, as a folder and as an archive, is read.
func TestSkopeoWrites(t *testing.T) {
	skopeo := realtest.Tool(t, "skopeo")
	image, dir := randomImage(t, 20000, 3), t.TempDir()
	path, err := ggcr.Write(filepath.Join(dir, "made"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	for place, reference := range map[string]string{"oci:" + dir + "/copy:registry.example/a/b:7": "registry.example/a/b:7", "oci-archive:" + dir + "/copy.tar:7": "7"} {
		run(t, skopeo, "--insecure-policy", "copy", "oci:"+dir+"/made", place)
		want := run(t, skopeo, "inspect", "--format", "{{.Digest}}", place)
		s := openPlace(t, place, reference)
		root := must[oci.Descriptor](t)(s.Resolve(t.Context()))
		if root.Digest.String() != want {
			t.Errorf("%s: %s, skopeo says %s", place, root.Digest, want)
		}
		closure := must[*oci.Closure](t)(oci.Walk(t.Context(), root, s.Document))
		layers := must[[]v1.Layer](t)(image.Layers())
		if len(closure.Nodes[0].Doc.Layers) != len(layers) {
			t.Errorf("%s: %d layers, want %d", place, len(closure.Nodes[0].Doc.Layers), len(layers))
		}
	}
}

func openPlace(t *testing.T, place, reference string) *Source {
	t.Helper()
	kind, rest, _ := strings.Cut(place, ":")
	path, _, _ := strings.Cut(rest, ":")
	if kind == "oci" {
		return openDir(t, path, reference)
	}
	f := must[*os.File](t)(os.Open(path))
	t.Cleanup(func() { f.Close() })
	info := must[os.FileInfo](t)(f.Stat())
	return must[*Source](t)(Open(must[*tarfs.FS](t)(tarfs.New(f, info.Size())), reference))
}

// What is loaded is read by skopeo under the full name, index, platforms,
// signature and all.
func TestSkopeoReads(t *testing.T) {
	skopeo := realtest.Tool(t, "skopeo")
	source, dir := signed(t), filepath.Join(t.TempDir(), "out")
	loaded(t, dir, opened(t, source))
	place := "oci:" + dir + ":registry.example/app/0:1.0"
	raw := run(t, skopeo, "inspect", "--raw", place)
	if string(source.All()[source.Root().Digest]) != raw {
		t.Errorf("skopeo reads %q", raw)
	}
	to := filepath.Join(t.TempDir(), "copy")
	run(t, skopeo, "--insecure-policy", "copy", "--override-os", "linux", "--override-arch", "arm64", place, "dir:"+to)
	copied := must[[]byte](t)(os.ReadFile(filepath.Join(to, "manifest.json")))
	if _, ok := source.All()[manifest.DigestOf(copied)]; !ok {
		t.Errorf("skopeo copies %q", copied)
	}
	sig := "oci:" + dir + ":registry.example/app/0:" + tagOf(source.Root().Digest) + ".sig"
	run(t, skopeo, "--insecure-policy", "copy", sig, "dir:"+filepath.Join(t.TempDir(), "sig"))
}

// A tar file of the layout is imported under the full name.
func TestContainerdImports(t *testing.T) {
	ctr, tar := realtest.Tool(t, "ctr"), realtest.Tool(t, "tar")
	engine := realtest.DockerContainerd(t)
	source, dir := bundletest.FromImage(t, randomImage(t, 5000, 2)), filepath.Join(t.TempDir(), "out")
	release := bundletest.Release(source)
	release.Images[0].Names = []string{"registry.example/layout/import:1"}
	loaded(t, dir, openedAs(t, release))
	file := filepath.Join(t.TempDir(), "out.tar")
	run(t, tar, "cf", file, "-C", dir, ".")
	run(t, ctr, "--address", engine.Containerd, "--namespace", "layout", "images", "import", "--no-unpack", file)
	list := run(t, ctr, "--address", engine.Containerd, "--namespace", "layout", "images", "ls")
	line := slices.IndexFunc(strings.Split(list, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "registry.example/layout/import:1 ") && strings.Contains(line, source.Root().Digest.String())
	})
	if line < 0 {
		t.Errorf("containerd has\n%s", list)
	}
	engine.Run("load", "-i", file)
	if got := engine.Run("image", "inspect", "-f", "{{.Id}}", "registry.example/layout/import:1"); got != source.Root().Digest.String() {
		t.Errorf("docker shows %s, want %s", got, source.Root().Digest)
	}
}
