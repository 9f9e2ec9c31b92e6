package create_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// untold is a source that must not be asked for anything.
type untold struct{ t *testing.T }

func (u untold) Resolve(context.Context) (oci.Descriptor, error) {
	u.t.Error("a source is asked")
	return oci.Descriptor{}, errSource
}
func (u untold) Document(context.Context, oci.Descriptor) ([]byte, error) { return nil, errSource }
func (u untold) Open(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) {
	return nil, errSource
}
func (u untold) Referrers(context.Context, oci.Descriptor) ([]manifest.Referrer, error) {
	return nil, errSource
}

// TestRefusedBeforeAnybodyIsAsked are releases that could not be sealed.
func TestRefusedBeforeAnybodyIsAsked(t *testing.T) {
	long := strings.Repeat("a", 40)
	for what, change := range map[string]func(*create.Release){
		"a label in capitals":            func(r *create.Release) { r.Version = "V1" },
		"labels too long for a volume":   func(r *create.Release) { r.Name, r.Version = long, long },
		"an image without names":         func(r *create.Release) { r.Images[0].Names = nil },
		"an image without a source":      func(r *create.Release) { r.Images[0].Source = nil },
		"no images":                      func(r *create.Release) { r.Images = nil },
		"two images of one name":         func(r *create.Release) { r.Images = append(r.Images, r.Images[0]) },
		"a name that is no reference":    func(r *create.Release) { r.Images[0].Names[0] = "../x" },
		"two platforms under one name":   func(r *create.Release) { r.Images[0].Platforms = platforms("linux/amd64", "linux/amd64") },
		"an annotation with a line feed": func(r *create.Release) { r.Annotations = map[string]string{"a": "b\nc"} },
	} {
		r := release(untold{t})
		change(&r)
		if _, err := create.Collect(t.Context(), r); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestRefusedBeforeAnythingIsWritten are bundles that could not be sealed.
func TestRefusedBeforeAnythingIsWritten(t *testing.T) {
	kit, s := bundletest.NewKit(t), newSource()
	s.image("linux/amd64", noise("layer", 100))
	fetched := 0
	contents, err := create.Collect(t.Context(), release(s))
	must(t, err)
	s.open = func(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, error) {
		fetched++
		return nil, errSource
	}
	ana := create.Signature{Principal: "ana", Signer: kit.Key}
	for what, signatures := range map[string][]create.Signature{
		"nobody signs": nil, "somebody signs twice": {ana, ana}, "a name that is no file's": {{Principal: "A B", Signer: kit.Key}},
	} {
		to := newSink()
		_, err := contents.Write(t.Context(), to, create.Options{Signatures: signatures, Progress: progress.Discard})
		if err == nil || len(to.MapFS)+len(to.order)+fetched > 0 {
			t.Errorf("%s: %v after %d files and %d requests", what, err, len(to.MapFS), fetched)
		}
	}
}

// TestBrokenSourceIsNoRejection holds that a connection that breaks is trouble,
// and only bytes that end too soon are wrong ones.
func TestBrokenSourceIsNoRejection(t *testing.T) {
	kit := bundletest.NewKit(t)
	for what, fail := range map[string]error{"cut": io.ErrUnexpectedEOF, "closed": fmt.Errorf("reading the body: %w", io.EOF)} {
		for _, pack := range []create.Pack{create.Fast, create.Small} {
			for _, victim := range []int64{1, 100, segment + 1} {
				for _, late := range []bool{false, true} {
					s := large()
					s.open = func(ctx context.Context, d oci.Descriptor, from, to int64) (io.ReadCloser, error) {
						r, err := s.Source.Open(ctx, d, from, to)
						switch {
						case d.Size != victim || err != nil:
							return r, err
						case late:
							return io.NopCloser(io.MultiReader(io.LimitReader(r, (to-from)/2), iotest.ErrReader(fail))), nil
						}
						return nil, fail
					}
					to, err := transfer.NewDir(t.TempDir())
					must(t, err)
					contents, err := create.Collect(t.Context(), release(s))
					must(t, err)
					_, err = contents.Write(t.Context(), to, create.Options{
						Pack: pack, Bases: archive.NewBases(), Spool: t.TempDir(), Progress: progress.Discard,
						Signatures: []create.Signature{{Principal: "ana", Signer: kit.Key}},
					})
					if err == nil || errors.Is(err, create.ErrRejected) || !strings.Contains(err.Error(), "broke off") {
						t.Errorf("%s, blob of %d bytes, pack %d, late %t: %v", what, victim, pack, late, err)
					}
				}
			}
		}
	}
}

// TestMaxBundleSizeHolds packs images that share all their layers, each of
// which the manifest lists again.
func TestMaxBundleSizeHolds(t *testing.T) {
	kit, s := bundletest.NewKit(t), newSource()
	var layers [][]byte
	for i := range 100 {
		layers = append(layers, noise(fmt.Sprint(i), 10))
	}
	s.image("linux/amd64", layers...)
	r := release(s)
	for i := range 300 {
		r.Images = append(r.Images, create.Image{Source: s, Names: []string{fmt.Sprintf("a.example/%d:1", i)}})
	}
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	to := newSink()
	_, err = contents.Write(t.Context(), to, create.Options{Signatures: []create.Signature{{Principal: "ana", Signer: kit.Key}}, Progress: progress.Discard})
	must(t, err)
	var size int64
	for _, f := range to.MapFS {
		size += int64(len(f.Data))
	}
	if bound := contents.MaxBundleSize(); size > bound || bound > size+4<<20 {
		t.Errorf("%d bytes, at most %d were promised", size, bound)
	}
}

// TestReferrersThatAreNotThere holds that what a list names and the source does
// not have is left out with a note, and all the rest is carried.
func TestReferrersThatAreNotThere(t *testing.T) {
	s, _ := multi()
	root := s.Root()
	sbom, bare := s.blob(oci.TypeManifest, artifactOf(s, root, "sbom")), s.blob(oci.TypeManifest, artifact(s, "bare"))
	gone := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("gone")), Size: 4}
	list := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","manifests":[%s,%s,%s]}`, oci.TypeIndex, describe(gone), describe(sbom), describe(bare))
	s.Refer(root.Digest, oci.TypeIndex, list, "sha256-"+root.Digest.Hex())
	for _, d := range []oci.Descriptor{gone, sbom, bare} {
		s.ReferTo(root.Digest, d, "")
	}
	r := release(s)
	contents, err := create.Collect(t.Context(), r)
	must(t, err)
	notes := strings.Join(contents.Notes(), "\n")
	for _, d := range []manifest.Digest{gone.Digest, bare.Digest, manifest.DigestOf(list)} {
		if !strings.Contains(notes, d.String()) {
			t.Errorf("no note says that %s is left out: %s", d, notes)
		}
	}
	if len(contents.Notes()) != 3 || !strings.HasPrefix(notes, r.Images[0].Names[0]+": ") {
		t.Errorf("notes: %s", notes)
	}
	kit, to := bundletest.NewKit(t), newSink()
	_, err = pack(t.Context(), t, kit, r, to)
	must(t, err)
	referrers := check(t, kit, to.Files).Images[0].Referrers
	if len(referrers) != 1 || referrers[0].Digest != sbom.Digest || referrers[0].ArtifactType != "application/x" {
		t.Errorf("carried: %v", referrers)
	}
}

// TestImageThatIsNotThere holds that a hole in the image itself is an error.
func TestImageThatIsNotThere(t *testing.T) {
	s := newSource()
	gone := oci.Descriptor{MediaType: oci.TypeManifest, Digest: manifest.DigestOf([]byte("gone")), Size: 4}
	s.index(s.image("linux/amd64", []byte("x")), gone)
	if _, err := create.Collect(t.Context(), release(s)); err == nil || !strings.Contains(err.Error(), gone.Digest.String()) {
		t.Error(err)
	}
}
