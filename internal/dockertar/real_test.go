//go:build linux

package dockertar

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airlock/internal/realtest"
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

// craneArchive writes an archive of one image by go-containerregistry, as crane does.
func craneArchive(t *testing.T, tag string) (string, v1.Image) {
	t.Helper()
	image, err := random.Image(20000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return writeArchive(t, tag, image), image
}

func writeArchive(t *testing.T, tag string, image v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "crane.tar")
	if err := tarball.WriteToFile(path, ref, image); err != nil {
		t.Fatal(err)
	}
	return path
}

// childOf returns an image with a layer more.
func childOf(t *testing.T, base v1.Image) v1.Image {
	t.Helper()
	layer, err := random.Layer(3000, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	child, err := mutate.AppendLayers(base, layer)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func openPath(t *testing.T, path, reference string) *Source {
	t.Helper()
	fsys, closer, err := OpenFile(t.Context(), path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	s, err := Open(fsys, reference)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantImage compares the layers' digests with those of the image, compressed or not.
func wantImage(t *testing.T, s *Source, image v1.Image, digest func(v1.Layer) (v1.Hash, error)) {
	t.Helper()
	closure, _ := readAll(t, s)
	doc := closure.Nodes[len(closure.Nodes)-1].Doc
	id, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if doc.Config.Digest.String() != id.String() {
		t.Errorf("config %s, want %s", doc.Config.Digest, id)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != len(doc.Layers) {
		t.Fatalf("%d layers, want %d, %v", len(doc.Layers), len(layers), err)
	}
	for i, layer := range layers {
		want, err := digest(layer)
		if err != nil || doc.Layers[i].Digest.String() != want.String() {
			t.Errorf("layer %d: %s, want %s, %v", i, doc.Layers[i].Digest, want, err)
		}
	}
}

func TestCrane(t *testing.T) {
	path, image := craneArchive(t, "registry.example/a/b:1")
	s := openPath(t, path, "")
	wantImage(t, s, image, v1.Layer.Digest)
	if got := s.Names(); !slices.Equal(got, []string{"registry.example/a/b:1"}) {
		t.Errorf("Names = %q", got)
	}
}

func TestSkopeo(t *testing.T) {
	skopeo := realtest.Tool(t, "skopeo")
	path, image := craneArchive(t, "registry.example/a/b:1")
	dir := t.TempDir()
	run(t, skopeo, "--insecure-policy", "copy", "docker-archive:"+path, "docker-archive:"+dir+"/s.tar:docker.io/library/thing:7")
	s := openPath(t, dir+"/s.tar", "thing:7")
	wantImage(t, s, image, v1.Layer.DiffID)
	if got := s.Names(); !slices.Equal(got, []string{"docker.io/library/thing:7"}) {
		t.Errorf("Names = %q", got)
	}
}

// Debian's engine writes layer.tar files and symbolic links between them;
// today's writes an OCI layout.
func TestDockerSave(t *testing.T) {
	path, image := craneArchive(t, "registry.example/save/one:1")
	child := childOf(t, image)
	childPath := writeArchive(t, "registry.example/save/child:1", child)
	id, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for engine, start := range map[string]func(testing.TB, ...realtest.EngineOption) *realtest.DockerDaemon{
		"classic": realtest.Docker, "containerd": realtest.DockerContainerd,
	} {
		t.Run(engine, func(t *testing.T) {
			d := start(t)
			d.Run("load", "-i", path)
			d.Run("tag", "registry.example/save/one:1", "two:2")
			d.Run("load", "-i", childPath)
			out := filepath.Join(t.TempDir(), "saved.tar")
			d.Run("save", "-o", out, "registry.example/save/one:1", "two:2", "registry.example/save/child:1")
			if list := run(t, realtest.Tool(t, "tar"), "tvf", out); strings.Contains(list, "oci-layout") != (engine == "containerd") {
				t.Errorf("not the form that is to be tested:\n%s", list)
			}
			s := openPath(t, out, "two:2")
			if got := s.Names(); !slices.Equal(got, []string{"docker.io/library/two:2", "registry.example/save/one:1"}) {
				t.Errorf("Names = %q", got)
			}
			closure, _ := readAll(t, s)
			doc := closure.Nodes[0].Doc
			if doc.Config.Digest.String() != id.String() {
				t.Errorf("config %s, want %s", doc.Config.Digest, id)
			}
			want := d.Run("image", "inspect", "-f", "{{.Id}}", "two:2")
			root, err := s.Resolve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if engine == "classic" {
				wantImage(t, s, image, v1.Layer.DiffID)
			} else if root.Digest.String() != want {
				t.Errorf("root %s, Docker shows %s", root.Digest, want)
			}
			second := openPath(t, out, "registry.example/save/child:1")
			if engine == "classic" {
				wantImage(t, second, child, v1.Layer.DiffID)
			}
			readAll(t, second)
		})
	}
}

func TestFullSpool(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Missing(t, "mounting a small file system must be done by root")
	}
	spool := t.TempDir()
	if err := syscall.Mount("tmpfs", spool, "tmpfs", 0, "size=256k"); err != nil {
		realtest.Missing(t, "mounting a small file system: "+err.Error())
	}
	defer func() {
		if err := syscall.Unmount(spool, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	}()
	path := filepath.Join(t.TempDir(), "x.tar.gz")
	big := pack(t, member{name: "zeros", body: strings.Repeat("\x00", 1<<20)})
	if err := os.WriteFile(path, []byte(gzipOf(string(big))), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := OpenFile(t.Context(), path, spool)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "is full") {
		t.Errorf("err = %v, want a full folder", err)
	}
	wantEmpty(t, spool)
}

// The list of a real archive is read as encoding/json reads it.
func TestRealListHasNoSurprises(t *testing.T) {
	path, _ := craneArchive(t, "registry.example/a/b:1")
	fsys, closer, err := OpenFile(t.Context(), path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	raw, err := readFile(fsys, manifestName, maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseList(raw)
	if err != nil {
		t.Fatal(err)
	}
	var plain []listed
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(list)
	b, _ := json.Marshal(plain)
	if !bytes.Equal(a, b) {
		t.Errorf("%s\n%s", a, b)
	}
}
