//go:build linux

package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/realtest"
	"airlock/internal/registry"
)

type login struct{ authn.Authenticator }

func (l login) Resolve(authn.Resource) (authn.Authenticator, error) { return l.Authenticator, nil }

// client returns a client for a real registry.
func client(t *testing.T, r *realtest.RegistryServer) *registry.Client {
	t.Helper()
	o := registry.Options{CertFile: r.CertFile, KeyFile: r.KeyFile, CertsDir: t.TempDir(), Keychain: authn.NewMultiKeychain()}
	if r.CAFile != "" {
		o.CAFiles = []string{r.CAFile}
	}
	if r.User != "" {
		o.Keychain = login{&authn.Basic{Username: r.User, Password: r.Password}}
	}
	c, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bundled packs images of a registry into a bundle and opens it.
func bundled(t *testing.T, c *registry.Client, images []*realtest.Image) *load.Release {
	t.Helper()
	r := bundletest.Release()
	for _, image := range images {
		source, err := c.Image(image.Pinned)
		if err != nil {
			t.Fatal(err)
		}
		// The far side knows the images by the name of their origin.
		name := "origin.example" + strings.TrimPrefix(image.Ref, strings.SplitN(image.Ref, "/", 2)[0])
		r.Images = append(r.Images, create.Image{Source: source, Names: []string{name}})
	}
	kit := bundletest.NewKit(t)
	return kit.Open(t, kit.Bundle(t, r, 0))
}

// TestRoundTrip brings the corpus from one real registry to another: what is
// there has the digests it left with. skopeo is the witness.
func TestRoundTrip(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		if os.Getenv("AIRLOCK_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skipf("no witness: %v", err)
	}
	for name, options := range map[string][]realtest.RegistryOption{
		"plain":              nil,
		"TLS and a password": {realtest.WithTLS, realtest.WithPassword("ana", "secret")},
		"client certificate": {realtest.WithClientCert},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := realtest.Registry(t, options...), realtest.Registry(t, options...)
			corpus := from.PushCorpus()
			release := bundled(t, client(t, from), corpus.All())
			destination := client(t, to).Destination(to.Addr, "mirror")
			first := loadReal(t, destination, release, to)
			if len(first.plan.Present) != 0 || first.puts == 0 {
				t.Errorf("first load: %d blobs present, %d PUTs", len(first.plan.Present), first.puts)
			}
			for _, image := range corpus.All() {
				compare(t, corpus, image, to)
			}
			second := loadReal(t, client(t, to).Destination(to.Addr, "mirror"), release, to)
			if len(second.plan.Reads) != 0 || second.posts != 0 {
				t.Errorf("second load: %d blobs to read, %d uploads", len(second.plan.Reads), second.posts)
			}
		})
	}
}

type loaded struct {
	plan        *load.Plan
	puts, posts int
}

