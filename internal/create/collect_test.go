package create_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// multi is an index of three platforms and an attestation.
func multi() (*source, []oci.Descriptor) {
	s := newSource()
	children := []oci.Descriptor{s.image("linux/amd64", []byte("amd64")), s.image("linux/arm64", []byte("arm64")), s.image("windows/amd64", []byte("windows"))}
	attestation := s.image("unknown/unknown", []byte("attestation"))
	s.index(append(slices.Clone(children), attestation)...)
	return s, children
}

func platforms(names ...string) []oci.Platform {
	var all []oci.Platform
	for _, name := range names {
		p, err := oci.ParsePlatform(name)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

func TestPlatforms(t *testing.T) {
	index, _ := multi()
	single := newSource()
	single.image("linux/amd64", []byte("amd64"))
	nameless, namelessIndex := newSource(), newSource()
	nameless.image("/", []byte("any"))
	namelessIndex.index(namelessIndex.image("/", []byte("any")), namelessIndex.image("unknown/unknown", []byte("attestation")))
	for _, c := range []struct {
		name      string
		source    *source
		platforms []string
		names     []string // first of each image
		are       []string // each image's platforms
		blobs     int      // in all images
		says      string
	}{
		{"all", index, nil, []string{"a.example/x:1"}, []string{"linux/amd64 linux/arm64 windows/amd64"}, 8, ""},
		{"one", index, []string{"linux/arm64"}, []string{"a.example/x:1"}, []string{"linux/arm64"}, 2, ""},
		{"one by its variant", index, []string{"linux/arm64/v8"}, []string{"a.example/x:1"}, []string{"linux/arm64"}, 2, ""},
		{"two", index, []string{"linux/amd64", "windows/amd64"}, []string{"a.example/x:1-linux-amd64", "a.example/x:1-windows-amd64"}, []string{"linux/amd64", "windows/amd64"}, 4, ""},
		{"absent", index, []string{"linux/s390x"}, nil, nil, 0, "no image for platform linux/s390x; there are: linux/amd64, linux/arm64, windows/amd64"},
		{"one of two absent", index, []string{"linux/amd64", "linux/s390x"}, nil, nil, 0, "no image for platform linux/s390x"},
		{"an attestation", index, []string{"unknown/unknown"}, nil, nil, 0, "no image for platform unknown/unknown"},
		{"an image without an index", single, []string{"linux/amd64"}, []string{"a.example/x:1"}, []string{"linux/amd64"}, 2, ""},
		{"an image for another platform", single, []string{"linux/arm64"}, nil, nil, 0, "no image for platform linux/arm64; there is only: linux/amd64"},
		{"an image without a platform", nameless, []string{"linux/amd64"}, nil, nil, 0, "no image for platform linux/amd64: the image names no platform"},
		{"an index without platforms", namelessIndex, []string{"linux/amd64"}, nil, nil, 0, "no image for platform linux/amd64: the image names no platform"},
	} {
		r := release()
		r.Images = []create.Image{{Source: c.source, Names: []string{"a.example/x:1", "a.example/y"}, Platforms: platforms(c.platforms...)}}
		contents, err := create.Collect(t.Context(), r)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "a.example/x:1: ") {
				t.Errorf("%s: %v, want %q", c.name, err, c.says)
			}
			continue
		}
		must(t, err)
		var names, are []string
		blobs := 0
		for _, image := range contents.Images() {
			names, are, blobs = append(names, image.Names[0]), append(are, strings.Join(image.Platforms, " ")), blobs+len(image.Blobs)
			if image.Names[1] != "a.example/y" {
				t.Errorf("%s: a name without a tag becomes %q", c.name, image.Names[1])
			}
		}
		if !slices.Equal(names, c.names) || !slices.Equal(are, c.are) || blobs != c.blobs {
			t.Errorf("%s: %q for %q with %d blobs, want %q for %q with %d", c.name, names, are, blobs, c.names, c.are, c.blobs)
		}
		kit, to := bundletest.NewKit(t), newSink()
		_, err = pack(t.Context(), t, kit, r, to)
		must(t, err)
		check(t, kit, to.Files)
	}
}

// TestCheckPlatforms holds that a root alone is asked for, and that only an
// index is judged.
func TestCheckPlatforms(t *testing.T) {
	index, _ := multi()
	single := newSource()
	single.image("linux/amd64", []byte("amd64"))
	for _, c := range []struct {
		source    *source
		platforms []string
		says      string
	}{
		{index, nil, ""},
		{index, []string{"linux/amd64", "windows/amd64"}, ""},
		{index, []string{"linux/amd64", "linux/s390x"}, "no image for platform linux/s390x; there are: linux/amd64, linux/arm64, windows/amd64"},
		{single, []string{"linux/s390x"}, ""},
	} {
		err := create.CheckPlatforms(t.Context(), c.source, c.source.Root(), platforms(c.platforms...))
		if (err == nil) != (c.says == "") || err != nil && err.Error() != c.says || c.source.asks.Load() > 0 {
			t.Errorf("%q: %v, want %q; %d blobs were fetched", c.platforms, err, c.says, c.source.asks.Load())
		}
	}
}

