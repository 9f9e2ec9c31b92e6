package transfer

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// ErrURL is wrapped by the error for a URL that does not name a folder on an
// SFTP server.
var ErrURL = errors.New("want sftp://[user@]host[:port]/folder")

// URL names a folder on an SFTP server. Host may be an alias of the SSH
// configuration, which then gives what is not said here.
type URL struct {
	User string // "": the configuration's, else one's own name
	Host string
	Port string // "": the configuration's, else 22
	Dir  string // as the server sees it; "/~/x" in the URL is "x": below where the session begins
}

// ParseURL parses sftp://[user@]host[:port]/folder. A password, a query and a
// fragment are refused: the first would end in logs, the others mean nothing.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "sftp" || u.Opaque != "" || u.Hostname() == "" {
		return URL{}, fmt.Errorf("%q: %w", redact(s), ErrURL)
	}
	if _, has := u.User.Password(); has {
		return URL{}, fmt.Errorf("%q: %w: a password does not belong in a URL", u.Redacted(), ErrURL)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return URL{}, fmt.Errorf("%q: %w: nothing after the folder", s, ErrURL)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return URL{}, fmt.Errorf("%q: %w: port %q", s, ErrURL, p)
		}
	}
	host, user := u.Hostname(), u.User.Username()
	// A host that begins with a hyphen is an option to somebody, some day.
	if strings.ContainsAny(host+user, " \t\r\n\x00\"'\\*?!,@") || host[0] == '-' || strings.Contains(u.Path, "\x00") {
		return URL{}, fmt.Errorf("%q: %w", s, ErrURL)
	}
	dir := path.Clean("/" + u.Path)
	if dir == "/~" {
		dir = "."
	}
	return URL{User: user, Host: host, Port: u.Port(), Dir: strings.TrimPrefix(dir, "/~/")}, nil
}

// redact takes out what may be a password of what could not be parsed.
func redact(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}
