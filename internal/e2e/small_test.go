//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/realtest"
)

// TestSmallRelease packs a release small, and updates of it: images of Debian's
// packages, of an application and of a program in Go, made and pushed by docker,
// buildah and skopeo. It is held to what is promised of such updates; a first
// shipment is promised to be smaller than here where images have more in common,
// as in the release that scripts/bench packs.
func TestSmallRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: makes and packs some 200 MB")
	}
	m := newMaker(t)
	v1 := []string{m.debian("1", oldest), m.application("1"), m.program("1", "v0.6.0")}
	v2 := []string{m.debian("2", newest), m.application("2"), m.program("2", "v0.6.1")}
	m.create("v1", v1)
	m.create("v2", v2, "--base", "v1")
	m.create("app", []string{v1[0], v2[1], v1[2]}, "--base", "v1")
	m.create("go1", v1[2:])
	m.create("go2", v2[2:], "--base", "go1")
	m.create("same", v1, "--base", "v1")
	m.create("fast", v1, "--pack", "fast")
	m.create("v2fast", v2, "--base", "fast")
	for _, c := range []struct {
		bundle, base string
		most         float64 // percent of the layers that the base lacks
	}{
		{"v1", "", 75}, {"v2", "v1", 13}, {"app", "v1", 4}, {"go2", "go1", 2}, {"v2fast", "fast", 13},
	} {
		shipped, added := m.weigh(c.bundle, c.base)
		share := 100 * float64(shipped) / float64(added)
		t.Logf("%s: %d bytes for %d of new layers: %.2f %%", c.bundle, shipped, added, share)
		if share > c.most {
			t.Errorf("%s takes %.2f %% of its new layers, at most %v %% were promised", c.bundle, share, c.most)
		}
	}
	if shipped, added := m.weigh("same", "v1"); added != 0 || shipped >= 100_000 {
		t.Errorf("nothing has changed, and %d bytes are shipped for %d of new layers", shipped, added)
	}
	onSmall, _ := m.weigh("v2", "v1")
	if onFast, _ := m.weigh("v2fast", "fast"); onFast > onSmall*105/100 {
		t.Errorf("on a base that is packed as it is %d bytes are shipped, on a small one %d", onFast, onSmall)
	}
	for _, one := range m.blobs("v1") {
		if one.Size > 1<<20 && !strings.HasPrefix(one.Recipe, "gzip: ") {
			t.Errorf("%+v: not rebuilt from its content", one)
		}
	}

	// What arrives has the digests of what left.
	far := realtest.Registry(t)
	m.run("unbundle", load("v1", "registry://"+far.Addr+"/far")...)
	m.run("unbundle", append(load("v2", "registry://"+far.Addr+"/far"), "--base", "v1")...)
	m.arrived(far, "far/", append(v1, v2...))
	m.tool("fast", "tar", "-cf", "../fast.tar", ".")
	m.run("unbundle", append(load("v2fast", "registry://"+far.Addr+"/fast"), "--base", "fast.tar")...)
	m.arrived(far, "fast/", v2)
	m.loadDocker("v2", "v1", []string{v2[0], v2[2]})
}

// loadDocker loads a bundle into both kinds of Docker Engine. The one that its
// images were made in gets the same image IDs, and both can unpack them.
func (m *maker) loadDocker(bundle, base string, refs []string) {
	m.t.Helper()
	id := func(engine *realtest.DockerDaemon, ref string) string {
		return engine.Run("image", "inspect", "-f", "{{.Id}}", ref)
	}
	made := map[string]string{}
	for _, ref := range refs {
		made[ref] = id(m.engine, ref)
	}
	m.engine.Clear()
	for _, engine := range []*realtest.DockerDaemon{m.engine, realtest.DockerContainerd(m.t)} {
		m.run("unbundle", append(load(bundle, "docker"), "--docker-host", engine.Host, "--base", base)...)
		for _, ref := range refs {
			if got := id(engine, ref); engine == m.engine && got != made[ref] {
				m.t.Errorf("%s: the image ID is %s, want %s", ref, got, made[ref])
			}
			engine.Run("rm", engine.Run("create", ref))
		}
	}
}

