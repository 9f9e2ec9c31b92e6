//go:build linux

package realtest

import (
	"io"
	"net/http"
	"testing"
)

func TestRegistryOptions(t *testing.T) {
	tests := []struct {
		name    string
		options []RegistryOption
		refused int // status without password and certificate; 0: no connection
	}{
		{"open", nil, http.StatusOK},
		{"password", []RegistryOption{WithPassword("ana", "secret")}, http.StatusUnauthorized},
		{"tls", []RegistryOption{WithTLS}, 0},
		{"client certificate", []RegistryOption{WithClientCert, WithPassword("ana", "secret")}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := watched(t, func(t testing.TB) *RegistryServer { return Registry(t, test.options...) })
			if got := status(http.DefaultClient, r.URL+"/v2/"); got != test.refused {
				t.Errorf("a stranger got status %d, want %d", got, test.refused)
			}
			if got := status(r.Client, r.URL+"/v2/"); got != http.StatusOK {
				t.Errorf("Client got status %d", got)
			}
			r.PushCorpus()
		})
	}
}

// status returns 0 if there was no reply.
func status(client *http.Client, url string) int {
	reply, err := client.Get(url)
	if err != nil {
		return 0
	}
	reply.Body.Close()
	return reply.StatusCode
}

func TestRequests(t *testing.T) {
	r := Registry(t)
	if got := r.Requests(); len(got) != 0 {
		t.Errorf("requests to a new registry: %+v", got)
	}
	c := PushCorpus(t, r.Addr)
	before := len(r.Requests())
	blob := "/v2/corpus/single/blobs/" + c.Single.Layers[1]
	reply, err := r.Client.Get(r.URL + blob)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := Request{"GET", blob, http.StatusOK, n, "Go-http-client/1.1"}
	if got := r.Requests()[before:]; len(got) != 1 || got[0] != want {
		t.Errorf("requests are %+v, want one: %+v", got, want)
	}
	if got := r.Count("GET", "/blobs/"); got != 1 {
		t.Errorf("%d blobs were fetched, want 1", got)
	}
}

func TestDelete(t *testing.T) {
	for _, test := range []struct {
		options []RegistryOption
		want    int
	}{{nil, http.StatusMethodNotAllowed}, {[]RegistryOption{WithDelete}, http.StatusAccepted}} {
		r := Registry(t, test.options...)
		c := r.PushCorpus()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, r.URL+"/v2/corpus/single/manifests/"+c.Single.Digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := r.Client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != test.want {
			t.Errorf("deleting: %s, want status %d", reply.Status, test.want)
		}
	}
}
