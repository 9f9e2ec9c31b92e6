package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"airlock/internal/load"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

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

func sharedSentThrice(t *testing.T, tr *trap, s *shop) {
	t.Helper()
	if n := tr.count("PUT", "digest="+strings.ReplaceAll(s.shared.String(), ":", "%3A")); n != 3 {
		t.Errorf("the shared layer was sent %d times, want 3", n)
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

func (c *counter) Done() { c.done = true }

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
