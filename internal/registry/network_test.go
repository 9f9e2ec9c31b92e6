package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"airlock/internal/oci"
)

// keychain gives one login to every registry.
type keychain struct{ auth authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.auth, nil }

func login(user, password string) authn.Keychain {
	return keychain{&authn.Basic{Username: user, Password: password}}
}

func TestPlainHTTP(t *testing.T) {
	raw := imageDocument(t, nil)
	for _, test := range []struct {
		host  string
		named []string
		ok    bool
	}{
		{"192.168.7.7:5000", nil, false},
		{"10.0.0.1", nil, false},
		{"172.16.0.1:80", nil, false},
		{"registry.local:5000", nil, false},
		{"registry.localhost:5000", nil, false},
		{"registry.example", nil, false},
		{"registry.local:5000", []string{"registry.local:5001", "local:5000"}, false},
		{"registry.local:5000", []string{"registry.local:5000"}, true},
		{"registry.local:5000", []string{"registry.local"}, true},
		{"192.168.7.7:5000", []string{"192.168.7.7"}, true},
		{"localhost:5000", nil, true},
		{"127.3.2.1:5000", nil, true},
		{"[::1]:5000", nil, true},
	} {
		t.Run(test.host+strings.Join(test.named, ","), func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			f.document("web", oci.TypeManifest, raw, "1")
			c, waited := newTestClient(t, Options{PlainHTTP: test.named, Keychain: login("ana", "secret")})
			routes := map[string]string{test.host: f.host(), test.host + ":80": f.host(), test.host + ":443": f.host()}
			c.route(routes)
			_, err := mustImage(t, c, test.host+"/web:1").Resolve(t.Context())
			if test.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "--plain-http "+test.host) || len(waited.all) > 0 {
				t.Errorf("%v; want a refusal that names the flag", err)
			}
			if n := len(f.seen("")); n != 0 {
				t.Errorf("%d requests in plain text", n)
			}
		})
	}
}

func TestRedirectToPlainHTTP(t *testing.T) {
	d, data := blobOf(100)
	elsewhere := newFake(t, httptest.NewServer)
	elsewhere.on("GET /blob", rangesOf(data))
	for _, start := range []func(http.Handler) *httptest.Server{httptest.NewServer, httptest.NewTLSServer} {
		f := newFake(t, start)
		f.on("GET /v2/web/blobs/"+d.Digest.String(), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://cdn.example/blob", http.StatusTemporaryRedirect)
		})
		options := Options{}
		if f.TLS != nil {
			options.CAFiles = []string{caFile(t, f.Certificate(), t.TempDir()+"/ca.pem")}
		}
		c, _ := newTestClient(t, options)
		c.route(map[string]string{f.host(): f.host(), "cdn.example:80": elsewhere.host()})
		_, err := readBlob(t.Context(), mustImage(t, c, f.host()+"/web:1"), d, 0, d.Size)
		if err == nil || !strings.Contains(err.Error(), "--plain-http cdn.example") {
			t.Errorf("%v", err)
		}
	}
	if n := len(elsewhere.seen("")); n != 0 {
		t.Errorf("%d requests in plain text", n)
	}
}

// TestCredentialsStay follows redirects to the same name with another port, to
// a host below the registry's, and to a stranger.
func TestCredentialsStay(t *testing.T) {
	d, data := blobOf(100)
	site := newAuthority(t, "example.com", "cdn.example.com", "stranger.example")
	for _, kind := range []string{"basic", "bearer"} {
		for _, host := range []string{"example.com:8443", "cdn.example.com", "stranger.example"} {
			t.Run(kind+" "+host, func(t *testing.T) {
				elsewhere := newFake(t, site.server)
				elsewhere.on("GET /blob", rangesOf(data))
				f := newFake(t, site.server)
				protect(f, kind, "https://example.com/token")
				f.on("GET /v2/web/blobs/"+d.Digest.String(), guarded(f, kind, func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "https://"+host+"/blob?signature=hidden", http.StatusTemporaryRedirect)
				}))
				c, _ := newTestClient(t, Options{Keychain: login("ana", "secret"), CAFiles: []string{site.file}})
				address := host
				if !strings.Contains(host, ":") {
					address += ":443"
				}
				c.route(map[string]string{"example.com:443": f.host(), address: elsewhere.host()})
				got, err := readBlob(t.Context(), mustImage(t, c, "example.com/web:1"), d, 0, d.Size)
				if err != nil || len(got) != len(data) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				all := elsewhere.seen("")
				if len(all) == 0 {
					t.Fatal("the redirect was not followed")
				}
				for _, r := range all {
					if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
						t.Errorf("credentials went to %s", host)
					}
				}
			})
		}
	}
}

