// Package oci reads the documents of the OCI image specification: indexes,
// image manifests and configs, and Docker's schema 2 forms of the same.
//
// The documents come from registries and sticks, so reading is strict where
// two readers could disagree: a document is either an index or a manifest,
// never both (CVE-2021-41190); its mediaType is the one its descriptor names;
// no key stands twice; keys count in their exact case only; digests are
// SHA-256; sizes are within limits. Unknown keys are allowed, as the
// specification demands, and mean nothing.
package oci

import (
	"errors"
	"fmt"
	"strings"

	"airlock/internal/manifest"
)

// Limits of what is read. A registry must take manifests of 4 MiB
// (OCI distribution-spec, "Pushing Manifests").
const (
	MaxDocument      = 4 << 20  // bytes of an index, a manifest
	MaxConfig        = 8 << 20  // bytes of an image config
	MaxChildren      = 4096     // descriptors in one document
	MaxDepth         = 4        // indexes within indexes
	MaxDocuments     = 10000    // indexes and manifests of one image
	MaxDocumentBytes = 64 << 20 // of all these together
)

// The media types that Airlock carries as documents.
const (
	TypeIndex          = "application/vnd.oci.image.index.v1+json"
	TypeManifest       = "application/vnd.oci.image.manifest.v1+json"
	TypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	TypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

	TypeConfig       = "application/vnd.oci.image.config.v1+json"
	TypeDockerConfig = "application/vnd.docker.container.image.v1+json"
	TypeLayer        = "application/vnd.oci.image.layer.v1.tar"
)

// ErrMalformed is wrapped by every refusal of a document.
var ErrMalformed = errors.New("malformed OCI document")

// ErrNoRanges is wrapped where a place can only give whole blobs.
var ErrNoRanges = errors.New("parts of a blob cannot be had")

// Descriptor points to a document or a blob (image-spec, descriptor.md).
type Descriptor struct {
	MediaType    string
	Digest       manifest.Digest
	Size         int64 // bytes, never negative
	URLs         []string
	Platform     *Platform
	ArtifactType string
	Annotations  map[string]string
}

// IsIndexType reports whether mediaType is an index or a Docker manifest list.
func IsIndexType(mediaType string) bool {
	return mediaType == TypeIndex || mediaType == TypeDockerList
}

// IsManifestType reports whether mediaType is an OCI or Docker image manifest.
func IsManifestType(mediaType string) bool {
	return mediaType == TypeManifest || mediaType == TypeDockerManifest
}

// IsDocument reports whether d points to an index or a manifest.
func (d Descriptor) IsDocument() bool {
	return IsIndexType(d.MediaType) || IsManifestType(d.MediaType)
}

// Platform is what an image runs on.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
	OSVersion    string `json:"os.version,omitempty"`
}

// String returns os/architecture or os/architecture/variant.
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// ParsePlatform reads os/architecture or os/architecture/variant.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("platform %q: want os/architecture or os/architecture/variant", s)
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
			return Platform{}, fmt.Errorf("platform %q: want lower-case letters and digits", s)
		}
	}
	p := Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// Matches reports whether an image for p is what want asks for. A variant or
// OS version that want leaves empty matches any, and arm64 means arm64/v8.
func (p Platform) Matches(want Platform) bool {
	if p.OS != want.OS || p.Architecture != want.Architecture {
		return false
	}
	return want.Variant == "" || p.Variant == want.Variant ||
		(p.Architecture == "arm64" && p.Variant == "" && want.Variant == "v8")
}

// Document is an index or a manifest.
type Document struct {
	MediaType    string
	Manifests    []Descriptor // of an index
	Config       *Descriptor  // of a manifest
	Layers       []Descriptor // of a manifest
	Subject      *Descriptor  // what the document refers to, if anything
	ArtifactType string
	Annotations  map[string]string
}

// IsIndex reports whether the document is an index.
func (d *Document) IsIndex() bool { return IsIndexType(d.MediaType) }

// Kind returns what a list of referrers says of the document (distribution-spec,
// "Listing Referrers"): its artifact type or, if it refers to something and has
// none, its config's media type. What has not a media type's form is none.
func (d *Document) Kind() string {
	kind := d.ArtifactType
	if kind == "" && d.Subject != nil && d.Config != nil {
		kind = d.Config.MediaType
	}
	if !manifest.IsMediaType(kind) {
		return ""
	}
	return kind
}

// RefersTo reports whether subject is what the document refers to.
func (d *Document) RefersTo(subject manifest.Digest) bool {
	return d.Subject != nil && d.Subject.Digest == subject
}

// ReferrersTag returns the tag of the index that lists what refers to a document
// where the registry does not (distribution-spec, "Referrers Tag Schema").
func ReferrersTag(subject manifest.Digest) string { return "sha256-" + subject.Hex() }

// IsReferrersTag reports whether a tag is one under which something that refers
// to subject is looked for: ReferrersTag, or one of cosign's for a signature, an
// attestation or an SBOM (cosign's SIGNATURE_SPEC.md, "Tag-based discovery").
func IsReferrersTag(tag string, subject manifest.Digest) bool {
	switch suffix, ok := strings.CutPrefix(tag, ReferrersTag(subject)); suffix {
	case "", ".sig", ".att", ".sbom":
		return ok
	}
	return false
}

