//go:build linux

package realtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A pusher makes images and pushes them (OCI distribution-spec 1.1).
type pusher struct {
	ctx    context.Context
	url    string // "http://host:port"
	client *http.Client
	corpus *Corpus
	hello  []byte
	packed map[string][]byte // layers by media type and diffID
}

// blob pushes a blob in one request after the one that opens the upload.
func (p *pusher) blob(name, mediaType string, content []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digest(content), Size: int64(len(content))}
	p.corpus.Blobs[d.Digest] = content
	reply, err := p.send(http.MethodPost, p.url+"/v2/corpus/"+name+"/blobs/uploads/", "", nil)
	if err != nil {
		return d, err
	}
	place, err := reply.Location()
	if err != nil {
		return d, err
	}
	query := place.Query()
	query.Set("digest", d.Digest)
	place.RawQuery = query.Encode()
	_, err = p.send(http.MethodPut, place.String(), "application/octet-stream", content)
	return d, err
}

// manifest pushes m by its digest and completes what im says of it.
func (p *pusher) manifest(im *Image, name string, m manifest) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	im.Digest, im.MediaType, im.Size = digest(raw), m.MediaType, int64(len(raw))
	im.Repo = p.corpus.Registry + "/corpus/" + name
	im.Pinned = im.Repo + "@" + im.Digest
	p.corpus.Manifests[im.Digest] = raw
	return p.put(im, im.Digest)
}

// tag gives im a tag; the last one is its Ref.
func (p *pusher) tag(im *Image, tag string) error {
	im.Ref = im.Repo + ":" + tag
	return p.put(im, tag)
}

func (p *pusher) put(im *Image, reference string) error {
	path := strings.TrimPrefix(im.Repo, p.corpus.Registry+"/")
	reply, err := p.send(http.MethodPut, p.url+"/v2/"+path+"/manifests/"+url.PathEscape(reference),
		im.MediaType, p.corpus.Manifests[im.Digest])
	if err != nil {
		return err
	}
	if got := reply.Header.Get("Docker-Content-Digest"); got != im.Digest {
		return fmt.Errorf("the registry says %q of manifest %s", got, im.Digest)
	}
	return nil
}

// send returns a reply that says success, its body closed.
func (p *pusher) send(method, to, mediaType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(p.ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	reply, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(reply.Body, 4096))
	if err = errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	if reply.StatusCode < 200 || reply.StatusCode > 299 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, to, reply.Status, text)
	}
	return reply, nil
}
