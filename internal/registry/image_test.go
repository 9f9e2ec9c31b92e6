package registry

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

func TestResolveAndDocument(t *testing.T) {
	f := newFake(t, httptest.NewServer)
	raw := imageDocument(t, nil)
	d := f.document("web", oci.TypeManifest, raw, "1.4")
	c, _ := newTestClient(t, Options{})
	for _, ref := range []string{"/web:1.4", "/web@" + d.Digest.String(), "/web:gone@" + d.Digest.String()} {
		image := mustImage(t, c, f.host()+ref)
		got, err := image.Resolve(t.Context())
		if err != nil || got.Digest != d.Digest || got.MediaType != d.MediaType || got.Size != d.Size {
			t.Fatalf("%s: %v, %v; want %v", ref, got, err, d)
		}
		for range 2 {
			if doc, err := image.Document(t.Context(), got); err != nil || !bytes.Equal(doc, raw) {
				t.Fatalf("%s: %q, %v", ref, doc, err)
			}
		}
	}
	request := f.seen("GET /v2/web/manifests/1.4")[0]
	if got := request.Header.Get("Accept"); got != acceptDocuments || strings.Contains(got, "v1") && strings.Contains(got, "prettyjws") {
		t.Errorf("accept %q", got)
	}
	if got := request.Header.Get("User-Agent"); got != "airlock" {
		t.Errorf("user agent %q", got)
	}
	if got := request.Header.Get("Accept-Encoding"); got != "identity" {
		t.Errorf("accept-encoding %q", got)
	}
	if n := len(f.seen("GET /v2/web/manifests/1.4")); n != 1 {
		t.Errorf("the tag was fetched %d times, want once", n)
	}
}

