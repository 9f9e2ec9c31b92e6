// Package inspect tells people and programs what a bundle holds and who signed
// it, proven or not.
package inspect

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/trust"
)

// Report is what is known of a bundle. Its JSON form is for programs.
type Report struct {
	Proven     bool               `json:"proven"` // the texts are signed by somebody trusted; volumes are not part of it
	Root       manifest.Digest    `json:"root"`
	Signatures []Signature        `json:"signatures"`
	Manifest   *manifest.Manifest `json:"manifest"`
	Blobs      []archive.Packing  `json:"blobs,omitempty"` // only of a proven bundle whose volumes are all here

	ImagesUnproven string `json:"imagesUnproven,omitempty"` // of a verified bundle: why only its files are proven

	Damage *Damage `json:"damage,omitempty"` // what verify has found to be wrong, if anything is

	Stick     string   `json:"stick,omitempty"`     // which of several it says it is, such as "stick 2 of 3"; never proven
	Here      []string `json:"here,omitempty"`      // volumes, if some are elsewhere
	Elsewhere []string `json:"elsewhere,omitempty"` // volumes
}

// Signature is a signature file of a bundle.
type Signature struct {
	File        string   `json:"file"`
	Trusted     bool     `json:"trusted"`
	Principals  []string `json:"principals,omitempty"` // whom the trusted key belongs to
	KeyType     string   `json:"keyType,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	Reason      string   `json:"reason,omitempty"` // why it is not trusted
}

// Unproven reports what a bundle says of itself, taking its word for it.
func Unproven(fsys fs.FS) (*Report, error) {
	u, err := manifest.Read(fsys)
	if err != nil {
		return nil, err
	}
	r := &Report{Root: u.Root, Manifest: u.Manifest}
	for _, principal := range u.Signatures {
		file, err := manifest.SignatureName(principal)
		if err != nil {
			return nil, err
		}
		s := Signature{File: file, Reason: "not checked"}
		if armored, err := manifest.ReadFile(fsys, file, trust.MaxSignature); err == nil {
			if parsed, err := trust.ParseSignature(armored); err == nil {
				s.KeyType, s.Fingerprint = parsed.KeyType(), parsed.Fingerprint()
			}
		}
		r.Signatures = append(r.Signatures, s)
	}
	return r, r.look(fsys)
}

// look notes which volumes are here, if not all are.
func (r *Report) look(fsys fs.FS) error {
	here, elsewhere, err := media.Present(fsys, r.Manifest.Large())
	if err != nil || len(elsewhere) == 0 {
		return err
	}
	r.Here, r.Elsewhere = here, elsewhere
	stick, err := media.ReadStick(fsys)
	if stick != nil && stick.Root == r.Root {
		r.Stick = stick.String()
	}
	return err
}

// Proven reports on a bundle whose texts are proven. Where volumes are missing,
// it says so; where all are present, it tells how blobs are packed.
func Proven(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Report, error) {
	v, err := manifest.Open(fsys, allowed, at)
	if err != nil {
		return nil, err
	}
	r := of(v)
	if err := r.look(fsys); err != nil || len(r.Elsewhere) > 0 {
		return r, err
	}
	blobs, err := archive.Open(fsys, allowed, at)
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	return Of(blobs), nil
}

// Of reports on an open bundle.
func Of(blobs *archive.Reader) *Report {
	r := of(blobs.Verified())
	r.Blobs = blobs.Packings()
	return r
}

func of(v *manifest.Verified) *Report {
	r := &Report{Proven: true, Root: v.Root(), Manifest: v.Manifest()}
	for _, signed := range v.Signed() {
		s := Signature{File: signed.File}
		if signed.Signer != nil {
			s.Trusted = true
			s.Principals, s.KeyType, s.Fingerprint = signed.Signer.Principals, signed.Signer.KeyType, signed.Signer.Fingerprint
		} else {
			s.Reason = signed.Untrusted.Error()
		}
		r.Signatures = append(r.Signatures, s)
	}
	return r
}

// printer writes to w and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, cli.Printable(fmt.Sprintf(format, args...)))
	}
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	p := &printer{w: w}
	m := r.Manifest
	p.line("Release   %s", m.Title())
	p.line("Root      %s", r.Root)
	p.line("Stream    %s, epoch %d, sequence %d", m.Stream, m.Epoch, m.Sequence)
	p.line("Created   %s", m.Created)
	if m.Expires != "" {
		p.line("Expires   %s", m.Expires)
	}
	for _, b := range m.Bases {
		p.line("Base      %s %s, root %s", b.Release, b.Version, b.Root)
	}
	p.line("Size      %s with %s", cli.Count(len(m.Volumes), "volume"), human.Bytes(m.SpaceSize()))
	if m.Parity != nil {
		p.line("Parity    %s in %s: %d bad blocks of every %d can be made again, in a row %s", human.Bytes(m.Parity.Size()),
			cli.Count(len(m.Parity.Files), "file"), m.Parity.Blocks, m.Parity.Data+m.Parity.Blocks, human.Bytes(m.Parity.Blocks*m.Parity.Stripes*m.BlockSize))
	}
	r.printPlaces(p)
	r.printSignatures(p)
	keys := slices.Sorted(func(yield func(string) bool) {
		for key := range m.Annotations {
			if !yield(key) {
				return
			}
		}
	})
	for _, key := range keys {
		p.line("Note      %s: %s", key, m.Annotations[key])
	}
	for i := range m.Images {
		r.printImage(p, &m.Images[i])
	}
	return p.err
}

// printPlaces says which volumes are here and which are not.
func (r *Report) printPlaces(p *printer) {
	if len(r.Elsewhere) == 0 {
		return
	}
	if r.Stick != "" {
		p.line("Place     %s", r.Stick)
	}
	p.line("Here      %s", list(r.Here))
	p.line("Elsewhere %s", list(r.Elsewhere))
}

func list(names []string) string {
	if len(names) == 0 {
		return "no volume"
	}
	return strings.Join(names, "\n          ")
}

// PrintSignatures writes who signed, for people.
func (r *Report) PrintSignatures(w io.Writer) error {
	p := &printer{w: w}
	r.printSignatures(p)
	return p.err
}

func (r *Report) printSignatures(p *printer) {
	for _, s := range r.Signatures {
		switch {
		case s.Trusted:
			p.line("Signed    by %s (%s %s)", strings.Join(s.Principals, ", "), s.KeyType, s.Fingerprint)
		case r.Proven:
			p.line("Signed    by an unknown key: %s", s.Reason)
		default:
			p.line("Signed    %s, not checked (%s %s); verify --trust FILE checks it", s.File, s.KeyType, s.Fingerprint)
		}
	}
}

func (r *Report) printImage(p *printer, image *manifest.Image) {
	p.line("")
	p.line("Image     %s", strings.Join(image.Names, "\n          "))
	p.line("Digest    %s", image.Root.Digest)
	if len(image.Platforms) > 0 {
		p.line("Platforms %s", strings.Join(image.Platforms, ", "))
	}
	p.line("Parts     %s, %s%s", cli.Count(len(image.Manifests), "document"), cli.Count(len(image.Blobs), "blob"), r.sizeOf(image))
	r.printPackings(p, image)
	for _, ref := range image.Referrers {
		what := ref.ArtifactType
		if ref.Tag != "" {
			what = "tag " + ref.Tag
		}
		if what == "" {
			what = ref.MediaType
		}
		p.line("Referrer  %s (%s)", ref.Digest, what)
	}
}

// printPackings tells how each of an image's blobs is packed: what it measures
// unpacked and packed, how it is rebuilt, and how the frames of its content
// stand in the bundle.
func (r *Report) printPackings(p *printer, image *manifest.Image) {
	for _, b := range r.Blobs {
		if _, ok := slices.BinarySearchFunc(image.Blobs, b.Digest, manifest.Digest.Compare); ok {
			how := b.Recipe
			if b.Why != "" {
				how += ", " + b.Why
			}
			if b.Frames != "" {
				how += " (frames: " + b.Frames + ")"
			}
			p.line("Blob      %s, %s in %s: %s", b.Digest, human.Bytes(b.Size), human.Bytes(b.Packed), how)
		}
	}
}

// sizeOf tells what an image's blobs measure, unpacked and packed.
func (r *Report) sizeOf(image *manifest.Image) string {
	if len(r.Blobs) == 0 {
		return ""
	}
	var size, packed int64
	for _, b := range r.Blobs {
		if _, ok := slices.BinarySearchFunc(image.Blobs, b.Digest, manifest.Digest.Compare); ok {
			size, packed = size+b.Size, packed+b.Packed
		}
	}
	return fmt.Sprintf(", %s (%s in the bundle)", human.Bytes(size), human.Bytes(packed))
}

// List writes a line for each image.
func (r *Report) List(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tDIGEST\tPLATFORMS")
	for i := range r.Manifest.Images {
		image := &r.Manifest.Images[i]
		for _, name := range image.Names {
			fmt.Fprintf(table, "%s\t%s\t%s\n", cli.Printable(name), image.Root.Digest, cli.Printable(strings.Join(image.Platforms, ",")))
		}
	}
	return table.Flush()
}
