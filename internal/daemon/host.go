package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

const (
	unixScheme  = "unix://"
	tcpScheme   = "tcp://"
	dialTimeout = 30 * time.Second
)

// surroundings is where the docker command finds what it talks to. The zero
// value is the process's environment and the user's home folder.
type surroundings struct {
	getenv func(string) string
	home   string
}

func (s surroundings) env(name string) string {
	if s.getenv == nil {
		return os.Getenv(name)
	}
	return s.getenv(name)
}

// folder returns the docker command's configuration folder.
func (s surroundings) folder() (string, error) {
	if dir := s.env("DOCKER_CONFIG"); dir != "" {
		return dir, nil
	}
	home := s.home
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(home, ".docker"), nil
}

// findHost returns the address of the Engine. Only an explicit host may be on
// another machine: a release must not leave this one because of a variable
// that somebody set long ago.
func findHost(explicit string, s surroundings) (string, error) {
	if explicit != "" {
		return checkHost(explicit)
	}
	host, origin := s.env("DOCKER_HOST"), "DOCKER_HOST"
	if host == "" {
		context, err := s.contextName()
		if err != nil {
			return "", err
		}
		if context == "" || context == "default" {
			return client.DefaultDockerHost, nil
		}
		if host, err = s.contextHost(context); err != nil {
			return "", fmt.Errorf("docker context %q: %w", context, err)
		}
		origin = fmt.Sprintf("docker context %q", context)
	}
	if !strings.HasPrefix(host, unixScheme) {
		return "", fmt.Errorf("%s names an engine on another machine, %q; if it is meant, give it as the docker host", origin, host)
	}
	return host, nil
}

func checkHost(host string) (string, error) {
	scheme, rest, ok := strings.Cut(host, "://")
	switch {
	case !ok || rest == "":
		return "", fmt.Errorf("docker host %q: want unix://PATH or tcp://HOST:PORT", host)
	case scheme == "ssh":
		return "", fmt.Errorf("docker host %q: ssh is not spoken; forward the engine's socket (ssh -L /tmp/engine.sock:/var/run/docker.sock …) and name it as unix:///tmp/engine.sock", host)
	case scheme == "unix":
		return host, nil
	case scheme == "tcp":
		if _, _, err := net.SplitHostPort(rest); err != nil {
			return "", fmt.Errorf("docker host %q: %w", host, err)
		}
		return host, nil
	}
	return "", fmt.Errorf("docker host %q: want unix://PATH or tcp://HOST:PORT", host)
}

// contextName returns the docker command's context: "" if none was chosen.
func (s surroundings) contextName() (string, error) {
	if name := s.env("DOCKER_CONTEXT"); name != "" {
		return name, nil
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	dir, err := s.folder()
	if err != nil {
		return "", nil // no home, so no configuration
	}
	err = readJSON(filepath.Join(dir, "config.json"), &config)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return config.CurrentContext, err
}

// contextHost returns the Engine's address in a context of the docker command,
// which names its file by the SHA-256 of the context's name.
func (s surroundings) contextHost(name string) (string, error) {
	dir, err := s.folder()
	if err != nil {
		return "", err
	}
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	sum := sha256.Sum256([]byte(name))
	err = readJSON(filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), &meta)
	return meta.Endpoints["docker"].Host, err
}

// readJSON reads a file of the user's own configuration.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	return nil
}

// connect returns a client for host. It uses no proxy, whatever the
// environment says, and follows no redirect.
func connect(host string) (*client.Client, error) {
	transport := &http.Transport{
		MaxIdleConns:       16,
		IdleConnTimeout:    dialTimeout,
		DisableCompression: true,
		WriteBufferSize:    256 << 10,
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	network, address := "tcp", strings.TrimPrefix(host, tcpScheme)
	if path, ok := strings.CutPrefix(host, unixScheme); ok {
		network, address = "unix", path
	} else if dir := os.Getenv("DOCKER_CERT_PATH"); dir != "" {
		config, err := readTLS(dir)
		if err != nil {
			return nil, fmt.Errorf("DOCKER_CERT_PATH %q: %w", dir, err)
		}
		transport.TLSClientConfig = config
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	// The order counts: WithHost would change the transport it finds.
	return client.New(client.WithHost(host), client.WithHTTPClient(&http.Client{
		Transport:     transport,
		CheckRedirect: client.CheckRedirect,
	}))
}

// readTLS reads the docker command's ca.pem, cert.pem and key.pem. The Engine's
// certificate is always checked against ca.pem, DOCKER_TLS_VERIFY or not.
func readTLS(dir string) (*tls.Config, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca.pem: no certificate in it")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
