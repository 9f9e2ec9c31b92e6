package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// host is how to reach and recognise one SSH server: what OpenSSH would use
// according to ssh_config(5), as far as it is known here.
type host struct {
	alias, name, port, user string
	keyAlias                string   // the name in known_hosts if not name
	identities              []string // key files, in order
	onlyThose               bool     // of the agent's keys, only those of the files
	agent                   string   // the agent's socket, "" for none
	known                   []string // known_hosts files
	jumps                   []string // [user@]host[:port] of each server on the way, the first first
}

// address is what to connect to.
func (h host) address() string { return net.JoinHostPort(h.name, h.port) }

// keyAddress is how known_hosts names the server.
func (h host) keyAddress() string {
	if h.keyAlias != "" {
		return net.JoinHostPort(h.keyAlias, "22")
	}
	return h.address()
}

// settings answers for hosts from the person's and the system's files.
type settings struct {
	home, me string
	agent    string
	files    []*ssh_config.Config
	options  Options
}

func readSettings(o Options) (*settings, error) {
	s := &settings{home: o.Home, me: o.User, agent: o.AgentSocket, options: o}
	paths := []string{filepath.Join(o.Home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	if o.ConfigFile != "" {
		paths = []string{o.ConfigFile}
	}
	for _, path := range paths {
		if path == "none" {
			continue
		}
		text, err := readSmall(path, 1<<20)
		if errors.Is(err, fs.ErrNotExist) && o.ConfigFile == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the SSH configuration: %w", err)
		}
		if err := s.checkMatches(path, text, 0); err != nil {
			return nil, fmt.Errorf("reading the SSH configuration: %w", err)
		}
		config, err := ssh_config.Decode(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("reading the SSH configuration %q: %w", path, err)
		}
		s.files = append(s.files, config)
	}
	return s, nil
}

// get returns the first value that applies to an alias, as in ssh_config(5).
func (s *settings) get(alias, key string) (string, error) {
	for _, f := range s.files {
		v, err := f.Get(alias, key)
		if v != "" || err != nil {
			return unquote(v), err
		}
	}
	return "", nil
}

func (s *settings) all(alias, key string) (values []string, err error) {
	for _, f := range s.files {
		more, err := f.GetAll(alias, key)
		if err != nil {
			return nil, err
		}
		for _, v := range more {
			values = append(values, unquote(v))
		}
	}
	return values, nil
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// lookUp returns how to reach a host; user and port, if not empty, stand above
// the files.
func (s *settings) lookUp(alias, user, port string) (host, error) {
	h := host{alias: alias, user: user, port: port, agent: s.agent}
	var err error
	get := func(key string) (v string) {
		if err == nil {
			v, err = s.get(alias, key)
		}
		return v
	}
	if h.user == "" {
		h.user = or(get("User"), s.me)
	}
	if h.port == "" {
		h.port = or(get("Port"), "22")
	}
	h.name = strings.ReplaceAll(or(get("HostName"), alias), "%h", alias)
	h.keyAlias = get("HostKeyAlias")
	h.onlyThose = strings.EqualFold(get("IdentitiesOnly"), "yes")
	if agent := get("IdentityAgent"); agent == "none" {
		h.agent = ""
	} else if agent != "" && agent != "SSH_AUTH_SOCK" {
		h.agent, err = s.expand(h, agent)
	}
	if command := get("ProxyCommand"); command != "" && command != "none" {
		return h, fmt.Errorf("host %q: the SSH configuration has a ProxyCommand, which is not run here (use ProxyJump)", alias)
	}
	if jumps := get("ProxyJump"); jumps != "" && jumps != "none" {
		h.jumps = strings.Split(jumps, ",")
	}
	if err == nil {
		err = s.findFiles(&h)
	}
	if err != nil {
		return h, fmt.Errorf("host %q: reading the SSH configuration: %w", alias, err)
	}
	return h, nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// findFiles fills in the key and known_hosts files.
func (s *settings) findFiles(h *host) error {
	identities, err := s.all(h.alias, "IdentityFile")
	if err != nil {
		return err
	}
	identities = append(append([]string{}, s.options.IdentityFiles...), identities...)
	if len(identities) == 0 {
		identities = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	if h.identities, err = s.expandAll(*h, identities); err != nil {
		return err
	}
	known := s.options.KnownHosts
	if len(known) == 0 {
		user, err := s.get(h.alias, "UserKnownHostsFile")
		if err != nil {
			return err
		}
		global, err := s.get(h.alias, "GlobalKnownHostsFile")
		if err != nil {
			return err
		}
		known = append(strings.Fields(or(user, "~/.ssh/known_hosts ~/.ssh/known_hosts2")),
			strings.Fields(or(global, "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"))...)
	}
	h.known, err = s.expandAll(*h, known)
	return err
}

func (s *settings) expandAll(h host, paths []string) (list []string, err error) {
	for _, p := range paths {
		if p == "none" {
			continue
		}
		if p, err = s.expand(h, p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// atHome puts the home folder for ~.
func (s *settings) atHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(s.home, rest)
	}
	return path
}

// expand replaces ~ and the tokens that have a meaning here (ssh_config(5),
// TOKENS); any other is an error rather than a wrong file.
func (s *settings) expand(h host, path string) (string, error) {
	path = s.atHome(path)
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+1 == len(path) {
			b.WriteByte(path[i])
			continue
		}
		i++
		value, ok := map[byte]string{
			'%': "%", 'd': s.home, 'h': h.name, 'n': h.alias, 'p': h.port, 'r': h.user, 'u': s.me, 'k': or(h.keyAlias, h.alias),
		}[path[i]]
		if !ok {
			return "", fmt.Errorf("%q: the token %%%c is not known", path, path[i])
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// readSmall reads a file of the person's, with a bound.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%q: want a file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}
