package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestLoad(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		for _, prefix := range []string{"", "mirror/of"} {
			t.Run(fmt.Sprintf("referrers %t, prefix %q", referrers, prefix), func(t *testing.T) {
				s, tr := newShop(t), newTrap(t, referrers)
				c, waited := newTestClient(t, Options{})
				p, err := loadAll(t.Context(), c.Destination(tr.host(), prefix), s.release)
				if err != nil {
					t.Fatal(err)
				}
				path := ""
				if prefix != "" {
					path = prefix + "/"
				}
				tr.all(t, s, path)
				if len(p.Reads) != len(s.release.Blobs()) || len(p.Present) != 0 || len(waited.all) != 0 {
					t.Errorf("%d reads, %d present, %d waits", len(p.Reads), len(p.Present), len(waited.all))
				}
				var names []string
				for _, name := range p.Names {
					names = append(names, strings.TrimPrefix(name.Name, tr.host()+"/"+path))
					if !name.Old.IsZero() || name.New.IsZero() {
						t.Errorf("%+v", name)
					}
				}
				slices.Sort(names)
				want := []string{"library/db:2", "shop/web:" + fallbackTag(s.subject) + ".sig", "shop/web:1.4", "shop/web:latest"}
				slices.Sort(want)
				if !slices.Equal(names, want) {
					t.Errorf("names %q, want %q", names, want)
				}
				tr.inOrder(t)
				if n := tr.count("POST", "mount="+strings.ReplaceAll(s.shared.String(), ":", "%3A")); n != 2 {
					t.Errorf("the shared layer was mounted %d times, want 2", n)
				}
				if n := tr.count("PUT", "digest="+strings.ReplaceAll(s.shared.String(), ":", "%3A")); n != 1 {
					t.Errorf("the shared layer was sent %d times, want once", n)
				}
			})
		}
	}
}

// inOrder sees that blobs came before documents, and those before names.
func (tr *trap) inOrder(t *testing.T) {
	t.Helper()
	stage := 0
	stages := []func(string) bool{
		func(line string) bool { return strings.Contains(line, "/blobs/") },
		func(line string) bool { return strings.Contains(line, "/manifests/sha256:") },
		func(line string) bool { return strings.Contains(line, "/manifests/sha256-") },
		func(line string) bool { return strings.Contains(line, "/manifests/") },
	}
	for _, line := range tr.log {
		if !strings.HasPrefix(line, "PUT") {
			continue
		}
		for !stages[stage](line) {
			if stage++; stage == len(stages) {
				t.Fatalf("%s comes too late", line)
			}
		}
	}
	if stage != len(stages)-1 {
		t.Errorf("only %d stages were seen", stage+1)
	}
}

func TestSecondLoadSendsNothing(t *testing.T) {
	s, tr := newShop(t), newTrap(t, true)
	c, _ := newTestClient(t, Options{})
	if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
		t.Fatal(err)
	}
	tr.set(nil)
	p, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Reads) != 0 || len(p.Present) != len(s.release.Blobs()) {
		t.Errorf("%d reads, %d present", len(p.Reads), len(p.Present))
	}
	for _, name := range p.Names {
		if name.Old != name.New || name.Moves() {
			t.Errorf("%+v", name)
		}
	}
	// What has a subject is pushed again for the registry's answer.
	if puts := tr.count("PUT"); puts != 1 || tr.count("POST") != 0 || tr.count("PUT", s.refer.String()) != 1 {
		t.Errorf("%d PUTs, %d POSTs", puts, tr.count("POST"))
	}
}

func TestPlanChangesNothingAndSeesMoves(t *testing.T) {
	s, tr := newShop(t), newTrap(t, true)
	c, _ := newTestClient(t, Options{})
	old := imageDocument(t, nil)
	if err := putTag(tr, "shop/web", "1.4", oci.TypeManifest, old); err != nil {
		t.Fatal(err)
	}
	tr.set(nil)
	p, err := c.Destination(tr.host(), "").Plan(t.Context(), s.release)
	if err != nil {
		t.Fatal(err)
	}
	moves := 0
	for _, name := range p.Names {
		if name.Moves() {
			moves++
			if name.Old != manifest.DigestOf(old) || name.New != s.subject || !strings.HasSuffix(name.Name, "/shop/web:1.4") {
				t.Errorf("%+v", name)
			}
		}
	}
	if moves != 1 {
		t.Errorf("%d moves", moves)
	}
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE"} {
		if n := tr.count(method); n > 0 {
			t.Errorf("%d %s requests by a plan", n, method)
		}
	}
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

