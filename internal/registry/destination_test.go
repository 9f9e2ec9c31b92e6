package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

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

// TestPartlyNamed holds that a failure in the middle of the names tells which
// were set and which were not, and that the next run sets the others alone.
func TestPartlyNamed(t *testing.T) {
	s := newShop(t)
	tr := newTrap(t, true)
	tr.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/shop/web/manifests/latest") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	c, _ := newTestClient(t, Options{})
	_, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release)
	var partly *load.PartlyNamedError
	if !errors.As(err, &partly) || !strings.Contains(err.Error(), "403") {
		t.Fatal(err)
	}
	at := func(name string) string { return tr.host() + "/" + name }
	set := []string{at("library/db:2"), at("shop/web:" + fallbackTag(s.subject) + ".sig"), at("shop/web:1.4")}
	if !slices.Equal(partly.Set, set) || !slices.Equal(partly.Unset, []string{at("shop/web:latest")}) {
		t.Errorf("set %q, not set %q", partly.Set, partly.Unset)
	}
	for _, name := range append(partly.Set, partly.Unset...) {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	tr.set(nil)
	if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err != nil {
		t.Error(err)
	}
	if n := tr.count(http.MethodPut, "/manifests/1.4"); n != 0 {
		t.Errorf("a name that stood was set %d times", n)
	}
	// A failure before any name is set says nothing of names.
	tr = newTrap(t, true)
	tr.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	if _, err := loadAll(t.Context(), c.Destination(tr.host(), ""), s.release); err == nil || errors.As(err, &partly) {
		t.Errorf("nothing was set: %v", err)
	}
}
