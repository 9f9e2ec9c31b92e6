package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// shop is a release: two images that share a layer, one of them an index with
// a signature, a referrer and the index that lists it.
type shop struct {
	release *load.Release
	web, db *bundletest.Source
	list    manifest.Digest // the carried list of referrers
	subject manifest.Digest // the root of web
	refer   manifest.Digest // refers to it
	shared  manifest.Digest
}

// addImage adds a manifest with a config and layers to a source.
func addImage(t *testing.T, s *bundletest.Source, subject *oci.Descriptor, layers ...[]byte) oci.Descriptor {
	t.Helper()
	s.Add([]byte(testConfig))
	var list []oci.Descriptor
	for _, layer := range layers {
		list = append(list, oci.Descriptor{MediaType: oci.TypeLayer, Digest: s.Add(layer), Size: int64(len(layer))})
	}
	raw := imageDocument(t, subject, list...)
	return oci.Descriptor{MediaType: oci.TypeManifest, Digest: s.Add(raw), Size: int64(len(raw))}
}

func newShop(t *testing.T, names ...[]string) *shop {
	t.Helper()
	_, large := blobOf(300_000)
	s := &shop{web: bundletest.NewSource(), db: bundletest.NewSource(), shared: manifest.DigestOf(large)}
	// An index of two images; the platforms are needed by create alone.
	one := addImage(t, s.web, nil, large, []byte("one"))
	two := addImage(t, s.web, nil, []byte("two"), []byte{})
	index := indexDocument(t, one, two)
	s.subject = s.web.Add(index)
	s.web.SetRoot(oci.TypeIndex, s.subject)
	root := s.web.Root()

	signature := addImage(t, s.web, nil, []byte("signature"))
	s.web.Refer(s.subject, oci.TypeManifest, s.web.All()[signature.Digest], fallbackTag(s.subject)+".sig")
	refer := addImage(t, s.web, &root, []byte("sbom"))
	s.refer = s.web.Refer(s.subject, oci.TypeManifest, s.web.All()[refer.Digest], "")
	s.list = s.web.Refer(s.subject, oci.TypeIndex, indexDocument(t, refer), fallbackTag(s.subject))

	d := addImage(t, s.db, nil, large, []byte("database"))
	s.db.SetRoot(d.MediaType, d.Digest)

	if names == nil {
		names = [][]string{{"a.example/shop/web:1.4", "a.example/shop/web:latest"}, {"docker.io/library/db:2", "b.example/other/db"}}
	}
	kit := bundletest.NewKit(t)
	r := bundletest.Release()
	for i, source := range []*bundletest.Source{s.web, s.db} {
		r.Images = append(r.Images, create.Image{Source: source, Names: names[i]})
	}
	s.release = kit.Open(t, kit.Bundle(t, r, 0))
	return s
}

// everywhere is where the release lies in a registry, by path.
func (s *shop) everywhere() map[string][]*bundletest.Source {
	return map[string][]*bundletest.Source{"shop/web": {s.web}, "library/db": {s.db}, "other/db": {s.db}}
}

// trap is a registry (go-containerregistry's own in memory) with something in
// the way: a handler that answers true has dealt with the request.
type trap struct {
	*fake
	inner http.Handler
	mu    sync.Mutex
	log   []string // METHOD path
	sizes map[string]int
	way   func(w http.ResponseWriter, r *http.Request) bool
}

func newTrap(t *testing.T, referrers bool) *trap {
	t.Helper()
	tr := &trap{inner: ggcr.New(ggcr.WithReferrersSupport(referrers), ggcr.Logger(log.New(io.Discard, "", 0))), sizes: map[string]int{}}
	tr.fake = &fake{Server: httptest.NewServer(tr)}
	t.Cleanup(tr.Close)
	return tr
}

func (tr *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tr.mu.Lock()
	tr.log = append(tr.log, r.Method+" "+r.URL.RequestURI())
	way := tr.way
	tr.mu.Unlock()
	if way != nil && way(w, r) {
		return
	}
	if r.URL.Query().Has("mount") {
		tr.mount(w, r)
		return
	}
	tr.inner.ServeHTTP(w, r)
}

