//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// origin is a registry with one image, whose layers are random bytes that it
// makes anew for every request, so that they are nowhere in memory or on disk.
type origin struct {
	host      string
	manifest  []byte
	documents map[string][]byte // manifest and config by digest
	layers    map[string]seeded // by digest
	before    atomic.Pointer[interceptor]
}

// interceptor sees every request for a blob or a document, and may answer it
// itself: it then returns true.
type interceptor func(http.ResponseWriter, *http.Request) bool

// seeded is random bytes that follow from a seed.
type seeded struct {
	seed uint64
	size int64
}

const seedChunk = 64 << 10

// writeTo writes the bytes [from, to).
func (s seeded) writeTo(w io.Writer, from, to int64) error {
	chunk := make([]byte, seedChunk)
	for at := from / seedChunk * seedChunk; at < to; at += seedChunk {
		key := sha256.Sum256(fmt.Appendf(nil, "%d %d", s.seed, at))
		rand.NewChaCha8(key).Read(chunk)
		if _, err := w.Write(chunk[max(from-at, 0):min(to-at, seedChunk)]); err != nil {
			return err
		}
	}
	return nil
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// newOrigin serves an image of so many layers of size bytes each.
func newOrigin(t *testing.T, layers int, size int64) *origin {
	t.Helper()
	o := &origin{documents: map[string][]byte{}, layers: map[string]seeded{}}
	var described []descriptor
	var digests []string
	for i := range layers {
		s, sum := seeded{uint64(i), size}, sha256.New()
		must(t, s.writeTo(sum, 0, size))
		digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
		o.layers[digest] = s
		digests = append(digests, digest)
		described = append(described, descriptor{"application/vnd.oci.image.layer.v1.tar", digest, size})
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
	must(t, err)
	o.documents[digestOf(config)] = config
	o.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": descriptor{"application/vnd.oci.image.config.v1+json", digestOf(config), int64(len(config))},
		"layers": described,
	})
	must(t, err)
	o.documents[digestOf(o.manifest)] = o.manifest
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.host = strings.TrimPrefix(server.URL, "http://")
	return o
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func (o *origin) digest() string { return digestOf(o.manifest) }

// ref returns the image, pinned.
func (o *origin) ref() string { return o.host + "/big/image:1@" + o.digest() }

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if r.URL.Path == "/v2/" {
		return
	}
	if before := o.before.Load(); before != nil && (*before)(w, r) {
		return
	}
	if name == "1" {
		name = o.digest()
	}
	if s, ok := o.layers[name]; ok {
		serveLayer(w, r, s)
		return
	}
	document, ok := o.documents[name]
	if !ok {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", manifestType)
	w.Header().Set("Docker-Content-Digest", name)
	w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	if r.Method != http.MethodHead {
		w.Write(document)
	}
}

// serveLayer answers a request for a layer or, as "bytes=from-last", a part.
func serveLayer(w http.ResponseWriter, r *http.Request, s seeded) {
	from, to := int64(0), s.size
	status := http.StatusOK
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n > 0 {
		if n == 2 {
			to = min(to+1, s.size)
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, s.size))
	}
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.FormatInt(to-from, 10))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = s.writeTo(w, from, to) // the other side may have gone
	}
}

// sink is a registry that keeps documents, and of blobs the digests alone.
type sink struct {
	host string

	mu        sync.Mutex
	blobs     map[string]int64          // sizes by digest
	documents map[string][]byte         // by digest or tag
	before    func(io.Reader) io.Reader // if not nil, stands between an upload's body and the registry
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{blobs: map[string]int64{}, documents: map[string][]byte{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case r.URL.Path == "/v2/":
	case r.Method == http.MethodPost:
		w.Header().Set("Location", r.URL.Path+strconv.FormatUint(rand.Uint64(), 36))
		w.WriteHeader(http.StatusAccepted)
	case strings.Contains(r.URL.Path, "/uploads/") && r.Method == http.MethodPut:
		s.upload(w, r)
	case strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodPut:
		document, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.documents[name], s.documents[digestOf(document)] = document, document
		w.Header().Set("Docker-Content-Digest", digestOf(document))
		w.WriteHeader(http.StatusCreated)
	default:
		s.answer(w, r, name)
	}
}

// upload takes a blob in one request and hashes it.
func (s *sink) upload(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		body = before(body)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if err != nil || digest != r.URL.Query().Get("digest") {
		http.Error(w, `{"errors":[{"code":"DIGEST_INVALID"}]}`, http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = n
	w.WriteHeader(http.StatusCreated)
}

// answer answers requests to read.
func (s *sink) answer(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	document, ok := s.documents[name]
	size := int64(len(document))
	if strings.Contains(r.URL.Path, "/blobs/") {
		size, ok = s.blobs[name]
	}
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if document != nil {
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", digestOf(document))
	}
	if r.Method != http.MethodHead {
		w.Write(document)
	}
}

// empty forgets all that has arrived, and has before stand in the way from now on.
func (s *sink) empty(before func(io.Reader) io.Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.blobs)
	clear(s.documents)
	s.before = before
}

// arrived reports whether a tag stands for the document of that digest.
func (s *sink) arrived(tag, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return digestOf(s.documents[tag]) == digest
}