func TestNamesThatMeet(t *testing.T) {
	s := newShop(t, []string{"a.example/shop/web:1"}, []string{"b.example/shop/web:1"})
	tr := newTrap(t, true)
	c, _ := newTestClient(t, Options{})
	_, err := c.Destination(tr.host(), "").Plan(t.Context(), s.release)
	if err == nil || !strings.Contains(err.Error(), s.subject.String()) || !strings.Contains(err.Error(), s.db.Root().Digest.String()) {
		t.Errorf("%v; want a refusal that names both digests", err)
	}
	for _, prefix := range []string{"..", "a//b", "UPPER", "a/../b", "x?y"} {
		if _, err := c.Destination(tr.host(), prefix).Plan(t.Context(), newShop(t).release); err == nil {
			t.Errorf("prefix %q was taken", prefix)
		}
	}
	if len(tr.log) != 0 {
		t.Errorf("requests %q", tr.log)
	}
}

// TestTraps has registries that do things another way, and all is well.
func TestTraps(t *testing.T) {
	busy := map[string]bool{}
	tests := []struct {
		name string
		way  func(w http.ResponseWriter, r *http.Request) bool
		then func(t *testing.T, tr *trap, s *shop)
	}{
		{"mounts open an upload", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("mount") {
				w.Header().Set("Location", strings.Split(r.URL.Path, "?")[0]+"session-"+r.URL.Query().Get("mount")[7:])
				w.WriteHeader(http.StatusAccepted)
			}
			return r.URL.Query().Has("mount")
		}, sharedSentThrice},
		{"mounts open an upload that is lost", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("mount") {
				w.Header().Set("Location", r.URL.Path+"lost")
				w.WriteHeader(http.StatusAccepted)
			}
			if strings.HasSuffix(r.URL.Path, "/lost") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return r.URL.Query().Has("mount")
		}, nil},
		{"mounts are forbidden", refuse("POST", "mount=", http.StatusForbidden), sharedSentThrice},
		{"mounts are unknown", refuse("POST", "mount=", http.StatusMethodNotAllowed), sharedSentThrice},
		{"no upload in one request", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength > 0 {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			return false
		}, func(t *testing.T, tr *trap, _ *shop) {
			if puts, patches := tr.count("PUT", "/blobs/"), tr.count("PATCH", "/blobs/"); puts != patches+1 {
				t.Errorf("%d PUTs and %d PATCHes: the refusal should be met once", puts, patches)
			}
		}},
		{"every request is too many once", func(w http.ResponseWriter, r *http.Request) bool {
			key := r.Method + r.URL.Path
			if digest := r.URL.Query().Get("digest"); digest != "" {
				key = r.Method + digest // each try has an address of its own
			}
			if strings.HasSuffix(r.URL.Path, "/v2/") || busy[key] || r.Method == http.MethodHead {
				return false
			}
			busy[key] = true
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, nil},
		{"the location is absolute and plain", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost && !r.URL.Query().Has("mount") {
				w.Header().Set("Location", "http://"+r.Host+r.URL.Path+fmt.Sprintf("session-%d?_state=a%%2Fb", len(r.URL.Path)))
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		}, nil},
		{"blobs lie elsewhere", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/") {
				blob := httptest.NewRecorder()
				ggcrOf(r).ServeHTTP(blob, r)
				if blob.Code == http.StatusOK {
					http.Redirect(w, r, "https://bucket.example/"+r.URL.Path, http.StatusTemporaryRedirect)
					return true
				}
			}
			return false
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, tr := newShop(t), newTrap(t, false)
			var mu sync.Mutex
			tr.set(func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				return test.way(w, r.WithContext(context.WithValue(r.Context(), innerKey{}, tr.inner)))
			})
			c, _ := newTestClient(t, Options{Parallel: 1})
			dialled := c.route(map[string]string{tr.host(): tr.host()})
			if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
				t.Fatal(err)
			}
			tr.all(t, s, "")
			if test.then != nil {
				test.then(t, tr, s)
			}
			for _, address := range dialled.all {
				if address != tr.host() {
					t.Errorf("connected to %s", address)
				}
			}
		})
	}
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

