package gzipexact

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool returns the path of a real tool, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatalf("%s is required: %v", name, err)
	}
	t.Skipf("%s is not installed: %v", name, err)
	return ""
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// sourceTree returns some megabytes of real files as a tar.
func sourceTree(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(goroot)), "src")
	for _, dir := range []string{"net", "runtime", "crypto"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			p, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(p))}); err != nil {
				return err
			}
			_, err = w.Write(p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteHeader(&tar.Header{Name: "test", Mode: 0o755, Size: int64(len(exe))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(exe); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() < 10<<20 {
		t.Fatalf("only %d bytes of real files", b.Len())
	}
	if underRace {
		return b.Bytes()[:10<<20]
	}
	return b.Bytes()
}

// plainLayout writes an OCI layout with one image of one uncompressed layer.
func plainLayout(t *testing.T, dir string, layer []byte) {
	t.Helper()
	blob := func(mediaType string, p []byte) map[string]any {
		sum := sha256.Sum256(p)
		name := hex.EncodeToString(sum[:])
		path := filepath.Join(dir, "blobs", "sha256")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, name), p, 0o644); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + name, "size": len(p)}
	}
	text := func(v any) []byte {
		p, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	l := blob("application/vnd.oci.image.layer.v1.tar", layer)
	config := blob("application/vnd.oci.image.config.v1+json", text(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{l["digest"]}},
	}))
	m := blob("application/vnd.oci.image.manifest.v1+json", text(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config, "layers": []any{l},
	}))
	m["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "v1"}
	for name, p := range map[string][]byte{
		"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json": text(map[string]any{"schemaVersion": 2, "manifests": []any{m}}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// provesBlobs proves every gzip blob of a layout and returns the recipes.
func provesBlobs(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var recipes []string
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(p, []byte("\x1f\x8b")) {
			recipes = append(recipes, proves(t, p).String())
		}
	}
	if len(recipes) == 0 {
		t.Fatalf("no gzip blob in %s", dir)
	}
	return recipes
}

func TestSkopeo(t *testing.T) {
	skopeo := tool(t, "skopeo")
	dir := t.TempDir()
	plainLayout(t, filepath.Join(dir, "in"), sourceTree(t))
	command(t, skopeo, "--insecure-policy", "copy", "oci:"+dir+"/in:v1", "oci:"+dir+"/out:v1")
	t.Log(provesBlobs(t, filepath.Join(dir, "out")))
}

func TestUmoci(t *testing.T) {
	umoci := tool(t, "umoci")
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, sourceTree(t), 0o644); err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(dir, "layout")
	command(t, umoci, "init", "--layout", layout)
	command(t, umoci, "new", "--image", layout+":v1")
	command(t, umoci, "insert", "--rootless", "--image", layout+":v1", file, "/file")
	t.Log(provesBlobs(t, layout))
}
