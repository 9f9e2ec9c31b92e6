//go:build linux

package realtest

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A RegistryServer is a Docker registry (distribution 2.8).
type RegistryServer struct {
	// Addr is its "127.0.0.1:PORT".
	Addr string
	// URL is "http://" or "https://" and Addr.
	URL string
	// User and Password are what [WithPassword] was given.
	User, Password string
	// CAFile is the PEM certificate to trust it by, with [WithTLS].
	CAFile string
	// CertFile and KeyFile are the client's PEM files, with [WithClientCert].
	CertFile, KeyFile string
	// Root is the folder that the registry stores in.
	Root string
	// Client trusts the registry, and has the password and certificate.
	Client *http.Client

	t      testing.TB
	access string // path of the access log
}

// A RegistryOption changes how a registry is started.
type RegistryOption func(*registrySetup)

type registrySetup struct {
	user, password          string
	tls, clientCert, delete bool
}

// WithPassword has the registry ask for this user and password (HTTP basic).
func WithPassword(user, password string) RegistryOption {
	return func(s *registrySetup) { s.user, s.password = user, password }
}

// WithTLS has the registry speak TLS, with a certificate of its own authority.
func WithTLS(s *registrySetup) { s.tls = true }

// WithClientCert has the registry speak TLS and require a client certificate.
func WithClientCert(s *registrySetup) { s.tls, s.clientCert = true, true }

// WithDelete has the registry allow deletion.
func WithDelete(s *registrySetup) { s.delete = true }

// Registry starts an empty registry.
func Registry(t testing.TB, options ...RegistryOption) *RegistryServer {
	t.Helper()
	needSystem(t, "docker-registry")
	var s registrySetup
	for _, option := range options {
		option(&s)
	}
	p := openPlace(t)
	r := &RegistryServer{t: t, User: s.user, Password: s.password, Root: p.path("storage")}
	if err := r.start(p, s); err != nil {
		t.Fatalf("starting a registry: %v", err)
	}
	return r
}

func (r *RegistryServer) start(p *place, s registrySetup) error {
	config := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: %t}
  maintenance: {uploadpurging: {enabled: false}}
http:
  addr: 127.0.0.1:0
  secret: realtest
`, r.Root, s.delete)
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	r.Client = &http.Client{Transport: withPassword{s.user, s.password, transport}}
	scheme := "http://"
	if s.tls {
		scheme = "https://"
		files, err := writeAuthority(p)
		if err != nil {
			return err
		}
		r.CAFile = files.ca
		config += fmt.Sprintf("  tls:\n    certificate: %s\n    key: %s\n", files.serverCert, files.serverKey)
		if s.clientCert {
			config += fmt.Sprintf("    clientcas: [%s]\n", files.ca)
			r.CertFile, r.KeyFile = files.clientCert, files.clientKey
		}
		if transport.TLSClientConfig, err = r.tlsConfig(); err != nil {
			return err
		}
	}
	if s.user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(s.password), bcrypt.MinCost)
		if err != nil {
			return err
		}
		file, err := p.write("htpasswd", s.user+":"+string(hash)+"\n")
		if err != nil {
			return err
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: realtest, path: %s}}\n", file)
	}
	return r.serve(p, config, scheme)
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

func (r *RegistryServer) serve(p *place, config, scheme string) error {
	file, err := p.write("config.yml", config)
	if err != nil {
		return err
	}
	command, err := findSystem("docker-registry")
	if err != nil {
		return err
	}
	g, err := p.start("registry", systemPath(), command, "serve", file)
	if err != nil {
		return err
	}
	r.access = g.stdout
	return g.ready(func() error {
		// The kernel chose the port; the log names it.
		found := listening.FindStringSubmatch(g.output())
		if found == nil {
			return fmt.Errorf("no port in the log")
		}
		r.Addr, r.URL = found[1], scheme+found[1]
		reply, err := r.Client.Get(r.URL + "/v2/" + marker + "ready")
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return fmt.Errorf("GET /v2/: %s", reply.Status)
		}
		return nil
	})
}

type withPassword struct {
	user, password string
	next           http.RoundTripper
}

func (w withPassword) RoundTrip(q *http.Request) (*http.Response, error) {
	if w.user != "" {
		q = q.Clone(q.Context())
		q.SetBasicAuth(w.user, w.password)
	}
	return w.next.RoundTrip(q)
}

// A Request is a line of the registry's access log.
type Request struct {
	Method string
	Path   string // with the query
	Status int
	Bytes  int64 // of the reply's body
	Agent  string
}

// marker is the query of requests of our own, which are not listed.
const marker = "?realtest="

// settle is how long the access log must be unchanged to be complete: a reply
// may arrive a moment before its line is written.
const settle = 50 * time.Millisecond

// Requests returns all requests to the registry that have ended, in that order.
func (r *RegistryServer) Requests() []Request {
	r.t.Helper()
	name := marker + strconv.FormatInt(time.Now().UnixNano(), 10)
	reply, err := r.Client.Get(r.URL + "/v2/" + name)
	if err != nil {
		r.t.Fatalf("asking the registry: %v", err)
	}
	reply.Body.Close()
	var before, log string
	for deadline := time.Now().Add(readyTimeout); !strings.Contains(log, name) || log != before; {
		if time.Now().After(deadline) {
			r.t.Fatalf("access log: no line for %q", name)
		}
		time.Sleep(settle)
		bytes, err := os.ReadFile(r.access)
		if err != nil {
			r.t.Fatalf("reading the access log: %v", err)
		}
		before, log = log, string(bytes)
	}
	requests, err := parseAccessLog(log)
	if err != nil {
		r.t.Fatalf("reading the access log: %v", err)
	}
	return slices.DeleteFunc(requests, func(q Request) bool { return strings.HasPrefix(q.Path, "/v2/"+marker) })
}

// Count returns how many requests had this method and a path that contains
// part: Count("GET", "/blobs/") is the number of blobs fetched.
func (r *RegistryServer) Count(method, part string) int {
	r.t.Helper()
	n := 0
	for _, q := range r.Requests() {
		if q.Method == method && strings.Contains(q.Path, part) {
			n++
		}
	}
	return n
}

// The log has Apache's combined format.
var accessLine = regexp.MustCompile(`^\S+ - \S+ \[[^]]+\] "([A-Z]+) (\S+) [^"]+" (\d{3}) (\d+) "[^"]*" "([^"]*)"$`)

func parseAccessLog(log string) ([]Request, error) {
	var all []Request
	for line := range strings.Lines(log) {
		m := accessLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			return nil, fmt.Errorf("line %q", line)
		}
		status, _ := strconv.Atoi(m[3])
		size, err := strconv.ParseInt(m[4], 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, Request{m[1], m[2], status, size, m[5]})
	}
	return all, nil
}
