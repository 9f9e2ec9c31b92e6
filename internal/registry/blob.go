package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"airlock/internal/oci"
)

// progressEnough is how many bytes must have come since the last broken
// answer for the count of tries to start anew.
const progressEnough = 1 << 20

// Open returns the bytes [from, to) of a blob. A body that breaks is asked for
// again from where it broke. A registry that says that there are more or fewer
// bytes is an error that wraps ErrRejected; where it does not say, and they end
// too early, Read returns io.ErrUnexpectedEOF. A registry that does no ranges gives an error that
// wraps oci.ErrNoRanges for any part; the whole can be read from it all the same.
// The blob's digest is not checked.
//
// A layer with URLs that the registry lacks ("foreign" layers) is read from
// its URLs, over HTTPS and without credentials.
func (i *Image) Open(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
	if from < 0 || to < from || to > d.Size {
		return nil, fmt.Errorf("blob %s: no bytes %d to %d in %d", d.Digest, from, to, d.Size)
	}
	b := &blob{ctx: ctx, client: i.repo.client, size: d.Size, from: from, to: to, next: from, foreign: len(d.URLs) > 0,
		name: fmt.Sprintf("%s/%s, blob %s", i.ref.host, i.ref.path, d.Digest)}
	if from == to {
		return b, nil
	}
	if err := b.connectAny(i.sources(d)); err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return b, nil
}

// source is a place that a blob's bytes come from.
type source struct {
	name string
	send func(context.Context, call) (*http.Response, error)
	url  string
}

func (i *Image) sources(d oci.Descriptor) []source {
	all := []source{{name: i.repo.name.RegistryStr(), send: i.repo.send, url: i.repo.url("blobs", d.Digest.String())}}
	for _, address := range d.URLs {
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" && u.User == nil {
			all = append(all, source{name: u.Host, send: i.repo.client.sendPlain, url: address})
		}
	}
	return all
}

// sendPlain makes one try without credentials.
func (c *Client) sendPlain(ctx context.Context, call call) (*http.Response, error) {
	return c.send(ctx, &http.Client{Transport: c.pull}, call)
}

// blob reads a part of a blob.
type blob struct {
	ctx      context.Context // of Open; it ends the reading as well
	client   *Client
	name     string
	foreign  bool // has URLs
	source   source
	size     int64
	from, to int64 // what was asked for
	next     int64 // the byte that comes next
	body     io.ReadCloser
	broken   error // by which the body ended
	failures int   // since there was progress
	failedAt int64 // next at the last failure
	ended    bool
}

// connectAny tries the sources one by one and stays with the first that
// answers. The URLs are asked only if the registry says that it lacks the blob.
func (b *blob) connectAny(sources []source) error {
	var all []error
	for n, s := range sources {
		b.source = s
		err := b.client.retry(b.ctx, b.connect)
		if err == nil {
			return nil
		}
		all = append(all, fmt.Errorf("%s: %w", s.name, err))
		var status *statusError
		if b.ctx.Err() != nil || (n == 0 && !errors.As(err, &status)) {
			return err
		}
	}
	if len(sources) > 1 || b.foreign {
		return fmt.Errorf("a foreign layer that neither the registry nor its HTTPS URLs give: %w", errors.Join(all...))
	}
	return all[0]
}

// connect asks the source for the bytes from next on.
func (b *blob) connect() error {
	get := call{method: http.MethodGet, url: b.source.url, header: http.Header{}, want: []int{http.StatusOK}}
	part := b.next > 0 || b.to < b.size
	if part {
		get.header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.next, b.to-1))
		get.want = append(get.want, http.StatusPartialContent)
	}
	resp, err := b.source.send(b.ctx, get)
	if err != nil {
		return err
	}
	if err := b.take(resp, part); err != nil {
		resp.Body.Close()
		return err
	}
	b.body, b.broken = resp.Body, nil
	return nil
}

// take judges the head of an answer and skips what was read before.
func (b *blob) take(resp *http.Response, part bool) error {
	start := b.next
	switch whole := b.from == 0 && b.to == b.size; {
	case resp.StatusCode == http.StatusPartialContent:
		if err := b.checkRange(resp.Header.Get("Content-Range")); err != nil {
			return err
		}
	case part && !whole:
		return fmt.Errorf("the registry: %w", oci.ErrNoRanges)
	default:
		start = 0
	}
	if resp.ContentLength >= 0 && resp.ContentLength != b.to-start {
		return fmt.Errorf("%w: the registry answers %d bytes, want %d", ErrRejected, resp.ContentLength, b.to-start)
	}
	_, err := io.CopyN(io.Discard, resp.Body, b.next-start)
	return err
}

// checkRange refuses an answer with another part than was asked for (RFC 9110
// section 14.4).
func (b *blob) checkRange(header string) error {
	want := fmt.Sprintf("bytes %d-%d/", b.next, b.to-1)
	total, ok := strings.CutPrefix(header, want)
	if ok && (total == "*" || total == strconv.FormatInt(b.size, 10)) {
		return nil
	}
	return fmt.Errorf("%w: content range %q, want %q", oci.ErrNoRanges, clean(header), want+strconv.FormatInt(b.size, 10))
}

func (b *blob) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if b.next == b.to {
			return 0, b.finish()
		}
		if b.broken == nil {
			n, err := b.body.Read(p[:min(int64(len(p)), b.to-b.next)])
			b.next, b.broken = b.next+int64(n), err
			if n > 0 {
				return n, nil
			}
			continue
		}
		if b.broken == io.EOF {
			return 0, fmt.Errorf("%s: %d bytes, want %d: %w", b.name, b.next-b.from, b.to-b.from, io.ErrUnexpectedEOF)
		}
		if err := b.resume(); err != nil {
			return 0, fmt.Errorf("%s: after %d bytes: %w", b.name, b.next-b.from, err)
		}
	}
	return 0, nil
}

// resume connects again after the body broke.
func (b *blob) resume() error {
	b.body.Close()
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	if b.next-b.failedAt >= progressEnough {
		b.failures = 0
	}
	pauses := waits()
	if b.failures == len(pauses) || !mayPass(b.broken) {
		return printable(b.broken)
	}
	b.failedAt = b.next
	b.failures++
	if err := b.client.pause(b.ctx, waitFor(b.broken, pauses[b.failures-1])); err != nil {
		return err
	}
	return b.client.retry(b.ctx, b.connect)
}

// finish returns io.EOF if nothing follows the last byte.
func (b *blob) finish() error {
	if b.ended || b.body == nil || b.broken != nil {
		return io.EOF
	}
	var more [1]byte
	if n, _ := io.ReadFull(b.body, more[:]); n > 0 {
		return fmt.Errorf("%s: %w: more than %d bytes", b.name, ErrRejected, b.to-b.from)
	}
	b.ended = true
	return io.EOF
}

func (b *blob) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}
