//go:build linux

package realtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// A style is the media types of an image, and its layers' compression.
type style struct {
	manifest, config, layer string
	pack                    func([]byte) ([]byte, error)
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar"
	emptyType   = "application/vnd.oci.empty.v1+json"
)

var (
	ociGzip    = style{ociManifest, ociConfig, ociLayer + "+gzip", gzipped}
	ociZstd    = style{ociManifest, ociConfig, ociLayer + "+zstd", zstded}
	ociPlain   = style{ociManifest, ociConfig, ociLayer, stored}
	dockerGzip = style{
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped,
	}
	emptyJSON = []byte("{}")
)

// platform is the OCI image-spec's.
type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

var (
	amd64 = platform{"amd64", "linux", ""}
	arm64 = platform{"arm64", "linux", "v8"}
)

func (p platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

func parsePlatform(text string) *platform {
	parts := append(strings.Split(text, "/"), "")
	return &platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Platform     *platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitzero"` // may be an empty list
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

type config struct {
	platform
	Created string              `json:"created"`
	Config  map[string][]string `json:"config"`
	RootFS  struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []history `json:"history"`
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (im *Image) hex() string { return strings.TrimPrefix(im.Digest, "sha256:") }

func (im *Image) descriptor() descriptor {
	return descriptor{MediaType: im.MediaType, Digest: im.Digest, Size: im.Size}
}

// image pushes an image of these layers, the lowest first.
func (p *pusher) image(name string, on platform, how style, layers ...folder) (*Image, error) {
	m := manifest{SchemaVersion: 2, MediaType: how.manifest, Layers: []descriptor{}}
	c := config{platform: on, Created: made().Format("2006-01-02T15:04:05Z")}
	c.Config = map[string][]string{"Env": {"PATH=/"}, "Cmd": {"/hello"}}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{}
	im := &Image{Platform: on.String()}
	for _, layer := range layers {
		plain, err := layer.tar()
		if err != nil {
			return nil, err
		}
		packed, err := p.pack(how, plain)
		if err != nil {
			return nil, err
		}
		d, err := p.blob(name, how.layer, packed)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, d)
		im.Layers = append(im.Layers, d.Digest)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest(plain))
		c.History = append(c.History, history{c.Created, fmt.Sprintf("corpus %s layer %d", name, len(m.Layers))})
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	d, err := p.blob(name, how.config, raw)
	if err != nil {
		return nil, err
	}
	m.Config, im.ConfigDigest, im.DiffIDs = &d, d.Digest, c.RootFS.DiffIDs
	return im, p.manifest(im, name, m)
}

// pack compresses a layer, once for all the images that have it.
func (p *pusher) pack(how style, plain []byte) ([]byte, error) {
	key := how.layer + digest(plain)
	if packed := p.packed[key]; packed != nil {
		return packed, nil
	}
	packed, err := how.pack(plain)
	p.packed[key] = packed
	return packed, err
}

// An artifact is a manifest about something that is not a file system.
type artifact struct {
	kind              string // artifactType; may be empty
	config, layerType string // media types
	configBody, layer []byte
	note              map[string]string // the layer's annotations
	subject           *Image
}

func (p *pusher) artifact(name string, a artifact) (*Image, error) {
	m := manifest{SchemaVersion: 2, MediaType: ociManifest, ArtifactType: a.kind}
	c, err := p.blob(name, a.config, a.configBody)
	if err != nil {
		return nil, err
	}
	layer, err := p.blob(name, a.layerType, a.layer)
	if err != nil {
		return nil, err
	}
	layer.Annotations = a.note
	m.Config, m.Layers = &c, []descriptor{layer}
	if a.subject != nil {
		d := a.subject.descriptor()
		m.Subject = &d
	}
	im := &Image{ConfigDigest: c.Digest, Layers: []string{layer.Digest}}
	return im, p.manifest(im, name, m)
}

// about is an attestation, and the image that it is about.
type about struct{ attestation, subject *Image }

// index pushes an index of children, and of an attestation as BuildKit does it.
func (p *pusher) index(name string, children []*Image, a *about) (*Image, error) {
	m := manifest{SchemaVersion: 2, MediaType: ociIndex}
	im := &Image{Children: children}
	for _, child := range children {
		d := child.descriptor()
		d.Platform = parsePlatform(child.Platform)
		m.Manifests = append(m.Manifests, d)
	}
	if a != nil {
		d := a.attestation.descriptor()
		d.Platform = parsePlatform(a.attestation.Platform)
		d.Annotations = map[string]string{
			"vnd.docker.reference.type":   "attestation-manifest",
			"vnd.docker.reference.digest": a.subject.Digest,
		}
		m.Manifests = append(m.Manifests, d)
		im.Children = append(im.Children, a.attestation)
	}
	first := children[0]
	im.ConfigDigest, im.Layers, im.DiffIDs = first.ConfigDigest, first.Layers, first.DiffIDs
	return im, p.manifest(im, name, m)
}
