package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"airlock/internal/oci"
)

const (
	maxErrorBody  = 8 << 10 // bytes read of an answer that is an error
	maxErrorText  = 300     // characters shown of what a registry says
	maxRetryAfter = 2 * time.Minute
)

// waits are the pauses between tries: six tries in about 30 seconds.
func waits() []time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}
}

// statusError is an answer with another status than was asked for.
type statusError struct {
	host  string
	code  int
	said  string // by the registry, fit to be shown
	after time.Duration
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("the registry answered %d %s", e.code, http.StatusText(e.code))
	if e.said != "" {
		s += ": " + e.said
	}
	return s
}

// Is reports a 404 as fs.ErrNotExist, for who asks for what may be missing.
func (e *statusError) Is(target error) bool {
	return target == fs.ErrNotExist && e.code == http.StatusNotFound
}

// newStatusError reads the registry's reasons (distribution-spec, "Error Codes").
func newStatusError(resp *http.Response) *statusError {
	e := &statusError{code: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	if resp.Request != nil {
		e.host = resp.Request.URL.Host
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var reasons struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &reasons) != nil || len(reasons.Errors) == 0 {
		e.said = clean(string(body))
		return e
	}
	var all []string
	for _, reason := range reasons.Errors {
		all = append(all, strings.TrimSpace(reason.Code+" "+reason.Message))
	}
	e.said = clean(strings.Join(all, "; "))
	return e
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110
// section 10.2.3). It returns zero for anything else.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// isStatus reports whether err is an answer with one of the codes.
func isStatus(err error, codes ...int) bool {
	var status *statusError
	if !errors.As(err, &status) {
		return false
	}
	for _, code := range codes {
		if status.code == code {
			return true
		}
	}
	return false
}

// idleError says that a peer fell silent.
type idleError struct{ after time.Duration }

func (e *idleError) Error() string   { return fmt.Sprintf("no byte for %s", e.after) }
func (e *idleError) Timeout() bool   { return true }
func (e *idleError) Temporary() bool { return true }

// finalError is one that another try would not mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// retry calls try until it succeeds, fails for good or has been called six
// times, and tells Options.Waiting of every wait. The error is fit to be shown.
func (c *Client) retry(ctx context.Context, try func() error) error {
	pauses := waits()
	for i := 0; ; i++ {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		host := hostOf(err)
		if i == len(pauses) || !mayPass(err) || (errors.Is(err, syscall.ECONNREFUSED) && !c.hasAnswered(host)) {
			return printable(err)
		}
		if c.options.Waiting != nil {
			c.options.Waiting(Wait{Host: host, Reason: reason(err), Try: i + 2, Of: len(pauses) + 1})
		}
		if err := c.pause(ctx, waitFor(err, pauses[i])); err != nil {
			return err
		}
	}
}

// Wait is a pause before another try.
type Wait struct {
	Host    string // empty: not known
	Reason  string // on one line
	Try, Of int    // the try to come, and how many there are at most
}

// hostOf returns the host that an error is about, if it says so.
func hostOf(err error) string {
	var status *statusError
	if errors.As(err, &status) {
		return clean(status.host)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		if u, err := url.Parse(failed.URL); err == nil {
			return clean(u.Host)
		}
	}
	return ""
}

// reason returns what is the matter without the addresses around it.
func reason(err error) string {
	var status *statusError
	var network *net.OpError
	switch {
	case errors.As(err, &status):
		return clean(fmt.Sprintf("%d %s", status.code, http.StatusText(status.code)))
	case errors.As(err, &network):
		return clean(network.Err.Error())
	}
	return clean(err.Error())
}

// hasAnswered reports whether a host has answered anything yet: one that did and
// refuses connections now is being started again, any other is mistyped or down.
func (c *Client) hasAnswered(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered[host]
}

func (c *Client) noteAnswer(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered[host] = true
}

// waitFor returns how long to wait after err: what the registry asks for, or
// usual give or take a fifth.
func waitFor(err error, usual time.Duration) time.Duration {
	var status *statusError
	if errors.As(err, &status) && status.after > 0 {
		return status.after
	}
	return usual*4/5 + rand.N(usual*2/5)
}

// mayPass reports whether err is trouble that another try may mend.
func mayPass(err error) bool {
	var (
		final  finalError
		plain  *plainError
		stray  *strayError
		cert   *tls.CertificateVerificationError
		dns    *net.DNSError
		status *statusError
		token  *transport.Error
	)
	switch {
	case errors.As(err, &final), errors.Is(err, ErrRejected), errors.Is(err, oci.ErrNoRanges):
		return false
	case errors.As(err, &status):
		return codeMayPass(status.code) && status.after <= maxRetryAfter
	case errors.As(err, &token):
		return codeMayPass(token.StatusCode)
	case errors.As(err, &plain), errors.As(err, &stray), errors.As(err, &cert), errors.Is(err, http.ErrSchemeMismatch):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

func codeMayPass(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// shown is an error with a text fit for a terminal.
type shown struct {
	text string
	err  error
}

func (e *shown) Error() string { return e.text }
func (e *shown) Unwrap() error { return e.err }

// printable returns err without control characters and without the query of
// the URL in it, which may hold a signed address.
func printable(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.RawQuery != "" {
			u.RawQuery = ""
			failed.URL = u.String()
		}
	}
	if text := err.Error(); scrub(text, maxErrorBody) != text {
		return &shown{text: scrub(text, maxErrorBody), err: err}
	}
	return err
}

// clean returns what a registry says, fit to be shown.
func clean(s string) string { return scrub(s, maxErrorText) }

// scrub returns at most limit printable characters of s on one line.
func scrub(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit]) + "…"
	}
	return s
}
