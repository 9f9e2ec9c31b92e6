package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// fake is a registry that answers from a table: "GET /v2/web/manifests/1" and
// the like. It has no opinion on anything else.
type fake struct {
	*httptest.Server
	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	requests []*http.Request
}

func newFake(t *testing.T, start func(http.Handler) *httptest.Server) *fake {
	t.Helper()
	f := &fake{handlers: map[string]http.HandlerFunc{}}
	f.on("GET /v2/", func(http.ResponseWriter, *http.Request) {})
	f.Server = start(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Clone(context.WithoutCancel(r.Context())))
	handler, ok := f.handlers[r.Method+" "+r.URL.Path]
	f.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

func (f *fake) on(what string, handler http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[what] = handler
}

// seen returns the requests that began with what.
func (f *fake) seen(what string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*http.Request
	for _, r := range f.requests {
		if strings.HasPrefix(r.Method+" "+r.URL.Path, what) {
			all = append(all, r)
		}
	}
	return all
}

func (f *fake) host() string { return f.Listener.Addr().String() }

// document serves raw under its digest and the tags, by GET and HEAD.
func (f *fake) document(repo, mediaType string, raw []byte, tags ...string) oci.Descriptor {
	d := oci.Descriptor{MediaType: mediaType, Digest: manifest.DigestOf(raw), Size: int64(len(raw))}
	for _, target := range append(tags, d.Digest.String()) {
		f.on("GET /v2/"+repo+"/manifests/"+target, answer(mediaType, raw))
		f.on("HEAD /v2/"+repo+"/manifests/"+target, answer(mediaType, nil))
	}
	return d
}

func answer(mediaType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Write(body)
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// pauses are the waits that a client would have made.
type pauses struct {
	mu  sync.Mutex
	all []time.Duration
}

func (p *pauses) pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, d)
	return ctx.Err()
}

// newTestClient returns a client that does not wait, and knows no login of
// the machine it runs on unless the options bring one.
func newTestClient(t *testing.T, o Options) (*Client, *pauses) {
	t.Helper()
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain()
	}
	if o.CertsDir == "" {
		o.CertsDir = t.TempDir()
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &pauses{}
	c.pause = p.pause
	return c, p
}

// route has the client find the servers behind names of hosts. It returns the
// list of addresses that were dialled.
func (c *Client) route(hosts map[string]string) *dialled {
	d := &dialled{}
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		d.mu.Lock()
		d.all = append(d.all, address)
		d.mu.Unlock()
		to, ok := hosts[address]
		if !ok {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, to)
	}
	return d
}

type dialled struct {
	mu  sync.Mutex
	all []string
}

func (d *dialled) has(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.all {
		if a == address {
			return true
		}
	}
	return false
}

// caFile writes the certificate of a TLS server to a file.
func caFile(t *testing.T, cert *x509.Certificate, name string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const testConfig = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`

// imageDocument is a manifest with testConfig and layers, which nobody serves yet.
func imageDocument(t *testing.T, subject *oci.Descriptor, layers ...oci.Descriptor) []byte {
	t.Helper()
	doc := map[string]any{
		"schemaVersion": 2,
		"mediaType":     oci.TypeManifest,
		"config":        plainDescriptor(oci.Descriptor{MediaType: oci.TypeConfig, Digest: manifest.DigestOf([]byte(testConfig)), Size: int64(len(testConfig))}),
		"layers":        []any{},
		"annotations":   note(),
	}
	list := []any{}
	for _, d := range layers {
		list = append(list, plainDescriptor(d))
	}
	doc["layers"] = list
	if subject != nil {
		doc["subject"] = plainDescriptor(*subject)
	}
	return marshal(t, doc)
}

func indexDocument(t *testing.T, children ...oci.Descriptor) []byte {
	t.Helper()
	list := []any{}
	for _, d := range children {
		list = append(list, plainDescriptor(d))
	}
	return marshal(t, map[string]any{"schemaVersion": 2, "mediaType": oci.TypeIndex, "manifests": list, "annotations": note()})
}

// note makes a document as long as real ones are.
func note() map[string]string {
	return map[string]string{"note": strings.Repeat("a document of a test. ", 12)}
}

func plainDescriptor(d oci.Descriptor) map[string]any {
	m := map[string]any{"mediaType": d.MediaType, "digest": d.Digest, "size": d.Size}
	if len(d.URLs) > 0 {
		m["urls"] = d.URLs
	}
	return m
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustImage(t *testing.T, c *Client, ref string) *Image {
	t.Helper()
	image, err := c.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func blobOf(size int) (oci.Descriptor, []byte) {
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	for i := 0; i+8 < size; i += 512 {
		copy(data[i:], fmt.Sprintf("%08d", i))
	}
	return oci.Descriptor{MediaType: oci.TypeLayer, Digest: manifest.DigestOf(data), Size: int64(size)}, data
}
