package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"airlock/internal/oci"
)

func rangesOf(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// cut serves data but breaks the connection after every n bytes, but for
// answers that are shorter. It counts what it sends.
func cut(handler http.HandlerFunc, n int64, sent *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handler(&cutter{ResponseWriter: w, left: n, sent: sent}, r)
	}
}

type cutter struct {
	http.ResponseWriter
	left int64
	sent *atomic.Int64
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(int64(len(p)), c.left)])
	c.sent.Add(int64(n))
	if c.left -= int64(n); c.left == 0 {
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func noRanges(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	}
}

func chunked(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(data)
	}
}

func claimRange(header string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", header)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data)
	}
}

func TestOpen(t *testing.T) {
	const size = 100_000
	d, data := blobOf(size)
	var ignored atomic.Int64
	tests := []struct {
		name     string
		handler  http.HandlerFunc
		from, to int64
		want     error // nil: the bytes
	}{
		{"whole", rangesOf(data), 0, size, nil},
		{"start", rangesOf(data), 0, 10, nil},
		{"middle", rangesOf(data), 999, 70_001, nil},
		{"end", rangesOf(data), size - 1, size, nil},
		{"nothing", status(500, ""), 7, 7, nil},
		{"total unknown", claimRange("bytes 5-9/*", data[5:10]), 5, 10, nil},
		{"whole without ranges", noRanges(data), 0, size, nil},
		{"whole in chunks", chunked(data), 0, size, nil},
		{"part without ranges", noRanges(data), 5, size, oci.ErrNoRanges},
		{"start without ranges", noRanges(data), 0, 5, oci.ErrNoRanges},
		{"other part", claimRange("bytes 6-10/100000", data[6:11]), 5, 10, oci.ErrNoRanges},
		{"shorter part", claimRange("bytes 5-8/100000", data[5:9]), 5, 10, oci.ErrNoRanges},
		{"other total", claimRange("bytes 5-9/100001", data[5:10]), 5, 10, oci.ErrNoRanges},
		{"no content range", claimRange("", data[5:10]), 5, 10, oci.ErrNoRanges},
		{"short", noRanges(data[:size-1]), 0, size, ErrRejected},
		{"short in chunks", chunked(data[:size-1]), 0, size, io.ErrUnexpectedEOF},
		{"empty", noRanges(nil), 0, size, ErrRejected},
		{"short part", claimRange("bytes 5-9/100000", data[5:9]), 5, 10, ErrRejected},
		{"long", noRanges(append(bytes.Clone(data), 0)), 0, size, ErrRejected},
		{"long in chunks", chunked(append(bytes.Clone(data), 0)), 0, size, ErrRejected},
		{"long part", claimRange("bytes 5-9/100000", data[5:11]), 5, 10, ErrRejected},
		{"broken", cut(rangesOf(data), 30_000, &ignored), 0, size, nil},
		{"part broken", cut(rangesOf(data), 30_000, &ignored), 10, size - 10, nil},
		{"encoded", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			noRanges(data)(w, r)
		}, 0, size, ErrRejected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			f.on("GET /v2/web/blobs/"+d.Digest.String(), test.handler)
			c, _ := newTestClient(t, Options{})
			got, err := readBlob(t.Context(), mustImage(t, c, f.host()+"/web:1"), d, test.from, test.to)
			if test.want == nil && (err != nil || !bytes.Equal(got, data[test.from:test.to])) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("%v: does not name the blob", err)
			}
		})
	}
	if !errors.Is(oci.ErrNoRanges, oci.ErrNoRanges) {
		t.Error("oci.ErrNoRanges says nothing to package create")
	}
	c, _ := newTestClient(t, Options{})
	for _, part := range [][2]int64{{-1, 5}, {5, 4}, {0, size + 1}} {
		if _, err := mustImage(t, c, "localhost:1/web:1").Open(t.Context(), d, part[0], part[1]); err == nil {
			t.Errorf("opened %v", part)
		}
	}
}