// Parse reads the document that a descriptor with the given media type points
// to. Every error wraps ErrMalformed.
func Parse(raw []byte, mediaType string) (*Document, error) {
	doc, err := parse(raw, mediaType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return doc, nil
}

func parse(raw []byte, mediaType string) (*Document, error) {
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), MaxDocument)
	}
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	doc := &Document{MediaType: mediaType}
	if err := doc.checkKind(o); err != nil {
		return nil, err
	}
	if err := errors.Join(o.decode("artifactType", &doc.ArtifactType), o.decode("annotations", &doc.Annotations)); err != nil {
		return nil, err
	}
	if doc.Manifests, err = o.descriptors("manifests"); err != nil {
		return nil, err
	}
	if doc.Layers, err = o.descriptors("layers"); err != nil {
		return nil, err
	}
	if doc.Config, err = o.descriptor("config"); err != nil {
		return nil, err
	}
	if doc.Subject, err = o.descriptor("subject"); err != nil {
		return nil, err
	}
	return doc, nil
}

// checkKind refuses a document that is not clearly of the kind its descriptor says.
func (d *Document) checkKind(o object) error {
	var version int
	var inner string
	if err := errors.Join(o.decode("schemaVersion", &version), o.decode("mediaType", &inner)); err != nil {
		return err
	}
	switch {
	case version != 2:
		return fmt.Errorf("schemaVersion %d, want 2", version)
	case inner != "" && inner != d.MediaType:
		return fmt.Errorf("mediaType %q inside, %q outside", inner, d.MediaType)
	case o.has("fsLayers"):
		return errors.New("has fsLayers, which only schema 1 has")
	case d.IsIndex() && (o.has("layers") || o.has("config") || !o.has("manifests")):
		return errors.New("an index has manifests, and neither layers nor a config")
	case IsManifestType(d.MediaType) && (o.has("manifests") || !o.has("layers") || !o.has("config")):
		return errors.New("a manifest has layers and a config, and no manifests")
	case !d.IsIndex() && !IsManifestType(d.MediaType):
		return fmt.Errorf("mediaType %q is not an image index or manifest", d.MediaType)
	}
	return nil
}

func (o object) descriptor(key string) (*Descriptor, error) {
	if !o.has(key) {
		return nil, nil
	}
	d, err := parseDescriptor(o[key])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &d, nil
}

func (o object) descriptors(key string) ([]Descriptor, error) {
	elements, err := o.list(key, MaxChildren)
	if err != nil {
		return nil, err
	}
	var all []Descriptor
	for i, raw := range elements {
		d, err := parseDescriptor(raw)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", key, i, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func parseDescriptor(raw []byte) (Descriptor, error) {
	o, err := parseObject(raw)
	if err != nil {
		return Descriptor{}, err
	}
	d := Descriptor{Size: -1}
	err = errors.Join(
		o.decode("mediaType", &d.MediaType), o.decode("digest", &d.Digest), o.decode("size", &d.Size),
		o.decode("urls", &d.URLs), o.decode("artifactType", &d.ArtifactType), o.decode("annotations", &d.Annotations),
	)
	switch {
	case err != nil:
		return Descriptor{}, err
	case d.MediaType == "":
		return Descriptor{}, errors.New("no mediaType")
	case d.Digest.IsZero():
		return Descriptor{}, errors.New("no digest")
	case d.Size < 0:
		return Descriptor{}, fmt.Errorf("%s: no size, or a negative one", d.Digest)
	case d.IsDocument() && d.Size > MaxDocument:
		return Descriptor{}, fmt.Errorf("%s: a document of %d bytes, at most %d are allowed", d.Digest, d.Size, MaxDocument)
	}
	d.Platform, err = o.platform()
	return d, err
}

func (o object) platform() (*Platform, error) {
	if !o.has("platform") {
		return nil, nil
	}
	inner, err := parseObject(o["platform"])
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	p := &Platform{}
	return p, inner.decodePlatform(p)
}

func (o object) decodePlatform(p *Platform) error {
	return errors.Join(
		o.decode("os", &p.OS), o.decode("architecture", &p.Architecture),
		o.decode("variant", &p.Variant), o.decode("os.version", &p.OSVersion),
	)
}

// Config is the part of an image config that Airlock acts on.
type Config struct {
	Platform Platform
	DiffIDs  []manifest.Digest // SHA-256 of each layer's uncompressed tar, lowest first
}

// ParseConfig reads an image config (image-spec, config.md). Every error
// wraps ErrMalformed.
func ParseConfig(raw []byte) (*Config, error) {
	c, err := parseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: image config: %w", ErrMalformed, err)
	}
	return c, nil
}

func parseConfig(raw []byte) (*Config, error) {
	if len(raw) > MaxConfig {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), MaxConfig)
	}
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	if err := o.decodePlatform(&c.Platform); err != nil {
		return nil, err
	}
	if !o.has("rootfs") {
		return nil, errors.New("no rootfs")
	}
	rootfs, err := parseObject(o["rootfs"])
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	return c, rootfs.decode("diff_ids", &c.DiffIDs)
}