// protect has a fake ask for a login; guarded handlers demand it.
func protect(f *fake, kind, realm string) {
	challenge := `Basic realm="test"`
	if kind == "bearer" {
		challenge = fmt.Sprintf(`Bearer realm=%q,service="test"`, realm)
	}
	f.on("GET /v2/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	})
	f.on("GET /token", tokens)
}

// tokens is a token server that wants ana's password.
func tokens(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != "ana" || password != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprint(w, `{"token":"good"}`)
}

func guarded(_ *fake, kind string, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		basic := user == "ana" && password == "secret"
		if kind == "basic" && !basic || kind == "bearer" && r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler(w, r)
	}
}

func TestTokenServer(t *testing.T) {
	raw := imageDocument(t, nil)
	site := newAuthority(t, "auth.example")
	for _, test := range []struct {
		realm, refused string
	}{
		{"https://auth.example/token", ""},
		{"http://auth.example/token", "http"},
		{"http://192.168.0.9/token", "192.168.0.9"},
		{"https://169.254.169.254/token", "169.254.169.254"},
		{"ftp://auth.example/token", "ftp"},
	} {
		t.Run(test.realm, func(t *testing.T) {
			auth := newFake(t, site.server)
			auth.on("GET /token", tokens)
			plain := newFake(t, httptest.NewServer)
			f := newFake(t, httptest.NewServer) // a loopback registry: http realms pass the library's own check
			protect(f, "bearer", test.realm)
			f.document("web", oci.TypeManifest, raw, "1")
			f.on("GET /v2/web/manifests/1", guarded(f, "bearer", answer(oci.TypeManifest, raw)))
			c, _ := newTestClient(t, Options{Keychain: login("ana", "secret"), CAFiles: []string{site.file}})
			dialled := c.route(map[string]string{f.host(): f.host(), "auth.example:443": auth.host(), "auth.example:80": plain.host(), "192.168.0.9:80": plain.host()})
			_, err := mustImage(t, c, f.host()+"/web:1").Resolve(t.Context())
			if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%v, want %q", err, test.refused)
			}
			if len(plain.seen("")) > 0 || dialled.has("169.254.169.254:443") {
				t.Error("the token server was asked")
			}
			for _, r := range f.seen("") {
				if strings.HasPrefix(r.Header.Get("Authorization"), "Basic") {
					t.Error("the password went to the registry, not to its token server")
				}
			}
		})
	}
}

func TestTokenIsRefreshed(t *testing.T) {
	raw := imageDocument(t, nil)
	f := newFake(t, httptest.NewServer)
	protect(f, "bearer", f.URL+"/token")
	d := f.document("web", oci.TypeManifest, raw, "1")
	expired := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test",scope="repository:web:pull"`, f.URL+"/token"))
		w.WriteHeader(http.StatusUnauthorized)
	}
	f.on("GET /v2/web/manifests/1", flaky(expired, guarded(f, "bearer", answer(oci.TypeManifest, raw))))
	c, waited := newTestClient(t, Options{Keychain: login("ana", "secret")})
	got, err := mustImage(t, c, f.host()+"/web:1").Resolve(t.Context())
	if err != nil || got.Digest != d.Digest || len(waited.all) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if scope := f.seen("GET /token")[0].URL.Query().Get("scope"); scope != "repository:web:pull" {
		t.Errorf("scope %q", scope)
	}
}

