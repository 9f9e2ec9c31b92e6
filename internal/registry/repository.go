package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"airlock/internal/oci"
)

// acceptDocuments asks for the four kinds of document and nothing else, above
// all not for schema 1.
const acceptDocuments = oci.TypeIndex + ", " + oci.TypeManifest + ", " + oci.TypeDockerList + ", " + oci.TypeDockerManifest

// acceptAny is for a question what a tag stands for, whatever that may be.
const acceptAny = acceptDocuments + ", */*;q=0.1"

// repository is one repository of a registry with the login for it.
type repository struct {
	client *Client
	net    *network
	name   name.Repository
	scopes []string

	mu   sync.Mutex
	auth http.RoundTripper // made by the first request
}

// newRepository returns host/path with a login for the action, pull or push,
// and for pulling from the paths in also.
func (n *network) newRepository(ref reference, action string, also ...string) (*repository, error) {
	var insecure []name.Option
	if n.client.plainAllowed(ref.host) {
		insecure = append(insecure, name.Insecure)
	}
	repo, err := name.NewRepository(ref.host+"/"+ref.path, insecure...)
	if err != nil {
		return nil, err
	}
	n.name(repo.RegistryStr())
	r := &repository{client: n.client, net: n, name: repo, scopes: []string{repo.Scope(action)}}
	for _, path := range also {
		r.scopes = append(r.scopes, repo.Registry.Repo(path).Scope(transport.PullScope))
	}
	return r, nil
}

// call is one HTTP request.
type call struct {
	method string
	url    string
	header http.Header
	body   func() io.ReadCloser // makes the body, as often as it is needed; empty: none
	size   int64                // bytes of the body
	want   []int                // status codes that are answers; all others are errors
}

// url returns the address of something in the repository.
func (r *repository) url(parts ...string) string {
	// The transport puts http in where that is what the registry speaks.
	return "https://" + r.name.RegistryStr() + "/v2/" + r.name.RepositoryStr() + "/" + strings.Join(parts, "/")
}

// send makes one try. It returns an answer with a status that c wants; its
// body fails when it stays silent too long.
func (r *repository) send(ctx context.Context, c call) (*http.Response, error) {
	auth, err := r.login(ctx)
	if err != nil {
		return nil, err
	}
	return r.client.send(ctx, &http.Client{Transport: auth, CheckRedirect: r.redirect}, c)
}

// redirect lets the network judge where a redirect leads, but for questions
// whether a destination has a blob: that it would send us on is the answer.
func (r *repository) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return finalError{errors.New("more than 10 redirects")}
	}
	if r.net.only != "" && req.Method == http.MethodHead && !sameHost(req.URL, r.net.only) {
		return http.ErrUseLastResponse
	}
	return nil
}

// login pings the registry and gets a token if it wants one.
func (r *repository) login(ctx context.Context) (http.RoundTripper, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auth != nil {
		return r.auth, nil
	}
	credentials, err := authn.Resolve(ctx, r.client.options.Keychain, r.name)
	if err != nil {
		return nil, finalError{fmt.Errorf("reading the login for %s: %w", r.name.RegistryStr(), err)}
	}
	auth, err := transport.NewWithContext(ctx, r.name.Registry, credentials, r.net, r.scopes)
	if err != nil {
		return nil, r.loginError(err)
	}
	r.auth = auth
	return auth, nil
}

func (r *repository) loginError(err error) error {
	var (
		failed *url.Error
		token  *transport.Error
	)
	host := r.name.RegistryStr()
	switch {
	case errors.Is(err, http.ErrSchemeMismatch) && !r.client.plainAllowed(host):
		return &plainError{host: host}
	case errors.As(err, &failed) || errors.As(err, &token):
		return fmt.Errorf("logging in to %s: %w", host, err)
	}
	return finalError{fmt.Errorf("logging in to %s: %w", host, err)}
}

// send makes one try over web.
func (c *Client) send(ctx context.Context, web *http.Client, call call) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, call.method, call.url, nil)
	if err != nil {
		cancel(nil)
		return nil, finalError{err}
	}
	for key, values := range call.header {
		req.Header[key] = values
	}
	watch := &watch{idle: c.idle, cancel: cancel, ctx: ctx}
	if call.body != nil && call.size > 0 {
		req.ContentLength = call.size
		req.GetBody = func() (io.ReadCloser, error) { return watch.sending(call.body()), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := web.Do(req)
	if err != nil {
		err = watch.explain(err)
		cancel(nil)
		return nil, err
	}
	resp.Body = watch.receiving(resp.Body)
	if err := judge(resp, call.want); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func judge(resp *http.Response, want []int) error {
	if !slices.Contains(want, resp.StatusCode) {
		return newStatusError(resp)
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("%w: the registry answered in the encoding %q, which was not asked for", ErrRejected, clean(encoding))
	}
	return nil
}

// watch ends a request whose peer falls silent.
type watch struct {
	idle   time.Duration
	cancel context.CancelCauseFunc
	ctx    context.Context
}

// explain returns why the request was ended, if it was us.
func (w *watch) explain(err error) error {
	var idle *idleError
	if errors.As(context.Cause(w.ctx), &idle) {
		return idle
	}
	return err
}

func (w *watch) timer() *time.Timer {
	t := time.AfterFunc(w.idle, func() { w.cancel(&idleError{after: w.idle}) })
	t.Stop()
	return t
}

// sending watches a body on its way out: the clock runs while the peer does
// not take what was read.
func (w *watch) sending(body io.ReadCloser) io.ReadCloser {
	return &sending{ReadCloser: body, watch: w, timer: w.timer()}
}

type sending struct {
	io.ReadCloser
	*watch
	timer *time.Timer
}

func (s *sending) Read(p []byte) (int, error) {
	s.timer.Stop()
	n, err := s.ReadCloser.Read(p)
	if err == nil {
		s.timer.Reset(s.idle)
	}
	return n, err
}

func (s *sending) Close() error {
	s.timer.Stop()
	return s.ReadCloser.Close()
}

// receiving watches a body on its way in: the clock runs while a Read waits.
func (w *watch) receiving(body io.ReadCloser) io.ReadCloser {
	return &receiving{ReadCloser: body, watch: w, timer: w.timer()}
}

type receiving struct {
	io.ReadCloser
	*watch
	timer *time.Timer
}

func (r *receiving) Read(p []byte) (int, error) {
	r.timer.Reset(r.idle)
	n, err := r.ReadCloser.Read(p)
	r.timer.Stop()
	if err != nil && err != io.EOF {
		err = r.explain(err)
	}
	return n, err
}

func (r *receiving) Close() error {
	r.timer.Stop()
	err := r.ReadCloser.Close()
	r.cancel(nil)
	return err
}
