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
	RateLimit   int64         // bytes per second each way, over all connections; 0: no limit
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
	arrive  *bucket
	ctx     context.Context // outlives every connection

	mu   sync.Mutex
	keys map[string][]ssh.Signer // by alias: a passphrase is asked for once
}

func newDialer(ctx context.Context, u URL, o Options) (*dialer, error) {
	s, err := readSettings(o)
	if err != nil {
		return nil, err
	}
	d := &dialer{options: o, arrive: newBucket(o.RateLimit), ctx: ctx, keys: map[string][]ssh.Signer{}}
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
		fingerprint := ""
		if i == len(d.hops)-1 {
			fingerprint = d.options.Fingerprint
		}
		conn, client, err := d.hop(ctx, clients, h, fingerprint)
		if err != nil {
			closeAll(clients)
			return nil, nil, err
		}
		if outer == nil {
			outer = conn
		}
		clients = append([]*ssh.Client{client}, clients...)
	}
	return outer, clients, nil
}

// hop connects to one host of the route and logs in. A server has keys of
// several types and shows one: they are asked for, type by type, until one has
// the fingerprint that was given.
func (d *dialer) hop(ctx context.Context, via []*ssh.Client, h host, fingerprint string) (conn *watched, client *ssh.Client, err error) {
	keys, err := newHostKeys(h.keyAddress(), fingerprint, h.known)
	if err != nil {
		return nil, nil, err
	}
	var refused *HostKeyError
	for _, algorithms := range keys.tries() {
		conn, client, err = d.enter(ctx, via, h, keys.offering(algorithms))
		other := (*HostKeyError)(nil)
		if !errors.As(err, &other) || !other.other {
			return conn, client, err
		}
		if refused == nil || refused.Fingerprint == "" {
			refused = other
		}
	}
	return nil, nil, loggingIn(h, refused)
}

// enter is hop with one choice of host keys.
func (d *dialer) enter(ctx context.Context, via []*ssh.Client, h host, keys *hostKeys) (*watched, *ssh.Client, error) {
	raw, err := d.reach(ctx, via, h)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w: %w", h.address(), ErrCut, err)
	}
	conn := newWatched(raw)
	client, err := d.logIn(ctx, conn, h, keys)
	if err != nil {
		conn.Close()
		return nil, nil, loggingIn(h, err)
	}
	return conn, client, nil
}

func loggingIn(h host, err error) error {
	return fmt.Errorf("logging in to %s as %q: %w", h.address(), h.user, err)
}

func (d *dialer) reach(ctx context.Context, via []*ssh.Client, h host) (net.Conn, error) {
	if len(via) == 0 {
		dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", h.address())
		if err != nil {
			return nil, err
		}
		return pace(d.ctx, conn, d.arrive), nil
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
func (d *dialer) logIn(ctx context.Context, conn net.Conn, h host, keys *hostKeys) (*ssh.Client, error) {
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
		return nil, fmt.Errorf("%w: none in an agent, none in %q", ErrNoKey, h.identities)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var refused error // the handshake wraps the callback's error as text only
	c, channels, requests, err := ssh.NewClientConn(conn, h.address(), &ssh.ClientConfig{
		User:              h.user,
		Auth:              in.methods,
		HostKeyAlgorithms: keys.offered,
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
		return nil, describeLogin(err, keys, in.keys)
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

// Why nobody could log in, for errors.Is.
var (
	ErrNoKey  = errors.New("no key to log in with")
	ErrNoneOf = errors.New("the server takes none of the keys")
)

// describeLogin says what it means that a server has none of the known keys, or
// takes none of ours, which were so many.
func describeLogin(err error, keys *hostKeys, ours int) error {
	var none *ssh.AlgorithmNegotiationError
	if errors.As(err, &none) && strings.Contains(err.Error(), "host key") && len(keys.offered) > 0 {
		e := &HostKeyError{Address: keys.address, Type: "none of the known types", Reason: err.Error(), other: keys.fingerprint != ""}
		for _, k := range keys.plain {
			e.Known = append(e.Known, fmt.Sprintf("%s:%d", k.Filename, k.Line))
		}
		return e
	}
	if network := net.Error(nil); errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return fmt.Errorf("%w that were offered (%d)", ErrNoneOf, ours)
	}
	return err
}