func TestCertificates(t *testing.T) {
	raw := imageDocument(t, nil)
	site := newAuthority(t)
	certFile, keyFile := site.file, site.keyFile
	f := newFake(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: site.pool}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		return s
	})
	f.document("web", oci.TypeManifest, raw, "1")
	ca := caFile(t, f.Certificate(), t.TempDir()+"/ca.pem")

	certsD := t.TempDir()
	caFile(t, f.Certificate(), filepath.Join(certsD, f.host(), "site.crt"))
	copyFile(t, certFile, filepath.Join(certsD, f.host(), "client.cert"))
	copyFile(t, keyFile, filepath.Join(certsD, f.host(), "client.key"))
	otherD := t.TempDir()
	copyTree(t, filepath.Join(certsD, f.host()), filepath.Join(otherD, "other.example"))
	for _, test := range []struct {
		name    string
		options Options
		ok      bool
	}{
		{"options", Options{CAFiles: []string{ca}, CertFile: certFile, KeyFile: keyFile}, true},
		{"certs.d", Options{CertsDir: certsD}, true},
		{"no certificate", Options{CAFiles: []string{ca}}, false},
		{"unknown authority", Options{CertFile: certFile, KeyFile: keyFile}, false},
		{"certs.d of another host", Options{CertsDir: otherD}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, waited := newTestClient(t, test.options)
			_, err := mustImage(t, c, f.host()+"/web:1").Resolve(t.Context())
			if (err == nil) != test.ok {
				t.Errorf("%v", err)
			}
			if test.name == "unknown authority" && len(waited.all) > 0 {
				t.Errorf("an unknown authority was tried %d more times", len(waited.all))
			}
		})
	}
	for _, o := range []Options{{CAFiles: []string{keyFile}}, {CAFiles: []string{"/nonexistent"}}, {CertFile: certFile}, {CertFile: keyFile, KeyFile: certFile}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestRedirectsKeepSecrets sends the client on to a stranger who asks for its
// certificate, and to one that nobody answers for.
func TestRedirectsKeepSecrets(t *testing.T) {
	d, data := blobOf(100)
	site := newAuthority(t, "example.com", "stranger.example")
	asking := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{site.pair}, ClientAuth: tls.RequestClientCert}
		s.StartTLS()
		return s
	}
	stranger, f := newFake(t, asking), newFake(t, asking)
	stranger.on("GET /blob", rangesOf(data))
	target := "https://stranger.example/blob"
	f.on("GET /v2/web/blobs/"+d.Digest.String(), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	})
	c, _ := newTestClient(t, Options{CAFiles: []string{site.file}, CertFile: site.file, KeyFile: site.keyFile})
	c.route(map[string]string{"example.com:443": f.host(), "stranger.example:443": stranger.host()})
	image := mustImage(t, c, "example.com/web:1")
	if _, err := readBlob(t.Context(), image, d, 0, d.Size); err != nil {
		t.Fatal(err)
	}
	if n := len(f.seen("GET /v2/web/blobs/")[0].TLS.PeerCertificates); n != 1 {
		t.Errorf("the registry saw %d certificates, want one", n)
	}
	if n := len(stranger.seen("GET /blob")[0].TLS.PeerCertificates); n != 0 {
		t.Errorf("a stranger saw %d certificates", n)
	}
	target = "https://nobody.example/blob?X-Signature=secret"
	if _, err := readBlob(t.Context(), image, d, 0, d.Size); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "nobody.example") {
		t.Errorf("%v", err)
	}
}

// authority is a certificate for some names, signed by itself, and the file to
// trust it by.
type authority struct {
	file, keyFile string
	pair          tls.Certificate
	pool          *x509.CertPool
}

func newAuthority(t *testing.T, names ...string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	dir := t.TempDir()
	a.file, a.keyFile = caFile(t, cert, dir+"/cert.pem"), dir+"/key.pem"
	if err := os.WriteFile(a.keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// server starts a server with the certificate.
func (a *authority) server(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.pair}}
	s.StartTLS()
	return s
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestSameHost(t *testing.T) {
	for _, test := range []struct {
		u, host string
		want    bool
	}{
		{"https://a.example/x", "a.example", true},
		{"https://a.example:443/x", "a.example", true},
		{"https://A.example/x", "a.example:443", true},
		{"https://a.example/x", "a.example:5000", false},
		{"https://a.example:5001/x", "a.example:5000", false},
		{"https://a.example.evil/x", "a.example", false},
		{"https://b.a.example/x", "a.example", false},
		{"https://a.example@evil/x", "a.example", false},
		{"https://[::1]:5000/x", "[::1]:5000", true},
	} {
		u, err := url.Parse(test.u)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameHost(u, test.host); got != test.want {
			t.Errorf("%s and %s: %t", test.u, test.host, got)
		}
	}
}