// TestForgedAnswers has registries that answer other things than they were asked for.
func TestForgedAnswers(t *testing.T) {
	good := imageDocument(t, nil)
	other := imageDocument(t, nil, oci.Descriptor{MediaType: oci.TypeLayer, Digest: manifest.DigestOf([]byte("x")), Size: 1})
	pin := manifest.DigestOf(good)
	schema1 := "application/vnd.docker.distribution.manifest.v1+prettyjws"
	forged := func(mediaType string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", pin.String())
			answer(mediaType, body)(w, r)
		}
	}
	pinned := "@" + pin.String()
	tests := []struct {
		name, ref string
		handler   http.HandlerFunc
		want      string
	}{
		{"schema 1 type and forged header", pinned, forged(schema1, other), "the registry answered other bytes (" + manifest.DigestOf(other).String() + ")"},
		{"right type and forged header", pinned, forged(oci.TypeManifest, other), "other bytes"},
		{"schema 1 type of the right bytes", pinned, forged(schema1, good), "prettyjws"},
		{"schema 1 under a tag", ":1", forged(schema1, []byte(`{"schemaVersion":1,"fsLayers":[]}`)), "prettyjws"},
		{"schema 1 body in disguise", ":1", forged(oci.TypeManifest, []byte(`{"schemaVersion":1,"fsLayers":[]}`)), "schemaVersion 1"},
		{"a page for people", ":1", forged("text/html", []byte("<html>")), "text/html"},
		{"index called a manifest", ":1", forged(oci.TypeManifest, indexDocument(t)), "inside"},
		{"both index and manifest", ":1", forged(oci.TypeManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`)), "no manifests"},
		{"encoded", ":1", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			answer(oci.TypeManifest, good)(w, r)
		}, "encoding"},
		{"too long, announced", ":1", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(oci.MaxDocument+1))
			forged(oci.TypeManifest, bytes.Repeat([]byte(" "), oci.MaxDocument+1))(w, r)
		}, "at most"},
		{"too long, endless", ":1", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", oci.TypeManifest)
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
					return
				}
			}
		}, "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			f.on("GET /v2/web/manifests/1", test.handler)
			f.on("GET /v2/web/manifests/"+pin.String(), test.handler)
			c, waited := newTestClient(t, Options{})
			image := mustImage(t, c, f.host()+"/web"+test.ref)
			_, err := image.Resolve(t.Context())
			if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), image.String()+": ") {
				t.Errorf("%v; want a rejection with %q", err, test.want)
			}
			if len(waited.all) > 0 {
				t.Errorf("tried again %d times", len(waited.all))
			}
		})
	}
}

func TestDocumentOfOtherBytes(t *testing.T) {
	f := newFake(t, httptest.NewServer)
	raw := imageDocument(t, nil)
	d := f.document("web", oci.TypeManifest, raw)
	image := func() *Image { c, _ := newTestClient(t, Options{}); return mustImage(t, c, f.host()+"/web:1") }
	for _, body := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), '\n'), {}, []byte(strings.ToUpper(string(raw)))} {
		f.on("GET /v2/web/manifests/"+d.Digest.String(), answer(oci.TypeManifest, body))
		if got, err := image().Document(t.Context(), d); !errors.Is(err, ErrRejected) || got != nil || !strings.Contains(err.Error(), d.Digest.String()) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	}
	f.on("GET /v2/web/manifests/"+d.Digest.String(), answer(oci.TypeManifest, raw))
	d.Size++
	if _, err := image().Document(t.Context(), d); !errors.Is(err, ErrRejected) {
		t.Errorf("another size: %v", err)
	}
}

func TestTrying(t *testing.T) {
	raw := imageDocument(t, nil)
	// times answers with handler so many times, then well.
	times := func(n int, handler http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if n--; n >= 0 {
				handler(w, r)
				return
			}
			answer(oci.TypeManifest, raw)(w, r)
		}
	}
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", oci.TypeManifest)
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		w.Write(raw[:10])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	slow := func(after string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		waits   int
		first   time.Duration // wait, if it is known
		fails   string
	}{
		{"broken twice", times(2, broken), 2, 0, ""},
		{"503 five times", times(5, status(503, "")), 5, 0, ""},
		{"503 six times", times(6, status(503, "")), 5, 0, "503 Service Unavailable"},
		{"429 with seconds", times(1, slow("7")), 1, 7 * time.Second, ""},
		{"429 for an hour", times(1, slow("3600")), 0, 0, "429"},
		{"408", times(1, status(408, "")), 1, 0, ""},
		{"404", times(1, status(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)), 0, 0, "404 Not Found: MANIFEST_UNKNOWN manifest unknown"},
		{"403", times(1, status(403, "no")), 0, 0, "403 Forbidden: no"},
		{"escape sequences", times(1, status(400, "\x1b[2J\x1b]0;owned\x07bad\nnews\u202e")), 0, 0, "400 Bad Request: ?[2J?]0;owned?bad news?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			f.on("GET /v2/web/manifests/1", test.handler)
			c, waited := newTestClient(t, Options{})
			_, err := mustImage(t, c, f.host()+"/web:1").Resolve(t.Context())
			if (err == nil) != (test.fails == "") || err != nil && !strings.HasSuffix(err.Error(), test.fails) && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v; want %q", err, test.fails)
			}
			if len(waited.all) != test.waits {
				t.Errorf("waited %v, want %d times", waited.all, test.waits)
			}
			if test.first > 0 && waited.all[0] != test.first {
				t.Errorf("waited %v, want %v", waited.all[0], test.first)
			}
		})
	}
	var sum time.Duration
	for _, wait := range waits() {
		sum += wait
	}
	if len(waits()) < 5 || sum < 25*time.Second || sum > 35*time.Second {
		t.Errorf("waits %v", waits())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "12": 12 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestReference(t *testing.T) {
	digest := manifest.DigestOf(nil).String()
	for ref, want := range map[string]string{
		"nginx":                               "docker.io/library/nginx:latest",
		"nginx:1.27":                          "docker.io/library/nginx:1.27",
		"docker.io/nginx:1.27":                "docker.io/library/nginx:1.27",
		"index.docker.io/library/nginx:1":     "docker.io/library/nginx:1",
		"bitnami/redis@" + digest:             "docker.io/bitnami/redis",
		"localhost/web:1":                     "localhost/web:1",
		"localhost:5000/web:1@" + digest:      "localhost:5000/web:1",
		"registry.example/a/b_c/d--e.f__g:V1": "registry.example/a/b_c/d--e.f__g:V1",
		"[::1]:5000/web:1":                    "[::1]:5000/web:1",
	} {
		c, _ := newTestClient(t, Options{})
		image, err := c.Image(ref)
		if err != nil || image.Name() != want || image.String() != ref {
			t.Errorf("%q: %v, want %q", ref, err, want)
			continue
		}
		if again, err := c.Image(image.Name()); err != nil || again.Name() != want && !strings.Contains(ref, "@") {
			t.Errorf("%q again: %v", image.Name(), err)
		}
	}
	for _, ref := range []string{
		"", "/", ":", "@", "registry.example/", "registry.example/../etc:1", "registry.example//web:1", "registry.example/Web:1",
		"registry.example/web:", "registry.example/web:a/b", "registry.example/.web:1", "registry.example/web:" + strings.Repeat("a", 129),
		"registry.example/web@sha512:" + strings.Repeat("a", 128), "registry.example/web@sha256:abc", "https://registry.example/web:1",
		"user@registry.example/web:1", "registry.example:99999999/web:1", "registry.example/web:1\n", "regi\x1bstry.example/web:1",
		"registry.example/" + strings.Repeat("a", 256), "registry.example/web:1@" + digest + "@" + digest, "registry.example/web?x=1:1", "registry.example/%2e%2e/web:1",
	} {
		c, _ := newTestClient(t, Options{})
		if image, err := c.Image(ref); err == nil {
			t.Errorf("%q was taken for %q", ref, image.Name())
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, seed := range []string{"nginx", "a.example:5000/b/c:1", "localhost/x@" + manifest.DigestOf(nil).String(), "[::1]:1/x", "a..b/c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := parseReference(s)
		if err != nil {
			return
		}
		again, err := parseReference(ref.name())
		if ref.digest = again.digest; err != nil || again != ref {
			t.Errorf("%q is %+v, its name %+v, %v", s, ref, again, err)
		}
		if strings.Contains(ref.path, "..") || strings.ContainsAny(ref.name(), " ?#%@\\") {
			t.Errorf("%q was taken", s)
		}
	})
}