func readBlob(ctx context.Context, image *Image, d oci.Descriptor, from, to int64) ([]byte, error) {
	r, err := image.Open(ctx, d, from, to)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestBrokenBodyGoesOn has a blob whose connection breaks again and again: no
// byte is sent twice, and each request starts where the last one broke.
func TestBrokenBodyGoesOn(t *testing.T) {
	const size, piece = 20 << 20, 1<<20 + 100
	d, data := blobOf(size)
	f := newFake(t, httptest.NewServer)
	var sent atomic.Int64
	f.on("GET /v2/web/blobs/"+d.Digest.String(), cut(rangesOf(data), piece, &sent))
	c, waited := newTestClient(t, Options{})
	got, err := readBlob(t.Context(), mustImage(t, c, f.host()+"/web:1"), d, 0, size)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if sent.Load() != size {
		t.Errorf("%d bytes were sent for %d", sent.Load(), size)
	}
	requests := f.seen("GET /v2/web/blobs/")
	if len(requests) != (size+piece-1)/piece || len(waited.all) != len(requests)-1 {
		t.Fatalf("%d requests, %d waits", len(requests), len(waited.all))
	}
	for i, r := range requests[1:] {
		if want := fmt.Sprintf("bytes=%d-%d", (i+1)*piece, size-1); r.Header.Get("Range") != want {
			t.Errorf("request %d: range %q, want %q", i+1, r.Header.Get("Range"), want)
		}
	}
}

func TestBrokenBodyEnds(t *testing.T) {
	d, data := blobOf(100_000)
	var sent atomic.Int64
	for name, test := range map[string]struct {
		handler  http.HandlerFunc
		requests int
		ok       bool
	}{
		"no progress":    {cut(rangesOf(data), 1, &sent), 6, false},
		"without ranges": {flaky(cut(noRanges(data), 60_000, &sent), noRanges(data)), 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			f.on("GET /v2/web/blobs/"+d.Digest.String(), test.handler)
			c, _ := newTestClient(t, Options{})
			got, err := readBlob(t.Context(), mustImage(t, c, f.host()+"/web:1"), d, 0, d.Size)
			if (err == nil) != test.ok || test.ok && !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if n := len(f.seen("GET /v2/web/blobs/")); n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
		})
	}
}

// flaky answers with first, then with rest.
func flaky(first, rest http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			first(w, r)
			return
		}
		rest(w, r)
	}
}

func TestSilentPeer(t *testing.T) {
	d, data := blobOf(1000)
	f := newFake(t, httptest.NewServer)
	f.on("GET /v2/web/blobs/"+d.Digest.String(), flaky(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write(data[:300])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, rangesOf(data)))
	c, waited := newTestClient(t, Options{})
	c.idle = 50 * time.Millisecond
	got, err := readBlob(t.Context(), mustImage(t, c, f.host()+"/web:1"), d, 0, d.Size)
	if err != nil || !bytes.Equal(got, data) || len(waited.all) != 1 {
		t.Fatalf("%d bytes, %v, waited %v", len(got), err, waited.all)
	}
	if got := f.seen("GET /v2/web/blobs/")[1].Header.Get("Range"); got != "bytes=300-999" {
		t.Errorf("range %q", got)
	}
}

func TestCancel(t *testing.T) {
	d, data := blobOf(1000)
	f := newFake(t, httptest.NewServer)
	f.on("GET /v2/web/blobs/"+d.Digest.String(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write(data[:300])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c, _ := newTestClient(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := mustImage(t, c, f.host()+"/web:1").Open(ctx, d, 0, d.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 300)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := len(f.seen("GET /v2/web/blobs/")); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestForeignLayer(t *testing.T) {
	d, data := blobOf(1000)
	elsewhere := newFake(t, httptest.NewTLSServer)
	elsewhere.on("GET /layer", rangesOf(data))
	plain := newFake(t, httptest.NewServer)
	plain.on("GET /layer", rangesOf(data))
	ca := caFile(t, elsewhere.Certificate(), t.TempDir()+"/ca.pem")
	for name, test := range map[string]struct {
		urls []string
		ok   bool
	}{
		"https":             {[]string{elsewhere.URL + "/layer"}, true},
		"second url":        {[]string{elsewhere.URL + "/gone", elsewhere.URL + "/layer"}, true},
		"gone":              {[]string{elsewhere.URL + "/gone"}, false},
		"plain http":        {[]string{plain.URL + "/layer"}, false},
		"with a password":   {[]string{strings.Replace(elsewhere.URL, "://", "://a:b@", 1) + "/layer"}, false},
		"redirect to plain": {[]string{elsewhere.URL + "/plain"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, httptest.NewServer)
			c, _ := newTestClient(t, Options{CAFiles: []string{ca}, Keychain: login("ana", "secret")})
			elsewhere.on("GET /plain", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://registry.local/layer", http.StatusFound)
			})
			d.URLs = test.urls
			image := mustImage(t, c, f.host()+"/web:1")
			for _, part := range [][2]int64{{0, 1000}, {10, 20}} {
				got, err := readBlob(t.Context(), image, d, part[0], part[1])
				if test.ok && (err != nil || !bytes.Equal(got, data[part[0]:part[1]])) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if !test.ok && (err == nil || !strings.Contains(err.Error(), "foreign layer") || !strings.Contains(err.Error(), d.Digest.String())) {
					t.Errorf("%v: want a refusal that names the layer", err)
				}
			}
		})
	}
	for _, r := range elsewhere.seen("") {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s was sent credentials", r.URL)
		}
	}
	if n := len(plain.seen("")); n != 0 {
		t.Errorf("%d plain requests", n)
	}
}
