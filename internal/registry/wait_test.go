package registry

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

// TestRefusedAtFirst holds that a host that nobody listens at is not waited for,
// and one that has answered before is.
func TestRefusedAtFirst(t *testing.T) {
	f := newFake(t, httptest.NewServer)
	var waits []Wait
	c, p := newTestClient(t, Options{Waiting: func(w Wait) { waits = append(waits, w) }})
	web := mustImage(t, c, f.host()+"/web:1")
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	gone := mustImage(t, c, closed.Listener.Addr().String()+"/web:1")
	if _, err := gone.Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") || len(p.all) > 0 || len(waits) > 0 {
		t.Errorf("%v after %v", err, p.all)
	}
	raw := imageDocument(t, nil)
	f.document("web", "application/vnd.oci.image.manifest.v1+json", raw, "1")
	if d, err := web.Resolve(t.Context()); err != nil || d.Digest != manifest.DigestOf(raw) {
		t.Fatal(d, err)
	}
	f.Server.CloseClientConnections()
	f.Server.Close()
	if _, err := web.Resolve(t.Context()); err == nil || len(p.all) != 5 || len(waits) != 5 {
		t.Errorf("%v after %v, told of %v", err, p.all, waits)
	}
	if last := waits[len(waits)-1]; last.Host != f.host() || last.Try != 6 || last.Of != 6 || last.Reason == "" || strings.Contains(last.Reason, f.host()) {
		t.Errorf("told of %+v", last)
	}
}

// TestWaitsAreTold reads what is said of a registry that is busy.
func TestWaitsAreTold(t *testing.T) {
	f := newFake(t, httptest.NewServer)
	f.on("GET /v2/web/manifests/1", status(http.StatusServiceUnavailable, ""))
	var tries []int
	c, _ := newTestClient(t, Options{Waiting: func(w Wait) {
		tries = append(tries, w.Try)
		if w.Reason != "503 Service Unavailable" || w.Host != f.host() {
			t.Errorf("told of %+v", w)
		}
	}})
	if _, err := mustImage(t, c, f.host()+"/web:1").Resolve(t.Context()); err == nil || !slices.Equal(tries, []int{2, 3, 4, 5, 6}) {
		t.Errorf("%v after tries %v", err, tries)
	}
}
