//go:build linux

package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airlock/internal/realtest"
)

// TestRoundTrip carries the whole corpus from registry to registry in one
// bundle: every document and every blob arrives with its digest, in the
// repository that it left. skopeo is the witness.
func TestRoundTrip(t *testing.T) {
	corpus, far, d := realtest.Registry(t).PushCorpus(), realtest.Registry(t), newDesk(t)
	d.create("usb", refs(corpus.All())...)
	d.run("unbundle", load("usb", "registry://"+far.Addr)...)

	seen := map[string]bool{}
	for _, doc := range documents(corpus) {
		separator := "@"
		if !strings.HasPrefix(doc.digest, "sha256:") {
			separator = ":"
		}
		raw := []byte(d.skopeo("inspect", "--tls-verify=false", "--raw", "docker://"+far.Addr+doc.repo+separator+doc.digest))
		got := digestOf(raw)
		if separator == "@" && got != doc.digest || !bytes.Equal(raw, corpus.Manifests[got]) {
			t.Errorf("skopeo finds %s%s%s with the digest %s: %s", doc.repo, separator, doc.digest, got, raw)
		}
		seen[got] = true
	}
	if len(seen) != len(corpus.Manifests) {
		t.Errorf("%d documents were compared, and the corpus has %d", len(seen), len(corpus.Manifests))
	}
	for _, im := range corpus.All() {
		name := far.Addr + strings.TrimPrefix(im.Ref, corpus.Registry)
		raw := d.skopeo("inspect", "--tls-verify=false", "--raw", "docker://"+name)
		if got := digestOf([]byte(raw)); got != im.Digest {
			t.Errorf("%s has the digest %s, want %s", name, got, im.Digest)
		}
	}
	for _, x := range corpus.Signed.Extras {
		if x.Kind == "referrer" {
			continue
		}
		raw := d.skopeo("inspect", "--tls-verify=false", "--raw", "docker://"+far.Addr+"/corpus/signed:"+x.Tag)
		if digestOf([]byte(raw)) != x.Digest {
			t.Errorf("the tag %s stands for %s, want the %s %s", x.Tag, digestOf([]byte(raw)), x.Kind, x.Digest)
		}
	}
	sameBlobs(t, d, corpus, far)
	if got, want := Catalog(t, far.Addr), Catalog(t, corpus.Registry); !slices.Equal(got, want) {
		t.Errorf("the far registry has the repositories %q, want %q", got, want)
	}
}

// sameBlobs copies every image with skopeo, which hashes all that it copies,
// and asks for every blob that an image has.
func sameBlobs(t *testing.T, d *desk, corpus *realtest.Corpus, far *realtest.RegistryServer) {
	t.Helper()
	seen := map[string]bool{}
	for _, im := range append(corpus.Runnable(), corpus.NoLayers) {
		name := strings.TrimPrefix(im.Ref, corpus.Registry)
		dir := filepath.Join("witness", strings.ReplaceAll(strings.Trim(name, "/"), "/", "-"))
		must(t, os.MkdirAll(d.path(dir), 0o755))
		d.skopeo("copy", "-q", "--all", "--src-tls-verify=false", "docker://"+far.Addr+name, "dir:"+dir)
		files, err := os.ReadDir(d.path(dir))
		must(t, err)
		for _, file := range files {
			if len(file.Name()) == 64 {
				digest := "sha256:" + file.Name()
				if got := digestOfFile(t, d.path(filepath.Join(dir, file.Name()))); got != digest {
					t.Errorf("%s: %s has the digest %s", name, digest, got)
				}
				seen[digest] = true
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("skopeo copied only the blobs %q", slices.Sorted(maps.Keys(seen)))
	}
	for digest, want := range corpus.Blobs {
		found := false
		for _, repo := range Catalog(t, far.Addr) {
			found = found || has(t, "http://"+far.Addr+"/v2/"+repo+"/blobs/"+digest, want)
		}
		if !found {
			t.Errorf("blob %s has not arrived", digest)
		}
	}
}

// has reports whether the answer is 200 with these bytes.
func has(t *testing.T, url string, want []byte) bool {
	t.Helper()
	reply, err := http.Get(url)
	must(t, err)
	defer reply.Body.Close()
	got, err := io.ReadAll(reply.Body)
	must(t, err)
	return reply.StatusCode == http.StatusOK && bytes.Equal(got, want)
}

func refs(images []*realtest.Image) []string {
	var all []string
	for _, im := range images {
		all = append(all, im.Ref)
	}
	return all
}

// document is a document of the corpus, by its digest or tag, in the repository
// "/corpus/name".
type document struct{ repo, digest string }

func documents(corpus *realtest.Corpus) []document {
	var all []document
	for _, im := range corpus.All() {
		repo := strings.TrimPrefix(im.Repo, corpus.Registry)
		all = append(all, document{repo, im.Digest})
		for _, child := range im.Children {
			all = append(all, document{repo, child.Digest})
		}
		for _, x := range im.Extras {
			all = append(all, document{repo, x.Digest})
			if x.Kind == "referrer" { // the index that the tag stands for
				all = append(all, document{repo, x.Tag})
			}
		}
	}
	return all
}
