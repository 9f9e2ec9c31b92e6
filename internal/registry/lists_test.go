package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

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
