//go:build linux

package realtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// A Corpus is what [PushCorpus] pushed. The repositories are named
// "corpus/NAME", NAME being the field's in lower case.
type Corpus struct {
	// Registry is the "host:port" of all Refs.
	Registry string

	// Single is one image for linux/amd64, with two gzip layers.
	Single *Image
	// Multi is an index of linux/amd64, linux/arm64/v8 and, as BuildKit
	// attaches provenance, an attestation for unknown/unknown.
	Multi *Image
	// Signed is an index of linux/amd64 and linux/arm64/v8 that is signed as
	// cosign does, and that OCI referrers point at; see its Extras.
	Signed *Image
	// Zstd has zstd layers.
	Zstd *Image
	// TwinA and TwinB lie in two repositories, and share their first layer.
	TwinA, TwinB *Image
	// Schema2 has Docker's media types.
	Schema2 *Image
	// Plain has layers that are not compressed.
	Plain *Image
	// Empty has, between its two usual layers, the layer of no files twice.
	Empty *Image
	// NoLayers is an image without a layer. Nothing runs in it.
	NoLayers *Image
	// ZeroBlob is no image but an OCI artifact, whose one blob has no bytes.
	ZeroBlob *Image

	// Blobs and Manifests hold all that was pushed, by digest.
	Blobs, Manifests map[string][]byte
}

// An Image is an image, an index or an artifact in the registry.
type Image struct {
	// Ref is "host:port/corpus/name:1"; Repo is it without the tag, and Pinned
	// has the digest in the tag's place.
	Ref, Repo, Pinned string
	// Digest, MediaType and Size are the manifest's or index's.
	Digest, MediaType string
	Size              int64
	// Platform is "linux/amd64" or the like. An index has none.
	Platform string
	// ConfigDigest is the config's digest: the image's ID in Docker's classic
	// store. An index has that of its linux/amd64 image here and in the next two.
	ConfigDigest string
	// Layers are the digests of the layers as pushed, DiffIDs those of the
	// uncompressed layers, lowest layer first.
	Layers, DiffIDs []string
	// Children are the manifests of an index, in its order.
	Children []*Image
	// Extras are what was attached to the image and its children.
	Extras []Extra
}

// An Extra is a manifest that says something about another.
type Extra struct {
	// Kind is "signature" or "attestation", found by cosign's tag of the
	// subject, or "referrer", found by the OCI referrers tag schema.
	Kind string
	// Tag is where in the image's repository it is found: a referrer, in the
	// index with that tag.
	Tag string
	// Digest is its own; Subject, of what it speaks about.
	Digest, Subject string
	// ArtifactType is a referrer's.
	ArtifactType string
}

// Greeting is what a container of any image but NoLayers prints on amd64.
// Run as "/hello wait", its program then waits for its standard input to end.
const Greeting = "hello from the corpus"

// All returns all images, indexes and artifacts.
func (c *Corpus) All() []*Image {
	return []*Image{
		c.Single, c.Multi, c.Signed, c.Zstd, c.TwinA, c.TwinB,
		c.Schema2, c.Plain, c.Empty, c.NoLayers, c.ZeroBlob,
	}
}

// Runnable returns the images that print [Greeting] on linux/amd64.
func (c *Corpus) Runnable() []*Image {
	return []*Image{c.Single, c.Multi, c.Signed, c.Zstd, c.TwinA, c.TwinB, c.Schema2, c.Plain, c.Empty}
}

// PushCorpus pushes the corpus to a registry at "host:port" that asks for no
// password and speaks no TLS. One version of Go pushes the same bytes every
// time.
func PushCorpus(t testing.TB, registry string) *Corpus {
	t.Helper()
	return pushCorpus(t, registry, "http://"+registry, http.DefaultClient)
}

// PushCorpus is [PushCorpus] to this registry, whatever its options.
func (r *RegistryServer) PushCorpus() *Corpus {
	r.t.Helper()
	return pushCorpus(r.t, r.Addr, r.URL, r.Client)
}

