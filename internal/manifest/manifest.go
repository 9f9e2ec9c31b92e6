// Package manifest knows the signed texts of a bundle: SHA256SUMS, the bytes
// that people sign, and manifest.json, which it lists. FORMAT.md beside
// package archive is the specification.
//
// Trust is in the types. Read returns an *Unverified, good for a look.
// Open returns a *Verified, and only if a signature by a trusted key stands
// over SHA256SUMS and every small file has the hash that is listed there.
// No other function makes one, and all that reads volumes demands one.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Format is the first field of manifest.json and the name of this version.
const Format = "airlock-bundle-v1"

// Namespace is the SSHSIG namespace of signatures over SHA256SUMS.
const Namespace = "airlock-bundle-v1"

// BlockSize is the fixed size in bytes of a block of a volume. A volume's
// last block may be shorter.
const BlockSize = 1 << 20

// Limits of what manifest.json may hold.
const (
	MaxManifest = 16 << 20 // bytes
	MaxBases    = 64       // bundles that a bundle is based on
	MaxUnpacked = 1 << 14  // blobs of all bases whose unpacked contents are listed
	MaxVolumes  = 9999     // volumes of a bundle
	maxObjects  = 1 << 18  // braces, counted before anything is allocated for them
	maxText     = 1024     // bytes of a name, a version, an annotation
	timeLayout  = "2006-01-02T15:04:05Z"
)

// MaxSpace is how many bytes all volumes may have together, 2 TiB: as many as
// the largest blocks.bin lists the blocks of.
const MaxSpace = MaxSmallFile / sha256.Size * BlockSize

// VolumeSuffix ends the name of every volume.
const VolumeSuffix = ".vol"

// ErrRejected is wrapped by every refusal of a bundle's texts: damaged,
// malformed or not authentic.
var ErrRejected = errors.New("rejected")

// ErrIncomplete says that files of a bundle are not here (yet).
var ErrIncomplete = errors.New("incomplete")