func sharedSentThrice(t *testing.T, tr *trap, s *shop) {
	t.Helper()
	if n := tr.count("PUT", "digest="+strings.ReplaceAll(s.shared.String(), ":", "%3A")); n != 3 {
		t.Errorf("the shared layer was sent %d times, want 3", n)
	}
}

// TestNothingIsNamedTooEarly breaks each kind of request for good: no name is
// there. Then it lets them pass: a second load goes on from what arrived.
func TestNothingIsNamedTooEarly(t *testing.T) {
	for _, broken := range []string{"POST /blobs/", "PUT /blobs/", "PUT /manifests/sha256:", "PUT /manifests/sha256-"} {
		t.Run(broken, func(t *testing.T) {
			s, tr := newShop(t), newTrap(t, false)
			method, part, _ := strings.Cut(broken, " ")
			tr.set(refuse(method, part, http.StatusInsufficientStorage))
			c, _ := newTestClient(t, Options{})
			_, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release)
			if err == nil || !strings.Contains(err.Error(), "507") {
				t.Fatal(err)
			}
			for _, name := range []string{"shop/web/manifests/1.4", "shop/web/manifests/latest", "library/db/manifests/2"} {
				if tr.has("/v2/" + name) {
					t.Errorf("%s is there", name)
				}
			}
			sent := tr.count("PUT", "/blobs/")
			tr.set(nil)
			if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
				t.Fatal(err)
			}
			tr.all(t, s, "")
			if strings.HasPrefix(part, "/manifests/") && (sent == 0 || tr.count("PUT", "/blobs/") > 0) {
				t.Errorf("blobs were sent %d times, then %d times", sent, tr.count("PUT", "/blobs/"))
			}
		})
	}
}

// TestBrokenUpload has the connection break within a blob; it is read again
// from the bundle, and progress counts it once.
func TestBrokenUpload(t *testing.T) {
	s, tr := newShop(t), newTrap(t, false)
	digest := strings.ReplaceAll(s.shared.String(), ":", "%3A")
	var once sync.Once
	tr.set(func(w http.ResponseWriter, r *http.Request) (broke bool) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.RawQuery, digest) {
			once.Do(func() {
				io.CopyN(io.Discard, r.Body, 100_000)
				broke = true
			})
		}
		if broke {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	c, waited := newTestClient(t, Options{})
	d := c.Destination(tr.host(), "")
	p, err := d.Plan(t.Context(), s.release)
	if err != nil {
		t.Fatal(err)
	}
	sink := &counter{}
	if err := d.Load(t.Context(), s.release, p, sink); err != nil {
		t.Fatal(err)
	}
	tr.all(t, s, "")
	if len(waited.all) != 1 {
		t.Errorf("%d waits", len(waited.all))
	}
	if want := load.Size(p.Reads); sink.sum != want || sink.total != want || !sink.done || sink.back {
		t.Errorf("%d bytes of %d were reported, want %d and never back", sink.sum, sink.total, want)
	}
}

type counter struct {
	mu         sync.Mutex
	sum, total int64
	done, back bool
}

func (c *counter) Start(_ string, total int64) progress.Task { c.total += total; return c }
func (c *counter) Done()                                     { c.done = true }
func (c *counter) Add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum += n
	c.back = c.back || n < 0
}

// TestDamagedBundle sees that what the bundle cannot give is not tried again.
func TestDamagedBundle(t *testing.T) {
	tr := newTrap(t, false)
	c, waited := newTestClient(t, Options{})
	d := c.Destination(tr.host(), "")
	repo, err := d.net.newRepository(reference{host: tr.host(), path: "web"}, "push,pull")
	if err != nil {
		t.Fatal(err)
	}
	target := newTarget("web")
	target.repo = repo
	damaged := fmt.Errorf("block 7 is damaged")
	blob, data := blobOf(100_000)
	u := &uploads{Destination: d, task: &counter{}, open: func(oci.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(data[:50_000]), failing{damaged})), nil
	}}
	if err := u.upload(t.Context(), target, blob, ""); err == nil || !strings.Contains(err.Error(), "block 7") || len(waited.all) > 0 {
		t.Errorf("%v after %d waits", err, len(waited.all))
	}
	if tr.has("/v2/web/blobs/" + blob.Digest.String()) {
		t.Error("the registry took it")
	}
}