func pushCorpus(t testing.TB, addr, url string, client *http.Client) *Corpus {
	t.Helper()
	needSystem(t, "go")
	hello, err := greeter()
	if err != nil {
		t.Fatalf("building the corpus's program: %v", err)
	}
	c := &Corpus{Registry: addr, Blobs: map[string][]byte{}, Manifests: map[string][]byte{}}
	p := &pusher{ctx: t.Context(), url: url, client: client, corpus: c, hello: hello, packed: map[string][]byte{}}
	if err := p.all(); err != nil {
		t.Fatalf("pushing the corpus: %v", err)
	}
	return c
}

func (p *pusher) all() error {
	c := p.corpus
	for _, one := range []struct {
		field **Image
		name  string
		make  func(name string) (*Image, error)
	}{
		{&c.Single, "single", p.gzipImage},
		{&c.Multi, "multi", p.multi},
		{&c.Signed, "signed", p.signed},
		{&c.Zstd, "zstd", p.zstd},
		{&c.TwinA, "twina", p.twin},
		{&c.TwinB, "twinb", p.twin},
		{&c.Schema2, "schema2", p.schema2},
		{&c.Plain, "plain", p.plain},
		{&c.Empty, "empty", p.empty},
		{&c.NoLayers, "nolayers", p.noLayers},
		{&c.ZeroBlob, "zeroblob", p.zeroBlob},
	} {
		im, err := one.make(one.name)
		if err == nil {
			err = p.tag(im, "1")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		*one.field = im
	}
	return nil
}

func (p *pusher) gzipImage(name string) (*Image, error) {
	return p.image(name, amd64, ociGzip, p.base(name), p.program())
}

func (p *pusher) zstd(name string) (*Image, error) {
	return p.image(name, amd64, ociZstd, p.base(name), p.program())
}

func (p *pusher) plain(name string) (*Image, error) {
	return p.image(name, amd64, ociPlain, p.base(name), p.program())
}

func (p *pusher) schema2(name string) (*Image, error) {
	return p.image(name, amd64, dockerGzip, p.base(name), p.program())
}

// twin puts its own layer on the two that its twin has too.
func (p *pusher) twin(name string) (*Image, error) {
	own := folder{{name: "etc/twin", body: []byte(name + "\n")}}
	return p.image(name, amd64, ociGzip, p.base("twins"), p.program(), own)
}

func (p *pusher) empty(name string) (*Image, error) {
	return p.image(name, amd64, ociGzip, p.base(name), folder{}, folder{}, p.program())
}

func (p *pusher) noLayers(name string) (*Image, error) {
	return p.image(name, amd64, ociGzip)
}

func (p *pusher) zeroBlob(name string) (*Image, error) {
	return p.artifact(name, artifact{
		kind: "application/vnd.example.nothing", config: emptyType, configBody: emptyJSON,
		layerType: "application/octet-stream",
	})
}

func (p *pusher) multi(name string) (*Image, error) {
	children, err := p.platforms(name)
	if err != nil {
		return nil, err
	}
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": "https://slsa.dev/provenance/v0.2",
		"subject":       []any{map[string]any{"name": name, "digest": map[string]string{"sha256": children[0].hex()}}},
	})
	if err != nil {
		return nil, err
	}
	attestation, err := p.artifact(name, artifact{
		config:     ociGzip.config,
		configBody: []byte(`{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":["` + digest(statement) + `"]}}`),
		layerType:  "application/vnd.in-toto+json",
		layer:      statement,
	})
	if err != nil {
		return nil, err
	}
	attestation.Platform = "unknown/unknown"
	return p.index(name, children, &about{attestation, children[0]})
}

// platforms pushes an image for amd64, and one for arm64 that has its file
// system and no program.
func (p *pusher) platforms(name string) ([]*Image, error) {
	first, err := p.image(name, amd64, ociGzip, p.base(name), p.program())
	if err != nil {
		return nil, err
	}
	second, err := p.image(name, arm64, ociGzip, p.base(name), folder{{name: "etc/arm64", body: []byte("arm64\n")}})
	return []*Image{first, second}, err
}