// Manifest is the content of manifest.json.
type Manifest struct {
	Format      string            `json:"format"`
	Release     string            `json:"release"`
	Version     string            `json:"version"`
	Stream      string            `json:"stream"`
	Epoch       uint64            `json:"epoch"`
	Sequence    uint64            `json:"sequence"`
	Created     string            `json:"created"`           // UTC, RFC 3339, whole seconds
	Expires     string            `json:"expires,omitempty"` // the same
	Bases       []Base            `json:"bases,omitempty"`
	Images      []Image           `json:"images"`
	BlockSize   int64             `json:"blockSize"` // bytes; BlockSize in this version
	Volumes     []Volume          `json:"volumes"`
	Index       Extent            `json:"index"`
	Parity      *Parity           `json:"parity,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Base is an earlier bundle whose contents frames may copy from.
type Base struct {
	Release string `json:"release"`
	Version string `json:"version"`
	Root    Digest `json:"root"`  // of its SHA256SUMS
	Pages   int64  `json:"pages"` // frames of all its contents
	// Unpacked is what gzip blobs decompress to that the base has as they are, by
	// blob: further pages to copy from.
	Unpacked []Unpacked `json:"unpacked,omitempty"`
}

// Unpacked is what a gzip blob decompresses to.
type Unpacked struct {
	Blob Digest `json:"blob"`
	Size int64  `json:"size"` // bytes that it decompresses to
}

// Image is one image of the release.
type Image struct {
	Names     []string   `json:"names"`               // host/path:tag or, untagged, host/path
	Root      Descriptor `json:"root"`                // its index or manifest
	Platforms []string   `json:"platforms,omitempty"` // os/architecture[/variant]
	Manifests []Digest   `json:"manifests"`           // every document, in an order in which they can be pushed
	Blobs     []Digest   `json:"blobs"`               // every config and layer, of the referrers too, sorted
	Referrers []Referrer `json:"referrers,omitempty"` // what refers to the image or its children
}

// Referrer is a signature, attestation, SBOM or the like: found by its
// subject (OCI referrers), or by a tag in the image's repository
// (cosign's tags, and the referrers tag schema).
type Referrer struct {
	Descriptor
	Subject Digest `json:"subject"`
	Tag     string `json:"tag,omitempty"`
}

// Descriptor names a document of the release.
type Descriptor struct {
	MediaType    string `json:"mediaType"`
	Digest       Digest `json:"digest"`
	Size         int64  `json:"size"` // bytes
	ArtifactType string `json:"artifactType,omitempty"`
}

// Volume is a file of opaque bytes. Its SHA-256 is listed in SHA256SUMS.
type Volume struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// Extent is a run of bytes in the space that the volumes make, one behind the other.
type Extent struct {
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
	Digest Digest `json:"digest"` // of the bytes
}

// Marshal returns the one text for m, which must be valid.
func (m *Manifest) Marshal() ([]byte, error) {
	text, err := m.marshal()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return text, nil
}

func (m *Manifest) marshal() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	if b.Len() > MaxManifest {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", b.Len(), MaxManifest)
	}
	return b.Bytes(), nil
}

// Parse reads exactly what Marshal writes: unknown, repeated or differently
// spelt keys, another order or other white space are refused, so that no two
// readers can disagree on what was signed.
func Parse(text []byte) (*Manifest, error) {
	m, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", ManifestName, ErrRejected, err)
	}
	return m, nil
}

func parse(text []byte) (*Manifest, error) {
	if len(text) > MaxManifest {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(text), MaxManifest)
	}
	if n := bytes.Count(text, []byte("{")); n > maxObjects {
		return nil, fmt.Errorf("%d objects, at most %d are allowed", n, maxObjects)
	}
	var version struct{ Format string }
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, err
	}
	if version.Format != Format {
		return nil, fmt.Errorf("format %q; this version of airlock reads %q", clip(version.Format), Format)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, err
	}
	again, err := m.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, errors.New("not in canonical form")
	}
	return m, nil
}

// Title returns "release version" for people.
func (m *Manifest) Title() string { return m.Release + " " + m.Version }

// CreatedAt returns the time in Created.
func (m *Manifest) CreatedAt() time.Time {
	t, _ := ParseTime(m.Created)
	return t
}

// SpaceSize returns the number of bytes of all volumes together.
func (m *Manifest) SpaceSize() int64 {
	var sum int64
	for _, v := range m.Volumes {
		sum += v.Size
	}
	return sum
}

// ParseTime reads a time in manifest.json's one spelling.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || FormatTime(t) != s {
		return time.Time{}, fmt.Errorf("time %q: want a UTC time such as %q", clip(s), timeLayout)
	}
	return t, nil
}

// FormatTime returns t in manifest.json's one spelling.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// check holds the rules of FORMAT.md that concern manifest.json alone.
func (m *Manifest) check() error {
	if m.Format != Format || m.BlockSize != BlockSize {
		return fmt.Errorf("format %q with blocks of %d bytes; want %q with %d", clip(m.Format), m.BlockSize, Format, int64(BlockSize))
	}
	for _, label := range []string{m.Release, m.Version, m.Stream} {
		if err := CheckLabel(label); err != nil {
			return err
		}
	}
	if _, err := ParseTime(m.Created); err != nil {
		return err
	}
	if m.Expires != "" {
		if _, err := ParseTime(m.Expires); err != nil {
			return err
		}
	}
	for key, value := range m.Annotations {
		if err := errors.Join(checkText(key), checkText(value)); err != nil {
			return fmt.Errorf("annotation %w", err)
		}
	}
	if err := m.checkBases(); err != nil {
		return err
	}
	if err := m.checkVolumes(); err != nil {
		return err
	}
	if err := m.checkParity(); err != nil {
		return err
	}
	return m.checkImages()
}

func (m *Manifest) checkBases() error {
	if len(m.Bases) > MaxBases {
		return fmt.Errorf("%d bases, at most %d are allowed", len(m.Bases), MaxBases)
	}
	listed := 0
	for _, b := range m.Bases {
		if err := errors.Join(CheckLabel(b.Release), CheckLabel(b.Version)); err != nil {
			return fmt.Errorf("base: %w", err)
		}
		if b.Root.IsZero() || b.Pages < 0 || b.Pages > MaxSpace {
			return fmt.Errorf("base %s %s: root %s with %d pages", b.Release, b.Version, b.Root, b.Pages)
		}
		if err := b.checkUnpacked(); err != nil {
			return fmt.Errorf("base %s %s: %w", b.Release, b.Version, err)
		}
		listed += len(b.Unpacked)
	}
	if listed > MaxUnpacked {
		return fmt.Errorf("%d unpacked blobs of bases, at most %d are allowed", listed, MaxUnpacked)
	}
	return nil
}

func (b *Base) checkUnpacked() error {
	for i, u := range b.Unpacked {
		if u.Blob.IsZero() || u.Size < 1 || u.Size > MaxSpace {
			return fmt.Errorf("unpacked blob %s of %d bytes", u.Blob, u.Size)
		}
		if i > 0 && b.Unpacked[i-1].Blob.Compare(u.Blob) >= 0 {
			return fmt.Errorf("unpacked blob %s is out of order", u.Blob)
		}
	}
	return nil
}

func (m *Manifest) checkVolumes() error {
	if len(m.Volumes) == 0 || len(m.Volumes) > MaxVolumes {
		return fmt.Errorf("%d volumes, want 1 to %d", len(m.Volumes), MaxVolumes)
	}
	var sum int64
	seen := map[string]bool{}
	for i, v := range m.Volumes {
		if err := CheckName(v.Name); err != nil {
			return err
		}
		if !strings.HasSuffix(v.Name, VolumeSuffix) {
			return fmt.Errorf("volume %q: want a name that ends in %q", v.Name, VolumeSuffix)
		}
		last := i == len(m.Volumes)-1
		switch {
		case seen[v.Name]:
			return fmt.Errorf("volume %q is listed twice", v.Name)
		case !last && v.Size != m.Volumes[0].Size, v.Size > m.Volumes[0].Size:
			return fmt.Errorf("volume %q: %d bytes; all but the last have the first one's size, and the last no more", v.Name, v.Size)
		case v.Size <= 0 || v.Size > MaxSpace || (!last && v.Size%BlockSize != 0):
			return fmt.Errorf("volume %q: %d bytes; all but the last must be whole blocks", v.Name, v.Size)
		}
		seen[v.Name] = true
		sum += v.Size
		if sum > MaxSpace {
			return fmt.Errorf("volumes of more than %d bytes", int64(MaxSpace))
		}
	}
	if m.Index.Offset < 0 || m.Index.Size <= 0 || m.Index.Offset > sum || m.Index.Size != sum-m.Index.Offset {
		return fmt.Errorf("index at %d with %d bytes does not end the volumes' %d bytes", m.Index.Offset, m.Index.Size, sum)
	}
	if m.Index.Digest.IsZero() {
		return errors.New("index without a digest")
	}
	return nil
}

func (m *Manifest) checkImages() error {
	if len(m.Images) == 0 {
		return errors.New("no images")
	}
	seen := map[string]bool{}
	for i := range m.Images {
		image := &m.Images[i]
		if err := image.check(); err != nil {
			return fmt.Errorf("image %d: %w", i+1, err)
		}
		for _, name := range image.Names {
			if seen[name] && strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
				return fmt.Errorf("two images are named %q", name)
			}
			seen[name] = true
		}
	}
	return nil
}

func (image *Image) check() error {
	if len(image.Names) == 0 {
		return errors.New("no names")
	}
	for _, name := range image.Names {
		if err := checkImageName(name); err != nil {
			return err
		}
	}
	if err := checkPlatforms(image.Platforms); err != nil {
		return err
	}
	if err := image.Root.check(); err != nil {
		return err
	}
	listed := make(map[Digest]bool, len(image.Manifests))
	for _, d := range image.Manifests {
		listed[d] = true
	}
	if !listed[image.Root.Digest] {
		return fmt.Errorf("root %s is not among the manifests", image.Root.Digest)
	}
	if image.Blobs == nil {
		return errors.New("no list of blobs")
	}
	if !slices.IsSortedFunc(image.Blobs, Digest.Compare) {
		return errors.New("blobs are out of order")
	}
	for _, r := range image.Referrers {
		if err := r.check(); err != nil {
			return err
		}
		if !listed[r.Digest] {
			return fmt.Errorf("referrer %s is not among the manifests", r.Digest)
		}
		if !listed[r.Subject] {
			return fmt.Errorf("referrer %s: its subject %s is not among the manifests", r.Digest, r.Subject)
		}
	}
	return nil
}

func (r Referrer) check() error {
	if err := r.Descriptor.check(); err != nil {
		return err
	}
	if r.Subject.IsZero() {
		return fmt.Errorf("referrer %s has no subject", r.Digest)
	}
	if r.Tag == "" {
		return nil
	}
	if err := checkTag(r.Tag); err != nil {
		return fmt.Errorf("referrer %s: %w", r.Digest, err)
	}
	return nil
}

func (d Descriptor) check() error {
	if d.Digest.IsZero() || d.Size <= 0 || d.MediaType == "" {
		return fmt.Errorf("descriptor %s: needs a media type, a digest and a size", d.Digest)
	}
	if !IsMediaType(d.MediaType) || (d.ArtifactType != "" && !IsMediaType(d.ArtifactType)) {
		return fmt.Errorf("descriptor %s: media type %q, artifact type %q: want type/subtype", d.Digest, clip(d.MediaType), clip(d.ArtifactType))
	}
	return nil
}

// CheckLabel refuses a release name, version or stream that cannot stand in a
// file name: it takes 1 to 40 of a-z, 0-9, dot, underscore, hyphen and plus.
func CheckLabel(s string) error {
	if s == "" || len(s) > 40 || strings.ContainsAny(s[:1], "._-+") || strings.Trim(s, nameLetters+"._-+") != "" {
		return fmt.Errorf("%q: want 1 to 40 of a-z, 0-9, dot, underscore, hyphen and plus, starting with a letter or digit", clip(s))
	}
	for _, r := range s {
		if notNameLetter(r) && r != '+' {
			return fmt.Errorf("%q: only a-z, 0-9, dot, underscore, hyphen and plus are allowed", clip(s))
		}
	}
	return nil
}

func checkText(s string) error {
	if s == "" || len(s) > maxText {
		return fmt.Errorf("%q: want 1 to %d bytes", clip(s), maxText)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("%q: has a control character", clip(s))
		}
	}
	return nil
}
