package registry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const userAgent = "airlock"

// network is the lowest RoundTripper. Every request passes through it,
// whatever redirect or token server it comes from, so its rules hold for all.
type network struct {
	client *Client
	proxy  func(*http.Request) (*url.URL, error)
	header time.Duration // limit from the request to the head of the answer
	only   string        // the one host that may be reached; empty: any

	mu     sync.Mutex
	hosts  map[string]*http.Transport
	named  map[string]bool // registries that the user named
	realms map[string]bool // token servers that the host in only named
}

func newNetwork(c *Client, header time.Duration) *network {
	return &network{client: c, header: header, hosts: map[string]*http.Transport{}, named: map[string]bool{}, realms: map[string]bool{}}
}

// plainError is the refusal of a request without TLS.
type plainError struct{ host string }

func (e *plainError) Error() string {
	return fmt.Sprintf("plain HTTP to %q is refused; if you trust the network on the way, name the host: --plain-http %s", e.host, e.host)
}

// strayError is the refusal of a connection that a destination asks for.
type strayError struct{ host, only string }

func (e *strayError) Error() string {
	return fmt.Sprintf("registry %q sends us on to %q; only the destination itself is connected to", e.only, e.host)
}

// RoundTrip sends a request that the rules allow. Where the request has a
// GetBody, the body is made anew, so that a request can be sent again after a
// token was refreshed.
func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	transport, err := n.allow(req.URL)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	out, err := prepare(req)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(out)
	if err == nil {
		n.client.noteAnswer(req.URL.Host)
	}
	if err == nil && n.only != "" {
		n.learn(req.URL, resp)
	}
	return resp, err
}

func (n *network) allow(u *url.URL) (*http.Transport, error) {
	if err := n.check(u); err != nil {
		return nil, err
	}
	return n.transport(u.Host)
}

func prepare(req *http.Request) (*http.Request, error) {
	out := req.Clone(req.Context())
	out.Header.Set("User-Agent", userAgent)
	out.Header.Set("Accept-Encoding", "identity")
	if req.GetBody == nil {
		return out, nil
	}
	req.Body.Close()
	body, err := req.GetBody()
	out.Body = body
	return out, err
}

func (n *network) check(u *url.URL) error {
	if u.Scheme != "https" && (u.Scheme != "http" || !n.client.plainAllowed(u.Host)) {
		return &plainError{host: u.Host}
	}
	if n.only == "" || sameHost(u, n.only) {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.realms[u.Host] {
		return &strayError{host: u.Host, only: n.only}
	}
	return nil
}

// plainAllowed reports whether host, with or without a port, is this machine
// or was named as one to speak plain HTTP to.
func (c *Client) plainAllowed(host string) bool {
	hostname := (&url.URL{Host: host}).Hostname()
	for _, named := range c.options.PlainHTTP {
		if strings.EqualFold(named, host) || strings.EqualFold(named, hostname) {
			return true
		}
	}
	address, err := netip.ParseAddr(hostname)
	return hostname == "localhost" || (err == nil && address.IsLoopback())
}

// sameHost reports whether u leads to host, which may lack the usual port.
func sameHost(u *url.URL, host string) bool {
	ports := map[string]string{"http": "80", "https": "443"}
	other := &url.URL{Host: host}
	port, otherPort := u.Port(), other.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	if otherPort == "" {
		otherPort = ports[u.Scheme]
	}
	return strings.EqualFold(u.Hostname(), other.Hostname()) && port == otherPort
}

var realmForm = regexp.MustCompile(`(?i)\brealm="([^"]+)"`)

// learn notes the token server that the destination names in a challenge
// (distribution-spec, "Authentication"; RFC 6750 section 3).
func (n *network) learn(u *url.URL, resp *http.Response) {
	if resp.StatusCode != http.StatusUnauthorized || !sameHost(u, n.only) {
		return
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		match := realmForm.FindStringSubmatch(challenge)
		if match == nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(challenge)), "bearer") {
			continue
		}
		if realm, err := url.Parse(match[1]); err == nil {
			n.mu.Lock()
			n.realms[realm.Host] = true
			n.mu.Unlock()
		}
	}
}

// name marks host as a registry that the user named.
func (n *network) name(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.named[host] = true
}

// transport returns the connections to one host with the certificates for it.
func (n *network) transport(host string) (*http.Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, ok := n.hosts[host]; ok {
		return t, nil
	}
	config, err := n.client.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	if n.named[host] {
		config.Certificates = append(config.Certificates, n.client.pairs...)
	}
	t := &http.Transport{
		Proxy:                 n.proxy,
		DialContext:           n.client.dial,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: n.header,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
	}
	n.hosts[host] = t
	return t, nil
}

// tlsConfig reads Docker's directory for the host: *.crt are certificate
// authorities, NAME.cert with NAME.key a client certificate.
func (c *Client) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots}
	dir := filepath.Join(c.options.CertsDir, strings.Trim(filepath.Base(host), "."))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return config, nil // Docker's convention: no directory, nothing special
	}
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		switch filepath.Ext(file) {
		case ".crt":
			if config.RootCAs, err = addRoots(config.RootCAs, file); err != nil {
				return nil, err
			}
		case ".cert":
			pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, ".cert")+".key")
			if err != nil {
				return nil, fmt.Errorf("client certificate %q: %w", file, err)
			}
			config.Certificates = append(config.Certificates, pair)
		}
	}
	return config, nil
}

// addRoots returns a pool with the certificates of a file added; pool, which
// other hosts use too, stays as it is.
func addRoots(pool *x509.CertPool, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if pool == nil {
		pool = systemRoots()
	} else {
		pool = pool.Clone()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%q holds no PEM certificate", file)
	}
	return pool, nil
}
