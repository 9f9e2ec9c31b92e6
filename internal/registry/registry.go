// Package registry reaches images in OCI and Docker registries (OCI
// distribution-spec 1.1): pulled by digest, pushed so that a release appears
// whole.
//
// Nothing a registry says is believed. Documents are fetched over
// go-containerregistry's authenticated transport but hashed here, because
// that library takes a digest from a response header when the answer calls
// itself a schema 1 manifest. Digests never come from headers, sizes are held,
// encoded answers are refused.
//
// The rules of the connections:
//
//   - TLS 1.2 or later. Plain HTTP goes to 127.0.0.0/8, ::1, localhost and the
//     hosts named in Options.PlainHTTP, and nowhere else, redirects included;
//     go-containerregistry alone would also use it for private addresses.
//   - Credentials go to the registry's host and to the token server that the
//     registry names, never along a redirect.
//   - A Destination opens no connection but to its host and to the token
//     server that this host names, and uses no proxy.
//   - A connection that stays silent for a minute is given up. Trouble that
//     may pass (no connection, a broken body, status 408, 429, 500, 502, 503
//     and 504) is tried again five times within about 30 seconds, or as
//     Retry-After asks, up to two minutes. A host that does not resolve, or
//     refuses the first connection, is not tried again.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// ErrRejected is wrapped where a registry answers other bytes than a digest
// names, or a malformed document.
var ErrRejected = errors.New("rejected")

// Times after which a connection is given up.
const (
	connectTimeout = 15 * time.Second
	pullHeader     = time.Minute     // from the request to the head of the answer
	pushHeader     = 5 * time.Minute // the same where a registry may first have to hash and move a blob
	idleTimeout    = time.Minute     // without a byte
)

const defaultCertsDir = "/etc/docker/certs.d"

// Options say how registries are reached. The zero value is safe: system
// certificates, Docker's certs.d and logins, no plain HTTP but to this machine.
type Options struct {
	CAFiles   []string       // PEM files with further certificate authorities
	CertFile  string         // PEM client certificate, offered to the registries that are named
	KeyFile   string         // its key
	PlainHTTP []string       // HOST or HOST:PORT that may be spoken to without TLS
	CertsDir  string         // Docker's certs.d; empty: /etc/docker/certs.d
	Keychain  authn.Keychain // empty: logins and credential helpers of Docker and Podman
	Parallel  int            // uploads side by side; 0: 4
	Waiting   func(Wait)     // is told before each pause, by several goroutines; nil: nobody is
}

// Client reaches registries. It is safe for use by several goroutines.
type Client struct {
	options Options
	roots   *x509.CertPool // empty: the system's
	pairs   []tls.Certificate
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	pause   func(context.Context, time.Duration) error
	idle    time.Duration

	pull     *network
	mu       sync.Mutex
	repos    map[string]*repository // of the pull side, by host and path
	answered map[string]bool        // hosts
}

// New returns a client. It reads the certificate files that o names.
func New(o Options) (*Client, error) {
	if o.CertsDir == "" {
		o.CertsDir = defaultCertsDir
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	c := &Client{options: o, dial: dial(dialer), pause: pause, idle: idleTimeout,
		repos: map[string]*repository{}, answered: map[string]bool{}}
	if err := c.readCertificates(); err != nil {
		return nil, err
	}
	c.pull = newNetwork(c, pullHeader)
	c.pull.proxy = http.ProxyFromEnvironment
	return c, nil
}

func (c *Client) readCertificates() error {
	for _, file := range c.options.CAFiles {
		pem, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if c.roots == nil {
			c.roots = systemRoots()
		}
		if !c.roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%q holds no PEM certificate", file)
		}
	}
	if c.options.CertFile == "" && c.options.KeyFile == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.options.CertFile, c.options.KeyFile)
	if err != nil {
		return fmt.Errorf("client certificate %q with key %q: %w", c.options.CertFile, c.options.KeyFile, err)
	}
	c.pairs = []tls.Certificate{pair}
	return nil
}

func systemRoots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool()
	}
	return pool
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