// arrived compares images in a registry with those they were made of.
func (m *maker) arrived(far *realtest.RegistryServer, prefix string, refs []string) {
	m.t.Helper()
	for _, ref := range refs {
		name := strings.TrimPrefix(ref, m.registry.Addr+"/")
		if got, want := m.digest(far, prefix+name), m.digest(m.registry, name); got != want {
			m.t.Errorf("%s arrived as %s, left as %s", prefix+name, got, want)
		}
	}
}

// maker makes images, and bundles of them.
type maker struct {
	*desk
	registry *realtest.RegistryServer
	engine   *realtest.DockerDaemon
}

func newMaker(t *testing.T) *maker {
	return &maker{newDesk(t), realtest.Registry(t), realtest.Docker(t)}
}

// tool runs a program of the system in a folder of the desk.
func (m *maker) tool(dir, name string, args ...string) string {
	m.t.Helper()
	cmd := exec.Command(realtest.Tool(m.t, name), args...)
	cmd.Dir = m.path(dir)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0", "GOBIN="+m.path(dir))
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := err.(*exec.ExitError); ok {
			out = failed.Stderr
		}
		m.t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (m *maker) folder(name string) string {
	m.t.Helper()
	must(m.t, os.MkdirAll(m.path(name), 0o755))
	return name
}

// packages are such as Debian publishes again for security.
var packages = []string{"perl-base", "perl-modules-5.36", "libperl5.36", "python3.11-minimal", "libpython3.11-minimal",
	"libssl3", "openssl", "libc6", "libxml2", "curl", "libcurl4", "git"}

type which int

const (
	oldest which = iota // of a package's versions that the machine's apt knows
	newest
)

// debian makes an image of packages, pushed by docker, and returns its reference.
func (m *maker) debian(tag string, which which) string {
	m.t.Helper()
	dir := m.folder("debian-" + tag)
	var wanted []string
	for _, name := range packages {
		// “name | version | where”, the newest first
		lines := strings.Split(strings.TrimSpace(m.tool(dir, "apt-cache", "madison", name)), "\n")
		versions := m.sorted(lines)
		if len(versions) == 0 {
			realtest.Missing(m.t, "apt knows no package "+name)
		}
		version := versions[0]
		if which == newest {
			version = versions[len(versions)-1]
		}
		wanted = append(wanted, name+"="+version)
	}
	m.tool(dir, "apt-get", append([]string{"download", "-q"}, wanted...)...)
	archives, err := filepath.Glob(m.path(dir) + "/*.deb")
	if err != nil || len(archives) != len(packages) {
		m.t.Fatalf("%d packages were downloaded, %v; want %d", len(archives), err, len(packages))
	}
	for _, deb := range archives {
		m.tool(dir, "dpkg-deb", "-x", deb, "root")
		must(m.t, os.Remove(deb))
	}
	m.tool(dir, "tar", "-C", "root", "-cf", "root.tar", ".")
	must(m.t, os.RemoveAll(m.path(dir+"/root")))
	m.write(dir+"/Dockerfile", "FROM scratch\nADD root.tar /\nCMD [\"/bin/true\"]\n")
	ref := m.registry.Addr + "/small/debian:" + tag
	m.build(ref, dir)
	m.engine.Run("push", "-q", ref)
	return ref
}

// sorted returns the versions in lines of apt-cache madison, oldest first.
func (m *maker) sorted(lines []string) []string {
	m.t.Helper()
	var versions []string
	for _, line := range lines {
		fields := strings.Split(line, "|")
		if len(fields) < 3 {
			continue
		}
		one, at := strings.TrimSpace(fields[1]), 0
		for at < len(versions) && exec.Command("dpkg", "--compare-versions", versions[at], "lt", one).Run() == nil {
			at++
		}
		versions = append(versions[:at], append([]string{one}, versions[at:]...)...)
	}
	return versions
}

// application makes an image of source code of which one line depends on the
// tag, pushed by buildah.
func (m *maker) application(tag string) string {
	m.t.Helper()
	dir := m.folder("app-" + tag)
	m.folder(dir + "/app")
	for i := range 40 {
		var text strings.Builder
		for line := range 4000 {
			fmt.Fprintf(&text, "def step_%d_%d(state):\n    return state + %d\n\n", i, line, (i+7)*line*line%7919)
		}
		m.write(fmt.Sprintf("%s/app/part%d.py", dir, i), text.String())
	}
	m.write(dir+"/app/version.py", "version = "+tag+"\n")
	ref := m.registry.Addr + "/small/app:" + tag
	m.buildah(dir + "/app")(ref)
	return ref
}

// buildah makes an image of a folder.
func (m *maker) buildah(folder string) func(ref string) {
	return func(ref string) {
		m.t.Helper()
		run := func(args ...string) string {
			storage := []string{"--root", m.path("buildah"), "--runroot", m.path("buildah-run"), "--storage-driver", "vfs"}
			return strings.TrimSpace(m.tool(".", "buildah", append(storage, args...)...))
		}
		container := run("from", "scratch")
		run("copy", "-q", container, m.path(folder), "/"+filepath.Base(folder))
		run("commit", "-q", container, ref)
		run("push", "-q", "--tls-verify=false", ref, "docker://"+ref)
	}
}

// program makes an image of a release of staticcheck, pushed by skopeo.
func (m *maker) program(tag, version string) string {
	m.t.Helper()
	dir := m.folder("go-" + tag)
	m.tool(dir, "go", "install", "-trimpath", "-ldflags=-s -w", "honnef.co/go/tools/cmd/staticcheck@"+version)
	m.write(dir+"/Dockerfile", "FROM scratch\nCOPY staticcheck /staticcheck\nENTRYPOINT [\"/staticcheck\"]\n")
	ref := m.registry.Addr + "/small/go:" + tag
	m.build(ref, dir)
	m.fromEngine(ref)
	return ref
}

// build makes an image in the engine of the Dockerfile in a folder.
func (m *maker) build(ref, dir string) {
	m.t.Helper()
	m.engine.Run("build", "-q", "--no-cache", "-t", ref, m.path(dir))
}

// fromEngine pushes an image of the engine with skopeo.
func (m *maker) fromEngine(ref string) {
	m.t.Helper()
	m.tool(".", "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--src-daemon-host", m.engine.Host, "docker-daemon:"+ref, "docker://"+ref)
}

// create packs images small, unless more says otherwise.
func (m *maker) create(bundle string, refs []string, more ...string) {
	m.t.Helper()
	yaml := "release: small\nversion: " + bundle + "\nimages:\n"
	for _, ref := range refs {
		yaml += "  - image: " + ref + "\n"
	}
	m.write(bundle+".yaml", yaml)
	m.run("bundle", "lock", "-f", bundle+".yaml")
	m.run("bundle", append([]string{"create", "-q", "-f", bundle + ".yaml", "-o", bundle, "--key", "key", "--as", "ana",
		"--trust", "allowed_signers", "--pack", "small"}, more...)...)
}

// packed is a blob as bundle inspect --json tells it.
type packed struct {
	Digest, Recipe string
	Size           int64
}

func (m *maker) blobs(bundle string) []packed {
	m.t.Helper()
	var report struct{ Blobs []packed }
	must(m.t, json.Unmarshal([]byte(m.run("bundle", "inspect", bundle, "--json", "--trust", "allowed_signers")), &report))
	if len(report.Blobs) == 0 {
		m.t.Fatalf("%s has no blobs", bundle)
	}
	return report.Blobs
}

// weigh returns how many bytes a bundle has in all, and how many the blobs of
// more than 100 kB that its base lacks: its new layers.
func (m *maker) weigh(bundle, base string) (shipped, added int64) {
	m.t.Helper()
	held := map[string]bool{}
	if base != "" {
		for _, one := range m.blobs(base) {
			held[one.Digest] = true
		}
	}
	for _, one := range m.blobs(bundle) {
		if !held[one.Digest] && one.Size > 100_000 {
			added += one.Size
		}
	}
	files, err := os.ReadDir(m.path(bundle))
	must(m.t, err)
	for _, f := range files {
		info, err := f.Info()
		must(m.t, err)
		shipped += info.Size()
	}
	return shipped, added
}

// digest asks a registry for an image's digest.
func (m *maker) digest(r *realtest.RegistryServer, name string) manifest.Digest {
	m.t.Helper()
	path, tag, _ := strings.Cut(name, ":")
	request, err := http.NewRequest(http.MethodHead, "http://"+r.Addr+"/v2/"+path+"/manifests/"+tag, nil)
	must(m.t, err)
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	reply, err := http.DefaultClient.Do(request)
	must(m.t, err)
	reply.Body.Close()
	d, err := manifest.ParseDigest(reply.Header.Get("Docker-Content-Digest"))
	if err != nil {
		m.t.Fatalf("%s: %s: %v", name, reply.Status, err)
	}
	return d
}