// TestReferrers carries what refers to the image, to a child, and to that,
// and an index that stands under the referrers tag.
func TestReferrers(t *testing.T) {
	s, children := multi()
	root := s.Root()
	sbom := artifactOf(s, children[1], "sbom")
	s.Refer(children[1].Digest, oci.TypeManifest, sbom, "")
	signature := artifact(s, "signature")
	s.Refer(manifest.DigestOf(sbom), oci.TypeManifest, signature, "sha256-"+manifest.DigestOf(sbom).Hex()+".sig")
	listed := artifact(s, "listed")
	fallback := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}`, oci.TypeIndex,
		describe(oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf(listed), Size: int64(len(listed))}))
	s.Refer(root.Digest, oci.TypeIndex, fallback, "sha256-"+root.Digest.Hex())
	s.Refer(root.Digest, oci.TypeManifest, listed, "")
	kit, to := bundletest.NewKit(t), newSink()
	_, err := pack(t.Context(), t, kit, release(s), to)
	must(t, err)
	image := check(t, kit, to.Files).Images[0]
	want := map[manifest.Digest]string{
		manifest.DigestOf(sbom): "", manifest.DigestOf(signature): "sha256-" + manifest.DigestOf(sbom).Hex() + ".sig",
		manifest.DigestOf(fallback): "sha256-" + root.Digest.Hex(), manifest.DigestOf(listed): "",
	}
	for _, r := range image.Referrers {
		tag, ok := want[r.Digest]
		if !ok || tag != r.Tag {
			t.Errorf("referrer %s under %q", r.Digest, r.Tag)
		}
		delete(want, r.Digest)
	}
	if len(want) > 0 {
		t.Errorf("not carried: %v", want)
	}
	if len(image.Nodes) != 5+4 || image.Root.Digest != root.Digest {
		t.Errorf("%d documents of %s", len(image.Nodes), image.Root.Digest)
	}
	for _, payload := range []string{"sbom", "signature", "listed"} {
		if !slices.ContainsFunc(image.Blobs, func(d oci.Descriptor) bool { return d.Digest == manifest.DigestOf([]byte(payload)) }) {
			t.Errorf("the bytes of the %s are not carried", payload)
		}
	}
}

// TestReferrersOfAChosenPlatform carries what refers to the child that is
// taken, and not what refers to the index that is left behind.
func TestReferrersOfAChosenPlatform(t *testing.T) {
	s, children := multi()
	s.Refer(s.Root().Digest, oci.TypeManifest, artifactOf(s, s.Root(), "of the index"), "")
	s.Refer(children[1].Digest, oci.TypeManifest, artifactOf(s, children[1], "of the child"), "")
	r := release(s)
	r.Images[0].Platforms = platforms("linux/arm64")
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	got := contents.Images()[0].Referrers
	if len(got) != 1 || got[0].Subject != children[1].Digest {
		t.Errorf("referrers %+v", got)
	}
}

// artifactOf is an artifact that says itself what it refers to.
func artifactOf(s *source, subject oci.Descriptor, payload string) []byte {
	subject.Platform, subject.ArtifactType = nil, ""
	return append(bytes.TrimSuffix(artifact(s, payload), []byte("}")), `,"artifactType":"application/x","subject":`+describe(subject)+"}"...)
}

// artifact is a manifest with an empty config over a payload.
func artifact(s *source, payload string) []byte {
	config := s.blob("application/vnd.oci.empty.v1+json", []byte("{}"))
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}`, oci.TypeManifest, describe(config), describe(s.blob("text/plain", []byte(payload))))
}

// TestReferrerLoop ends where referrers refer to each other for ever.
func TestReferrerLoop(t *testing.T) {
	s := &endless{source: newSource()}
	s.image("linux/amd64", []byte("layer"))
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	if n := len(contents.Images()[0].Referrers); n != 4 {
		t.Errorf("%d referrers, want those of 4 levels", n)
	}
}

// endless has a referrer to everything.
type endless struct{ *source }

func (e *endless) Referrers(_ context.Context, subject oci.Descriptor) ([]manifest.Referrer, error) {
	raw := artifactOf(e.source, subject, "about "+subject.Digest.String())
	d := e.Add(raw)
	return []manifest.Referrer{{Descriptor: manifest.Descriptor{MediaType: oci.TypeManifest, Digest: d, Size: int64(len(raw))}, Subject: subject.Digest}}, nil
}