// TestSilentDestination has a registry that stops taking a blob.
func TestSilentDestination(t *testing.T) {
	tr := newTrap(t, false)
	blob, data := blobOf(32 << 20) // more than the buffers between us hold
	over := make(chan struct{})
	defer close(over)
	var once sync.Once
	tr.set(func(_ http.ResponseWriter, r *http.Request) (silent bool) {
		if r.Method == http.MethodPut {
			once.Do(func() { silent = true })
		}
		if silent {
			<-over
		}
		return silent
	})
	c, waited := newTestClient(t, Options{})
	c.idle = 500 * time.Millisecond
	target := newTarget("web")
	d := c.Destination(tr.host(), "")
	var err error
	if target.repo, err = d.net.newRepository(reference{host: tr.host(), path: "web"}, "push,pull"); err != nil {
		t.Fatal(err)
	}
	u := &uploads{Destination: d, task: &counter{}, open: func(oci.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
	if err := u.upload(t.Context(), target, blob, ""); err != nil || len(waited.all) != 1 {
		t.Errorf("%v after %d waits", err, len(waited.all))
	}
	if _, got := tr.fetch(t, "/v2/web/blobs/"+blob.Digest.String()); !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived", len(got))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestNoOtherHost has a destination that sends the client elsewhere.
func TestNoOtherHost(t *testing.T) {
	tests := map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"upload": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Location", "https://stranger.example/upload")
			w.WriteHeader(http.StatusAccepted)
			return true
		},
		"other port": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Location", "http://127.0.0.1:1/upload")
			w.WriteHeader(http.StatusAccepted)
			return true
		},
		"documents": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			http.Redirect(w, r, "https://stranger.example/", http.StatusTemporaryRedirect)
			return true
		},
		"ping": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://stranger.example/", http.StatusTemporaryRedirect)
			return true
		},
	}
	for name, way := range tests {
		t.Run(name, func(t *testing.T) {
			s, tr := newShop(t), newTrap(t, false)
			tr.set(way)
			c, _ := newTestClient(t, Options{})
			dialled := c.route(map[string]string{tr.host(): tr.host()})
			_, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release)
			if err == nil || !strings.Contains(err.Error(), "only the destination itself") {
				t.Errorf("%v", err)
			}
			for _, address := range dialled.all {
				if address != tr.host() {
					t.Errorf("connected to %s", address)
				}
			}
		})
	}
	c, _ := newTestClient(t, Options{})
	if c.Destination("a.example", "").net.proxy != nil || c.pull.proxy == nil {
		t.Error("a proxy is for the pull side alone")
	}
}

// TestTokenServerOfDestination lets a destination name its token server, and
// asks for the right to mount with the login.
func TestTokenServerOfDestination(t *testing.T) {
	site := newAuthority(t, "auth.example")
	auth := newFake(t, site.server)
	auth.on("GET /token", tokens)
	s, tr := newShop(t), newTrap(t, false)
	expired := map[string]bool{}
	var mu sync.Mutex
	tr.set(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		// A token that expires just before a body is sent: it is sent again.
		expires := r.Method == http.MethodPut && !expired[r.URL.RequestURI()]
		expired[r.URL.RequestURI()] = true
		if r.Header.Get("Authorization") == "Bearer good" && !expires {
			return false
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	c, waited := newTestClient(t, Options{Keychain: login("ana", "secret"), CAFiles: []string{site.file}})
	c.route(map[string]string{tr.host(): tr.host(), "auth.example:443": auth.host()})
	if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
		t.Fatal(err)
	}
	tr.all(t, s, "")
	if len(waited.all) != 0 {
		t.Errorf("%d waits", len(waited.all))
	}
	scopes := map[string]bool{}
	for _, r := range auth.seen("GET /token") {
		scopes[strings.Join(r.URL.Query()["scope"], " ")] = true
	}
	if want := "repository:library/db:push,pull repository:other/db:pull repository:shop/web:pull"; !scopes[want] || len(scopes) != 3 {
		t.Errorf("scopes %v, want among them %q", scopes, want)
	}
}

// TestListsOfReferrers has a destination where somebody else's referrer is
// listed: it stays, and ours is added. Check notices when ours is not listed.
func TestListsOfReferrers(t *testing.T) {
	s, tr := newShop(t), newTrap(t, false)
	c, _ := newTestClient(t, Options{})
	theirs := imageDocument(t, nil, oci.Descriptor{MediaType: "a/b", Digest: manifest.DigestOf([]byte("theirs")), Size: 6})
	if err := putTag(tr, "shop/web", manifest.DigestOf(theirs).String(), oci.TypeManifest, theirs); err != nil {
		t.Fatal(err)
	}
	list := indexDocument(t, oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf(theirs), Size: int64(len(theirs))})
	if err := putTag(tr, "shop/web", fallbackTag(s.subject), oci.TypeIndex, list); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
			t.Fatal(err)
		}
		var got struct {
			MediaType string
			Manifests []struct{ Digest, ArtifactType string }
		}
		_, raw := tr.fetch(t, "/v2/shop/web/manifests/"+fallbackTag(s.subject))
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if got.MediaType != oci.TypeIndex || len(got.Manifests) != 2 || got.Manifests[0].Digest != manifest.DigestOf(theirs).String() || got.Manifests[1].Digest != s.refer.String() {
			t.Errorf("list %s", raw)
		}
	}
	if err := putTag(tr, "shop/web", fallbackTag(s.subject), oci.TypeIndex, list); err != nil {
		t.Fatal(err)
	}
	if err := c.Destination(tr.host(), "").Check(t.Context(), s.release, nil); err == nil || !strings.Contains(err.Error(), "list") {
		t.Errorf("check: %v", err)
	}
	if err := putTag(tr, "shop/web", fallbackTag(s.subject), oci.TypeManifest, theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("a tag that is no list: %v", err)
	}
}