// mount grants a mount if the blob is where it is said to be. The registry
// beneath keeps one set of blobs for all repositories.
func (tr *trap) mount(w http.ResponseWriter, r *http.Request) {
	from, digest := r.URL.Query().Get("from"), r.URL.Query().Get("mount")
	head := httptest.NewRequest(http.MethodHead, "/v2/"+from+"/blobs/"+digest, nil)
	answer := httptest.NewRecorder()
	tr.inner.ServeHTTP(answer, head)
	if answer.Code != http.StatusOK {
		tr.inner.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (tr *trap) set(way func(w http.ResponseWriter, r *http.Request) bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.way, tr.log = way, nil
}

// count returns how many requests had the method and all parts in their address.
func (tr *trap) count(method string, parts ...string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, line := range tr.log {
		if !strings.HasPrefix(line, method+" ") {
			continue
		}
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

// fetch asks the registry beneath and fails the test if it does not have it.
func (tr *trap) fetch(t *testing.T, path string) (string, []byte) {
	t.Helper()
	answer := httptest.NewRecorder()
	tr.inner.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	if answer.Code != http.StatusOK {
		t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
	}
	return answer.Header().Get("Content-Type"), answer.Body.Bytes()
}

func (tr *trap) has(path string) bool {
	answer := httptest.NewRecorder()
	tr.inner.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Code == http.StatusOK
}

// all sees that the release is at the registry, byte for byte.
func (tr *trap) all(t *testing.T, s *shop, prefix string) {
	t.Helper()
	for path, sources := range s.everywhere() {
		for _, source := range sources {
			for digest, data := range source.All() {
				kind := "blobs"
				if bytes.HasPrefix(data, []byte(`{"`)) && bytes.Contains(data, []byte("schemaVersion")) {
					kind = "manifests"
				}
				if _, got := tr.fetch(t, "/v2/"+prefix+path+"/"+kind+"/"+digest.String()); !bytes.Equal(got, data) {
					t.Errorf("%s %s differs", path, digest)
				}
			}
		}
	}
	for name, want := range map[string]manifest.Digest{
		"shop/web/manifests/1.4":                                s.subject,
		"shop/web/manifests/latest":                             s.subject,
		"shop/web/manifests/" + fallbackTag(s.subject):          s.list,
		"library/db/manifests/2":                                s.db.Root().Digest,
		"shop/web/manifests/" + fallbackTag(s.subject) + ".sig": s.release.Images[0].Referrers[slices.IndexFunc(s.release.Images[0].Referrers, isSignature)].Digest,
	} {
		if _, got := tr.fetch(t, "/v2/"+prefix+name); manifest.DigestOf(got) != want {
			t.Errorf("%s is %s, want %s", name, manifest.DigestOf(got), want)
		}
	}
}

func isSignature(r manifest.Referrer) bool { return strings.HasSuffix(r.Tag, ".sig") }

func loadAll(ctx context.Context, d *Destination, r *load.Release) (*load.Plan, error) {
	p, err := d.Plan(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := d.Load(ctx, r, p, progress.Discard); err != nil {
		return p, fmt.Errorf("load: %w", err)
	}
	if err := d.Check(ctx, r, p); err != nil {
		return p, fmt.Errorf("check: %w", err)
	}
	return p, nil
}

func putTag(tr *trap, path, tag, mediaType string, raw []byte) error {
	r := httptest.NewRequest(http.MethodPut, "/v2/"+path+"/manifests/"+tag, bytes.NewReader(raw))
	r.Header.Set("Content-Type", mediaType)
	answer := httptest.NewRecorder()
	tr.inner.ServeHTTP(answer, r)
	if answer.Code != http.StatusCreated {
		return fmt.Errorf("%d %s", answer.Code, answer.Body)
	}
	return nil
}

type innerKey struct{}

func ggcrOf(r *http.Request) http.Handler { return r.Context().Value(innerKey{}).(http.Handler) }

func refuse(method, part string, code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.Contains(r.URL.RequestURI(), part) {
			return false
		}
		w.WriteHeader(code)
		return true
	}
}