func TestDocumentsInOrder(t *testing.T) {
	s, _ := multi()
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	image := contents.Images()[0]
	if len(image.Manifests) != 5 || image.Manifests[4] != s.Root().Digest {
		t.Errorf("documents %v, want %s last", image.Manifests, s.Root().Digest)
	}
	if !slices.IsSortedFunc(image.Blobs, manifest.Digest.Compare) {
		t.Error("blobs are not sorted")
	}
}

// failingSource fails in one call.
type failingSource struct {
	*source
	resolve, document, referrers error
}

func (f *failingSource) Resolve(ctx context.Context) (oci.Descriptor, error) {
	if f.resolve != nil {
		return oci.Descriptor{}, f.resolve
	}
	return f.source.Resolve(ctx)
}

func (f *failingSource) Document(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if f.document != nil {
		return nil, f.document
	}
	return f.source.Document(ctx, d)
}

func (f *failingSource) Referrers(ctx context.Context, d oci.Descriptor) ([]manifest.Referrer, error) {
	if f.referrers != nil {
		return nil, f.referrers
	}
	return f.source.Referrers(ctx, d)
}

func TestCollectErrors(t *testing.T) {
	for name, f := range map[string]*failingSource{"resolve": {resolve: errSource}, "document": {document: errSource}, "referrers": {referrers: errSource}} {
		f.source, _ = multi()
		_, err := create.Collect(t.Context(), release(large(), f))
		if !errors.Is(err, errSource) || !strings.HasPrefix(err.Error(), "registry.example/app/1:1.0: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfigs holds that a config is proven when it is read for its platform.
func TestConfigs(t *testing.T) {
	s := newSource()
	s.image("linux/amd64", []byte("layer"))
	s.open = func(_ context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, to-from))), nil
	}
	if _, err := create.Collect(t.Context(), release(s)); !errors.Is(err, create.ErrRejected) {
		t.Errorf("other bytes: %v", err)
	}
	s.open = func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) { return nil, errSource }
	if _, err := create.Collect(t.Context(), release(s)); !errors.Is(err, errSource) {
		t.Errorf("no bytes: %v", err)
	}
	big := newSource()
	config := big.blob(oci.TypeConfig, make([]byte, oci.MaxConfig+1))
	big.SetRoot(oci.TypeManifest, big.Add(fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":[]}`, describe(config))))
	if _, err := create.Collect(t.Context(), release(big)); !errors.Is(err, create.ErrRejected) || big.asks.Load() > 0 {
		t.Errorf("a config of 8 MiB and a byte: %v, fetched %d times", err, big.asks.Load())
	}
}

func TestManifestSays(t *testing.T) {
	s, _ := multi()
	r := release(s)
	r.Expires, r.Annotations, r.Epoch = r.Created.AddDate(1, 0, 0), map[string]string{"approved-by": "zoe"}, 7
	kit, to := bundletest.NewKit(t), newSink()
	result, err := pack(t.Context(), t, kit, r, to)
	must(t, err)
	m := check(t, kit, to.Files).Manifest
	if m.Expires != "2027-01-02T03:04:05Z" || m.Annotations["approved-by"] != "zoe" || m.Epoch != 7 || m.Sequence != 1 || m.Title() != "shop 1.0" || result.Manifest.Title() != m.Title() {
		t.Errorf("%+v", m)
	}
	readme := string(to.MapFS[manifest.ReadmeName].Data)
	for _, want := range []string{"shop", "1.0", s.Root().Digest.String(), "registry.example/app/0:1.0", "ssh-keygen -Y verify", "sha256sum --strict -c SHA256SUMS", manifest.Namespace} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.txt does not say %q", want)
		}
	}
	if create.Stem("shop", "1.0+b") != "shop-1.0-b" {
		t.Error(create.Stem("shop", "1.0+b"))
	}
}

// refusing is a source that answers with an error of its own.
type refusing struct {
	*source
	err error
}

func (r refusing) Resolve(context.Context) (oci.Descriptor, error) { return oci.Descriptor{}, r.err }

// TestErrorsNameTheImageOnce holds that an error says which image it is about, and
// says it once.
func TestErrorsNameTheImageOnce(t *testing.T) {
	const name = "registry.example/app:1"
	for said, want := range map[string]string{
		name + "@sha256:00: refused":          name + "@sha256:00: refused",
		name + ": refused":                    name + ": refused",
		name + ".5: refused":                  name + ": " + name + ".5: refused",
		"mirror.example/app@sha256:00: no":    name + ": mirror.example/app@sha256:00: no",
		"the registry answered 403 Forbidden": name + ": the registry answered 403 Forbidden",
	} {
		told := errors.New(said)
		r := bundletest.Release(newSource().Source)
		r.Images[0] = create.Image{Source: refusing{newSource(), told}, Names: []string{name}}
		if _, err := create.Collect(t.Context(), r); !errors.Is(err, told) || err.Error() != want {
			t.Errorf("%q is told as %q, want %q", told, err, want)
		}
	}
}
