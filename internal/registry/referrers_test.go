package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

func TestReferrers(t *testing.T) {
	subjectRaw := imageDocument(t, nil)
	subject := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf(subjectRaw), Size: int64(len(subjectRaw))}
	// one, two, three are documents that refer to the subject.
	var documents [][]byte
	var descriptors []oci.Descriptor
	for i := range 3 {
		raw := imageDocument(t, &subject, oci.Descriptor{MediaType: "a/b", Digest: manifest.DigestOf([]byte{byte(i)}), Size: 1})
		documents = append(documents, raw)
		descriptors = append(descriptors, oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf(raw), Size: int64(len(raw))})
	}
	old := oci.Descriptor{MediaType: "application/vnd.oci.artifact.manifest.v1+json", Digest: manifest.DigestOf([]byte("old")), Size: 3}
	tag := "sha256-" + subject.Digest.Hex()
	api := "GET /v2/web/referrers/" + subject.Digest.String()
	paged := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "" {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=2>; rel="next"`, r.URL.Path))
			answer(oci.TypeIndex, indexDocument(t, descriptors[0], old))(w, r)
			return
		}
		answer(oci.TypeIndex, indexDocument(t, descriptors[1]))(w, r)
	}
	digest := func(raw []byte) string { return manifest.DigestOf(raw).String() }
	fallback := indexDocument(t, descriptors[1], descriptors[2])
	tests := []struct {
		name string
		set  func(f *fake)
		want map[string]string // digest and tag, to what it is
	}{
		{"nothing at all", func(*fake) {}, map[string]string{}},
		{"an empty list", func(f *fake) { f.on(api, answer(oci.TypeIndex, indexDocument(t))) }, map[string]string{}},
		{"two pages", func(f *fake) { f.on(api, paged) }, map[string]string{
			descriptors[0].Digest.String(): "one", descriptors[1].Digest.String(): "two",
		}},
		{"a page for people", func(f *fake) {
			f.on(api, answer("text/html", []byte("<html>")))
			f.document("web", oci.TypeIndex, fallback, tag)
		}, map[string]string{
			descriptors[1].Digest.String(): "two", descriptors[2].Digest.String(): "three", digest(fallback) + " " + tag: "index",
		}},
		{"list and fallback", func(f *fake) {
			f.on(api, paged)
			f.document("web", oci.TypeIndex, fallback, tag)
		}, map[string]string{
			descriptors[0].Digest.String(): "one", descriptors[1].Digest.String(): "two", descriptors[2].Digest.String(): "three", digest(fallback) + " " + tag: "index",
		}},
		{"cosign", func(f *fake) {
			f.document("web", oci.TypeManifest, documents[0], tag+".sig")
			f.document("web", oci.TypeManifest, documents[1], tag+".att", tag+".sbom")
		}, map[string]string{
			digest(documents[0]) + " " + tag + ".sig": "", digest(documents[1]) + " " + tag + ".att": "", digest(documents[1]) + " " + tag + ".sbom": "",
		}},
		{"no HEAD", func(f *fake) {
			f.document("web", oci.TypeManifest, documents[0], tag+".sig")
			for _, suffix := range []string{"", ".sig", ".att", ".sbom"} {
				f.on("HEAD /v2/web/manifests/"+tag+suffix, status(http.StatusMethodNotAllowed, ""))
			}
		}, map[string]string{digest(documents[0]) + " " + tag + ".sig": ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			test.set(f)
			c, _ := newTestClient(t, Options{})
			got, err := mustImage(t, c, f.host()+"/web:1").Referrers(t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, r := range got {
				key := strings.TrimSpace(r.Digest.String() + " " + r.Tag)
				if _, ok := test.want[key]; !ok || seen[key] || r.Subject != subject.Digest || r.Size == 0 || r.MediaType == "" {
					t.Errorf("unexpected %+v", r)
				}
				seen[key] = true
			}
			if len(seen) != len(test.want) {
				t.Errorf("%d referrers, want %d", len(seen), len(test.want))
			}
		})
	}
}

func TestReferrersRefused(t *testing.T) {
	subject := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("x")), Size: 1}
	tag := "sha256-" + subject.Digest.Hex()
	api := "GET /v2/web/referrers/" + subject.Digest.String()
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%s1>; rel="next"`, r.URL.Path, r.URL.Query().Get("n")))
		answer(oci.TypeIndex, indexDocument(t))(w, r)
	}
	astray := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", `<https://stranger.example/v2/>; rel="next"`)
		answer(oci.TypeIndex, indexDocument(t))(w, r)
	}
	tests := []struct {
		name     string
		set      func(f *fake)
		rejected bool
		want     string
	}{
		{"malformed list", func(f *fake) { f.on(api, answer(oci.TypeIndex, []byte(`{"schemaVersion":2}`))) }, true, "manifests"},
		{"endless pages", func(f *fake) { f.on(api, endless) }, true, "pages"},
		{"pages elsewhere", func(f *fake) { f.on(api, astray) }, false, "sends us on"},
		{"not allowed to ask", func(f *fake) { f.on(api, status(http.StatusForbidden, "")) }, false, "403"},
		{"malformed signature", func(f *fake) { f.document("web", oci.TypeManifest, []byte("{}"), tag+".sig") }, true, "schemaVersion"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			test.set(f)
			c, _ := newTestClient(t, Options{})
			got, err := mustImage(t, c, f.host()+"/web:1").Referrers(t.Context(), subject)
			if err == nil || errors.Is(err, ErrRejected) != test.rejected || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// TestMissingDocument holds that who asks can tell that there is no such
// document, and that there is trouble.
func TestMissingDocument(t *testing.T) {
	d := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("gone")), Size: 4}
	for code, missing := range map[int]bool{http.StatusNotFound: true, http.StatusForbidden: false} {
		f := newFake(t, httptest.NewServer)
		f.on("GET /v2/web/manifests/"+d.Digest.String(), status(code, ""))
		c, _ := newTestClient(t, Options{})
		_, err := mustImage(t, c, f.host()+"/web:1").Document(t.Context(), d)
		if err == nil || errors.Is(err, fs.ErrNotExist) != missing {
			t.Errorf("%d: %v", code, err)
		}
	}
}
