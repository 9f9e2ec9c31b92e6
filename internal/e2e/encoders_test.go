//go:build linux

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

// gzipJava compresses as Java's build tools for images do, Jib for one.
const gzipJava = `import java.util.zip.GZIPOutputStream;
class Gzip {
	public static void main(String[] args) throws Exception {
		try (var out = new GZIPOutputStream(System.out)) { System.in.transferTo(out); }
	}
}
`

const gzipPython = "import gzip, shutil, sys\n" +
	"with gzip.GzipFile('', 'wb', 9, sys.stdout.buffer, 0) as out: shutil.copyfileobj(sys.stdin.buffer, out)"

// TestEncoders packs small an image of every tool that makes images, each of the
// same files: every layer is recognised, and arrives as it left.
func TestEncoders(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts two Docker Engines")
	}
	m := newMaker(t)
	m.files()
	byTool := map[string]string{}
	for tool, build := range map[string]func(ref string){
		"docker": m.docker, "buildkit": m.buildKit, "skopeo": m.skopeoCopy, "buildah": m.buildah("files/in"),
		"podman": m.podman, "umoci": m.umoci, "crane": m.crane("crane", "files/in.tar"), "crane-go1.27": m.crane("crane-go1.27", "files/in.tar"),
		"java":   m.compressed("java", "Gzip.java"),
		"python": m.compressed("python3", "-c", gzipPython),
		"gzip":   m.compressed("gzip", "-9"),
		"pigz":   m.compressed("pigz", "-p2"),
	} {
		byTool[tool] = m.registry.Addr + "/encoders/" + tool + ":1"
		build(byTool[tool])
	}
	var refs []string
	for _, ref := range byTool {
		refs = append(refs, ref)
	}
	m.create("all", refs)
	layers, recipes := 0, ""
	for _, one := range m.blobs("all") {
		if one.Size < 1<<20 {
			continue
		}
		layers++
		recipes += one.Recipe + "\n"
		if !strings.HasPrefix(one.Recipe, "gzip: ") {
			t.Errorf("%+v: not rebuilt from its content", one)
		}
	}
	// Tools may agree with each other, byte for byte.
	if layers < 8 || layers > len(byTool) {
		t.Errorf("%d layers of %d tools", layers, len(byTool))
	}
	for _, want := range []string{"go1.26 flate level 6", "go1.26 flate level 1", "klauspost 1.20 flate level 1", "pgzip klauspost",
		"zlib level 6", "zlib level 9", "GNU gzip level 9", "pigz level 6"} {
		if !strings.Contains(recipes, "gzip: "+want) {
			t.Errorf("no layer is packed as %q, of\n%s", want, recipes)
		}
	}
	far := realtest.Registry(t)
	m.run("unbundle", load("all", "registry://"+far.Addr+"/far")...)
	m.arrived(far, "far/", refs)
}

// files makes the folder of which all images are, and a tar of it.
func (m *maker) files() {
	m.t.Helper()
	m.folder("files/in")
	root := strings.TrimSpace(m.tool("files", "go", "env", "GOROOT"))
	m.tool("files", "cp", "-r", root+"/src/net", root+"/src/compress", root+"/pkg/include", "in")
	m.tool("files", "cp", "-L", realtest.Tool(m.t, "runc"), "in")
	m.tool("files", "tar", "--sort=name", "--mtime=@1", "-C", "in", "-cf", "in.tar", ".")
	m.write("files/Dockerfile", "FROM scratch\nADD in.tar /\nCMD [\"/runc\"]\n")
	m.write("files/Gzip.java", gzipJava)
}

func (m *maker) docker(ref string) {
	m.t.Helper()
	m.build(ref, "files")
	m.engine.Run("push", "-q", ref)
}

// buildKit has today's engine build the image with the BuildKit that is part of
// it, and push it.
func (m *maker) buildKit(ref string) {
	m.t.Helper()
	engine := realtest.DockerContainerd(m.t)
	context := m.tool("files", "tar", "-cf", "-", "Dockerfile", "in.tar")
	const buildKit = "2"
	query := url.Values{"version": {buildKit}, "t": {ref}, "nocache": {"1"}}
	reply, err := engine.Client().Post("http://docker/build?"+query.Encode(), "application/x-tar", strings.NewReader(context))
	must(m.t, err)
	defer reply.Body.Close()
	log, err := io.ReadAll(reply.Body)
	must(m.t, err)
	if reply.StatusCode != http.StatusOK || bytes.Contains(log, []byte(`"error"`)) {
		m.t.Fatalf("%s: %s", reply.Status, log)
	}
	engine.Run("push", "-q", ref)
}

func (m *maker) skopeoCopy(ref string) {
	m.t.Helper()
	m.build(ref, "files")
	m.fromEngine(ref)
}

func (m *maker) podman(ref string) {
	m.t.Helper()
	podman := func(args ...string) {
		m.tool("files", "podman", append([]string{"--root", m.path("podman"), "--runroot", m.path("podman-run"),
			"--storage-driver", "vfs", "--events-backend", "none"}, args...)...)
	}
	podman("import", "-q", "in.tar", ref)
	podman("push", "-q", "--tls-verify=false", ref)
}

func (m *maker) umoci(ref string) {
	m.t.Helper()
	m.tool("files", "umoci", "init", "--layout", "layout")
	m.tool("files", "umoci", "new", "--image", "layout:v1")
	m.tool("files", "umoci", "insert", "--rootless", "--image", "layout:v1", "in", "/")
	m.tool("files", "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:layout:v1", "docker://"+ref)
}

// crane pushes an image with a layer that is a tar, or a compressed one, which
// it leaves as it is.
func (m *maker) crane(crane, layer string) func(ref string) {
	return func(ref string) {
		m.t.Helper()
		m.tool(".", crane, "append", "--insecure", "--oci-empty-base", "-f", layer, "-t", ref)
	}
}

// compressed makes an image of the files as a program compresses them.
func (m *maker) compressed(program string, args ...string) func(ref string) {
	return func(ref string) {
		m.t.Helper()
		layer := "files/" + program + ".tar.gz"
		in, err := os.Open(m.path("files/in.tar"))
		must(m.t, err)
		defer in.Close()
		out, err := os.Create(m.path(layer))
		must(m.t, err)
		defer out.Close()
		var said strings.Builder
		cmd := exec.Command(realtest.Tool(m.t, program), args...)
		cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = m.path("files"), in, out, &said
		if err := cmd.Run(); err != nil {
			m.t.Fatalf("%s %s: %v\n%s", program, args, err, &said)
		}
		m.crane("crane", layer)(ref)
	}
}
