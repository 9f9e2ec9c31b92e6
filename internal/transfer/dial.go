package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options say how to log in to a server and how to use it. The zero value is
// what OpenSSH's sftp does by default, except that a host key is never taken
// on trust and that no command is ever run, here or there.
type Options struct {
	ConfigFile    string   // in the place of ~/.ssh/config and /etc/ssh/ssh_config; "none": no file
	KnownHosts    []string // in the place of the configuration's known_hosts files
	IdentityFiles []string // key files to try before the configuration's
	Fingerprint   string   // "SHA256:…" of the server's key, for first contact without a known_hosts entry
	AgentSocket   string   // "": $SSH_AUTH_SOCK; "none": no agent
	Home, User    string   // "": those of who runs this

	Passphrase func(file string) ([]byte, error)       // asks for that of a key file; nil: such keys fail
	Password   func(user, host string) ([]byte, error) // asks for the account's; nil: keys only

	Connections int           // over which large files travel: 1 to 4; 0: 2
	RateLimit   int64         // bytes per second, sent over all connections; 0: no limit
	Idle        time.Duration // after so long without a sign of life the server counts as dead; 0: 1 minute
}

const (
	maxConnections = 4
	dialTimeout    = 30 * time.Second
	maxJumps       = 8
)

func (o Options) withDefaults() (Options, error) {
	if o.Connections == 0 {
		o.Connections = 2
	}
	if o.Connections < 1 || o.Connections > maxConnections {
		return o, fmt.Errorf("%d connections: want 1 to %d", o.Connections, maxConnections)
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	switch o.AgentSocket {
	case "":
		o.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	case "none":
		o.AgentSocket = ""
	}
	var err error
	if o.Home == "" {
		o.Home, err = os.UserHomeDir()
	}
	if o.User == "" && err == nil {
		var me *user.User
		if me, err = user.Current(); err == nil {
			o.User = me.Username
		}
	}
	return o, err
}

// dialer connects to one server, again and again.
type dialer struct {
	options Options
	hops    []host // the servers on the way, then the one that is meant

	mu   sync.Mutex
	keys map[string][]ssh.Signer // by alias: a passphrase is asked for once
}

func newDialer(u URL, o Options) (*dialer, error) {
	s, err := readSettings(o)
	if err != nil {
		return nil, err
	}
	d := &dialer{options: o, keys: map[string][]ssh.Signer{}}
	d.hops, err = s.route(u.Host, u.User, u.Port, 0)
	return d, err
}

// route returns the hosts to go through, the last one being that of alias.
func (s *settings) route(alias, user, port string, depth int) ([]host, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("host %q: more than %d jumps: do they lead in a circle?", alias, maxJumps)
	}
	h, err := s.lookUp(alias, user, port)
	if err != nil {
		return nil, err
	}
	var route []host
	for i, jump := range h.jumps {
		user, name, port, err := splitJump(jump)
		if err != nil {
			return nil, err
		}
		way, err := s.route(name, user, port, depth+1)
		if err != nil {
			return nil, err
		}
		if i > 0 { // how to reach a later jump is said by the list
			way = way[len(way)-1:]
		}
		route = append(route, way...)
	}
	return append(route, h), nil
}

// splitJump parses [user@]host[:port], also as ssh://… .
func splitJump(s string) (user, name, port string, err error) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "ssh://")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		user, s = s[:i], s[i+1:]
	}
	name = s
	if strings.Count(s, ":") == 1 || strings.HasPrefix(s, "[") {
		if h, p, err := net.SplitHostPort(s); err == nil {
			name, port = h, p
		} else {
			name = strings.Trim(s, "[]")
		}
	}
	if name == "" || name[0] == '-' {
		return "", "", "", fmt.Errorf("ProxyJump %q: want [user@]host[:port]", s)
	}
	return user, name, port, nil
}

// dial logs in along the whole route. The result's first client is the
// server's own; the others carry it.
func (d *dialer) dial(ctx context.Context) (*watched, []*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout*time.Duration(len(d.hops)))
	defer cancel()
	var outer *watched
	var clients []*ssh.Client
	for i, h := range d.hops {
		raw, err := d.reach(ctx, clients, h)
		if err != nil {
			closeAll(clients)
			return nil, nil, fmt.Errorf("connecting to %s: %w: %w", h.address(), ErrCut, err)
		}
		conn := newWatched(raw)
		if outer == nil {
			outer = conn
		}
		fingerprint := ""
		if i == len(d.hops)-1 {
			fingerprint = d.options.Fingerprint
		}
		client, err := d.logIn(ctx, conn, h, fingerprint)
		if err != nil {
			conn.Close()
			closeAll(clients)
			return nil, nil, fmt.Errorf("logging in to %s as %q: %w", h.address(), h.user, err)
		}
		clients = append([]*ssh.Client{client}, clients...)
	}
	return outer, clients, nil
}

func (d *dialer) reach(ctx context.Context, via []*ssh.Client, h host) (net.Conn, error) {
	if len(via) == 0 {
		dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
		return dialer.DialContext(ctx, "tcp", h.address())
	}
	return via[0].DialContext(ctx, "tcp", h.address())
}

func closeAll(clients []*ssh.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// logIn does the handshake. A server that stops in the midst of it is cut off
// when ctx ends.
func (d *dialer) logIn(ctx context.Context, conn net.Conn, h host, fingerprint string) (*ssh.Client, error) {
	keys, err := newHostKeys(h.keyAddress(), fingerprint, h.known)
	if err != nil {
		return nil, err
	}
	files, err := d.fileKeys(h)
	if err != nil {
		return nil, err
	}
	in, err := newLogin(h, files, d.options)
	if err != nil {
		return nil, err
	}
	defer in.close()
	if len(in.methods) == 0 {
		return nil, fmt.Errorf("no key to log in with: none in an agent, none in %q", h.identities)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var refused error // the handshake wraps the callback's error as text only
	c, channels, requests, err := ssh.NewClientConn(conn, h.address(), &ssh.ClientConfig{
		User:              h.user,
		Auth:              in.methods,
		HostKeyAlgorithms: keys.algorithms(),
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			refused = keys.verify(name, remote, key)
			return refused
		},
	})
	switch {
	case refused != nil:
		return nil, refused
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, describeLogin(err, keys)
	}
	return ssh.NewClient(c, channels, requests), nil
}

func (d *dialer) fileKeys(h host) ([]ssh.Signer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if keys, ok := d.keys[h.alias]; ok {
		return keys, nil
	}
	keys, err := fileSigners(h, d.options)
	if err == nil {
		d.keys[h.alias] = keys
	}
	return keys, err
}

// describeLogin says what a server that has none of the known keys means.
func describeLogin(err error, keys *hostKeys) error {
	var none *ssh.AlgorithmNegotiationError
	if errors.As(err, &none) && strings.Contains(err.Error(), "host key") && len(keys.algorithms()) > 0 {
		e := &HostKeyError{Address: keys.address, Type: "none of the known types", Reason: err.Error()}
		for _, k := range keys.plain {
			e.Known = append(e.Known, fmt.Sprintf("%s:%d", k.Filename, k.Line))
		}
		return e
	}
	if network := net.Error(nil); errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return err
}