// TestListIsMade loads a referrer that came without a list. The list is made
// where the registry does not say that it keeps one itself.
func TestListIsMade(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("the registry keeps lists: %t", keeps), func(t *testing.T) {
			source := bundletest.NewSource()
			root := addImage(t, source, nil, []byte("layer"))
			source.SetRoot(root.MediaType, root.Digest)
			refer := addImage(t, source, &root, []byte("sbom"))
			source.Refer(root.Digest, oci.TypeManifest, source.All()[refer.Digest], "")
			kit := bundletest.NewKit(t)
			release := kit.Open(t, kit.Bundle(t, bundletest.Release(source), 0))

			tr := newTrap(t, keeps)
			tr.set(func(w http.ResponseWriter, r *http.Request) bool {
				if keeps && r.Method == http.MethodPut {
					w.Header().Set("OCI-Subject", root.Digest.String())
				}
				return false
			})
			c, _ := newTestClient(t, Options{})
			if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), release); err != nil {
				t.Fatal(err)
			}
			list := "/v2/app/0/manifests/" + fallbackTag(root.Digest)
			if keeps {
				if tr.has(list) {
					t.Error("a list was made")
				}
				return
			}
			mediaType, raw := tr.fetch(t, list)
			want := fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q,"annotations":%s}],"mediaType":%q,"schemaVersion":2}`,
				oci.TypeManifest, refer.Digest, refer.Size, oci.TypeConfig, marshal(t, note()), oci.TypeIndex)
			if mediaType != oci.TypeIndex || string(raw) != want {
				t.Errorf("%s %s\nwant %s", mediaType, raw, want)
			}
		})
	}
}

// TestCheck has a registry that says yes to all and then has other things.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name, path string
		handler    http.HandlerFunc
		want       string
	}{
		{"document", "/v2/shop/web/manifests/sha256:", answer(oci.TypeManifest, []byte("{}")), "other bytes"},
		{"type", "/v2/library/db/manifests/", func(w http.ResponseWriter, r *http.Request) {
			recorded := httptest.NewRecorder()
			ggcrOf(r).ServeHTTP(recorded, r)
			answer("application/vnd.docker.distribution.manifest.v1+prettyjws", recorded.Body.Bytes())(w, r)
		}, "prettyjws"},
		{"tag", "/v2/shop/web/manifests/1.4", answer(oci.TypeIndex, []byte("{}")), "other bytes"},
		{"lost tag", "/v2/shop/web/manifests/latest", status(404, ""), "404"},
		{"lost blob", "/v2/other/db/blobs/", status(404, ""), "does not have it"},
		{"cut blob", "/v2/other/db/blobs/", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1") }, "does not have it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, tr := newShop(t), newTrap(t, true)
			c, _ := newTestClient(t, Options{})
			d := c.Destination(tr.host(), "")
			p, err := loadAll(t.Context(), d, s.release)
			if err != nil {
				t.Fatal(err)
			}
			tr.set(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, test.path) {
					return false
				}
				test.handler(w, r.WithContext(context.WithValue(r.Context(), innerKey{}, tr.inner)))
				return true
			})
			if err := d.Check(t.Context(), s.release, p); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
