package archive_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/progress"
)

var update = flag.Bool("update", false, "write testdata and the example in FORMAT.md anew")

const goldenDir = "testdata/golden"

// createGolden has the real writer make the golden bundle.
func createGolden(t testing.TB) map[string][]byte {
	t.Helper()
	files := bundletest.Files{MapFS: fstest.MapFS{}}
	contents, err := create.Collect(t.Context(), bundletest.Release(goldenSource()))
	must(t, err)
	_, err = contents.Write(t.Context(), files, create.Options{
		Signatures: []create.Signature{{Principal: "ana", Signer: testKey(t, "ana")}},
		Progress:   progress.Discard,
	})
	must(t, err)
	all := map[string][]byte{}
	for name, file := range files.MapFS {
		all[name] = file.Data
	}
	return all
}

// goldenFiles reads the golden bundle from the repository.
func goldenFiles(t testing.TB) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(goldenDir)
	must(t, err)
	all := map[string][]byte{}
	for _, entry := range entries {
		if all[entry.Name()], err = os.ReadFile(filepath.Join(goldenDir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s is empty", goldenDir)
	}
	return all
}

func goldenReadme(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldenDir, "README.txt"))
	must(t, err)
	return text
}

// TestGolden reads a bundle of this format version that was made long ago: it
// must stay readable for ever, byte for byte.
func TestGolden(t *testing.T) {
	if *update {
		must(t, os.RemoveAll(goldenDir))
		must(t, os.MkdirAll(goldenDir, 0o755))
		for name, data := range createGolden(t) {
			must(t, os.WriteFile(filepath.Join(goldenDir, name), data, 0o644))
		}
	}
	blobs, err := archive.Open(os.DirFS(goldenDir), testAllowed(t), goldenTime)
	must(t, err)
	defer blobs.Close()
	must(t, blobs.Verify(t.Context(), progress.Discard))
	release, err := load.NewRelease(t.Context(), blobs)
	must(t, err)
	source := goldenSource()
	if got := release.Images[0].Root.Digest; got != source.Root().Digest || len(release.Images) != 1 {
		t.Errorf("%d images, the first %s", len(release.Images), got)
	}
	for digest, want := range source.All() {
		r, err := blobs.Open(digest)
		must(t, err)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob %s: %q, %v", digest, got, err)
		}
		r.Close()
	}
	kinds := map[string]bool{}
	for _, p := range blobs.Packings() {
		kinds[p.Frames] = true
	}
	if !kinds["1 stored"] || !kinds["1 zstd"] {
		t.Errorf("frames of kinds %v, want stored and zstd", kinds)
	}
}

// TestGoldenIsWhatIsWritten holds that this version still writes the golden
// bundle's bytes, and that FORMAT.md, as kit understands it, gives them too.
// If only an encoder of frames has changed, keep the golden bundle for
// TestGolden and begin another.
func TestGoldenIsWhatIsWritten(t *testing.T) {
	golden := goldenFiles(t)
	for maker, files := range map[string]map[string][]byte{"create": createGolden(t), "kit": newKit(t).make(t)} {
		if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(golden)); !slices.Equal(got, want) {
			t.Errorf("%s: files %q, want %q", maker, got, want)
		}
		for _, name := range []string{"manifest.json", "blocks.bin", "shop-1.0.000.vol"} {
			if !bytes.Equal(files[name], golden[name]) {
				t.Errorf("%s: %s differs:\n%q\nwant\n%q", maker, name, files[name], golden[name])
			}
		}
	}
}

// TestStockToolsVerifyGolden runs the two commands of README.txt.
func TestStockToolsVerifyGolden(t *testing.T) {
	allowed, err := filepath.Abs("testdata/allowed_signers")
	must(t, err)
	verify := exec.Command(tool(t, "ssh-keygen"), "-Y", "verify", "-f", allowed, "-I", "ana",
		"-n", manifest.Namespace, "-s", "SHA256SUMS.ana.sig")
	verify.Stdin = bytes.NewReader(goldenFiles(t)["SHA256SUMS"])
	check := exec.Command(tool(t, "sha256sum"), "--strict", "-c", "SHA256SUMS")
	for _, c := range []*exec.Cmd{verify, check} {
		c.Dir = goldenDir
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c, err, out)
		}
	}
}

func tool(t testing.TB, name string) string {
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

const (
	exampleBegin = "<!-- example: written by go test -run TestExample -update -->\n"
	exampleEnd   = "<!-- end of example -->\n"
)

// TestExample holds that the example in FORMAT.md is the golden bundle.
func TestExample(t *testing.T) {
	raw, err := os.ReadFile("FORMAT.md")
	must(t, err)
	before, rest, begins := strings.Cut(string(raw), exampleBegin)
	inside, after, ends := strings.Cut(rest, exampleEnd)
	if !begins || !ends {
		t.Fatal("FORMAT.md has no example")
	}
	want := example(goldenFiles(t))
	if *update {
		must(t, os.WriteFile("FORMAT.md", []byte(before+exampleBegin+want+exampleEnd+after), 0o644))
		return
	}
	if inside != want {
		t.Errorf("FORMAT.md shows\n%s\nbut the golden bundle is\n%s", inside, want)
	}
}

// example shows a bundle: texts as they are, other files as hexdump -C does.
func example(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", "manifest.json", "blocks.bin", "shop-1.0.000.vol"} {
		data := files[name]
		fmt.Fprintf(&b, "\n`%s`, %d bytes:\n\n", name, len(data))
		text := string(data)
		if strings.HasSuffix(name, ".vol") || strings.HasSuffix(name, ".bin") {
			text = hexdump(data)
		}
		for line := range strings.Lines(text) {
			b.WriteString("    " + line)
		}
	}
	return b.String() + "\n"
}

func hexdump(data []byte) string {
	var b strings.Builder
	for i, row := range slices.Collect(slices.Chunk(data, 16)) {
		fmt.Fprintf(&b, "%08x ", i*16)
		for j := range 16 {
			if j%8 == 0 {
				b.WriteByte(' ')
			}
			if j < len(row) {
				fmt.Fprintf(&b, "%02x ", row[j])
			} else {
				b.WriteString("   ")
			}
		}
		shown := printable(row)
		fmt.Fprintf(&b, " |%s|\n", shown)
	}
	return b.String()
}

// printable shows each byte that is not printable ASCII as a dot.
func printable(data []byte) []byte {
	shown := bytes.Clone(data)
	for i, c := range shown {
		if c < ' ' || c > '~' {
			shown[i] = '.'
		}
	}
	return shown
}