func loadReal(t *testing.T, d *registry.Destination, r *load.Release, to *realtest.RegistryServer) loaded {
	t.Helper()
	puts, posts := to.Count("PUT", "/"), to.Count("POST", "/")
	p, err := d.Plan(t.Context(), r)
	if err == nil {
		err = d.Load(t.Context(), r, p, progress.Discard)
	}
	if err == nil {
		err = d.Check(t.Context(), r, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return loaded{plan: p, puts: to.Count("PUT", "/") - puts, posts: to.Count("POST", "/") - posts}
}

// compare asks the far registry, by our own client and by skopeo.
func compare(t *testing.T, corpus *realtest.Corpus, image *realtest.Image, to *realtest.RegistryServer) {
	t.Helper()
	path := "mirror" + strings.TrimPrefix(image.Repo, corpus.Registry)
	far, err := client(t, to).Image(to.Addr + "/" + path + ":1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := far.Resolve(t.Context())
	if err != nil || d.Digest.String() != image.Digest || d.MediaType != image.MediaType {
		t.Errorf("%s: %v, %v; want %s", path, d, err, image.Digest)
	}
	want := corpus.Manifests[image.Digest]
	if got := skopeo(t, to, path+":1"); !bytes.Equal(got, want) {
		t.Errorf("skopeo sees other bytes of %s", path)
	}
	for _, extra := range image.Extras {
		compareExtra(t, corpus, far, extra, path, to)
	}
}

func compareExtra(t *testing.T, corpus *realtest.Corpus, far *registry.Image, extra realtest.Extra, path string, to *realtest.RegistryServer) {
	t.Helper()
	subject, err := manifest.ParseDigest(extra.Subject)
	if err != nil {
		t.Fatal(err)
	}
	found, err := far.Referrers(t.Context(), oci.Descriptor{MediaType: oci.TypeManifest, Digest: subject})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(found, func(r manifest.Referrer) bool { return r.Digest.String() == extra.Digest }) {
		t.Errorf("%s %s of %s is not found at the far side", extra.Kind, extra.Digest, extra.Subject)
	}
	if got := skopeo(t, to, path+"@"+extra.Digest); !bytes.Equal(got, corpus.Manifests[extra.Digest]) {
		t.Errorf("skopeo sees other bytes of %s %s", extra.Kind, extra.Digest)
	}
	if got := manifest.DigestOf(skopeo(t, to, path+":"+extra.Tag)); corpus.Manifests[got.String()] == nil {
		t.Errorf("%s: tag %s is %s, which is not of the corpus", path, extra.Tag, got)
	}
}

// skopeo returns the bytes of a document as skopeo fetches them.
func skopeo(t *testing.T, r *realtest.RegistryServer, name string) []byte {
	t.Helper()
	args := []string{"inspect", "--raw", "--no-creds"}
	if r.CAFile == "" {
		args = append(args, "--tls-verify=false")
	} else {
		dir := t.TempDir()
		for from, to := range map[string]string{r.CAFile: "ca.crt", r.CertFile: "client.cert", r.KeyFile: "client.key"} {
			if from == "" {
				continue
			}
			data, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, to), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, "--cert-dir", dir)
	}
	if r.User != "" {
		args[2] = "--creds=" + r.User + ":" + r.Password
	}
	out, err := exec.CommandContext(t.Context(), "skopeo", append(args, "docker://"+r.Addr+"/"+name)...).Output()
	if err != nil {
		t.Errorf("skopeo %s: %v", name, stderr(err))
	}
	return out
}

func stderr(err error) error {
	if exit, ok := err.(*exec.ExitError); ok {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}

// TestTwinsAreMounted loads two images that share layers: a real registry
// takes each shared layer once and mounts it in the other repository.
func TestTwinsAreMounted(t *testing.T) {
	from, to := realtest.Registry(t), realtest.Registry(t)
	corpus := from.PushCorpus()
	release := bundled(t, client(t, from), []*realtest.Image{corpus.TwinA, corpus.TwinB})
	loadReal(t, client(t, to).Destination(to.Addr, ""), release, to)
	shared := 0
	for _, layer := range corpus.TwinA.Layers {
		digest := strings.ReplaceAll(layer, ":", "%3A")
		if slices.Contains(corpus.TwinB.Layers, layer) {
			shared++
			if n := to.Count("POST", "mount="+digest); n != 1 {
				t.Errorf("%s: %d mounts", layer, n)
			}
		}
		if n := to.Count("PUT", "digest="+digest); n != 1 {
			t.Errorf("%s: sent %d times", layer, n)
		}
	}
	if shared == 0 {
		t.Error("the twins share nothing")
	}
}

// TestNothingHappensWhenCancelled ends a load before it begins.
func TestNothingHappensWhenCancelled(t *testing.T) {
	from, to := realtest.Registry(t), realtest.Registry(t)
	corpus := from.PushCorpus()
	release := bundled(t, client(t, from), []*realtest.Image{corpus.Single})
	d := client(t, to).Destination(to.Addr, "")
	p, err := d.Plan(t.Context(), release)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Load(ctx, release, p, progress.Discard); err == nil || to.Count("PUT", "/") != 0 {
		t.Errorf("%v, %d PUTs", err, to.Count("PUT", "/"))
	}
}
