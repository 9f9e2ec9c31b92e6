//go:build linux

package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongBytes has a registry answer with other bytes of the same length
// for a pinned digest: no bundle comes of it.
func TestWrongBytes(t *testing.T) {
	origin, d := newOrigin(t, 2, 9<<20), newDesk(t)
	var config, layer string
	for digest := range origin.documents {
		if digest != origin.digest() {
			config = digest
		}
	}
	for digest := range origin.layers {
		layer = digest
	}
	for what, digest := range map[string]string{"manifest": origin.digest(), "config": config, "layer": layer} {
		before := interceptor(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, digest) || r.Method == http.MethodHead {
				return false
			}
			honest := httpRecorder{header: http.Header{}}
			if s, ok := origin.layers[digest]; ok {
				serveLayer(&honest, r, s)
			} else {
				honest.header.Set("Content-Type", manifestType)
				honest.Write(origin.documents[digest])
			}
			lie := bytes.Clone(honest.body.Bytes())
			lie[len(lie)/2] ^= 1
			for key, values := range honest.header {
				w.Header()[key] = values
			}
			if honest.status != 0 {
				w.WriteHeader(honest.status)
			}
			w.Write(lie)
			return true
		})
		origin.before.Store(&before)
		for _, out := range []string{what, what + ".tar"} {
			e := d.try("bundle", "create", origin.ref(), "-o", out, "--key", "key", "--as", "ana", "--quiet")
			if e.code != 3 || !strings.Contains(e.stderr, digest) || !strings.Contains(e.stderr, origin.host) {
				t.Errorf("another %s: exit code %d, want 3, and %s named: %s", what, e.code, digest, e.stderr)
			}
			if _, err := os.Stat(d.path(filepath.Join(out, "SHA256SUMS"))); err == nil {
				t.Errorf("another %s: a bundle was made", what)
			}
			if _, err := os.Stat(d.path(out)); err == nil && strings.HasSuffix(out, ".tar") {
				t.Errorf("another %s: a tar was made", what)
			}
		}
		cmd := d.command("bundle", "create", origin.ref(), "-o", "-", "--key", "key", "--as", "ana", "--quiet")
		e := finish(t, cmd, (*exec.Cmd).Run)
		if e.code != 3 {
			t.Errorf("another %s, to a stream: exit code %d, want 3", what, e.code)
		}
		d.write(what+".stream", e.stdout)
		if e := d.try("unbundle", load(what+".stream", "oci:far")...); e.code == 0 {
			t.Errorf("another %s: the stream that broke off can be loaded", what)
		}
	}
	origin.before.Store(nil)
	d.create("good", origin.ref())
}

// httpRecorder keeps an answer.
type httpRecorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *httpRecorder) Header() http.Header         { return r.header }
func (r *httpRecorder) WriteHeader(status int)      { r.status = status }
func (r *httpRecorder) Write(p []byte) (int, error) { return r.body.Write(p) }
