package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/trust"
)

// kit makes bundles from FORMAT.md alone, without the writers under test, and
// bends them where it is told to. Functions named bend… see a part before it
// is hashed and signed: what a dishonest signer can make. The function after
// sees the finished files: what anybody with the stick can make.
type kit struct {
	key        *trust.Key
	contents   []contentSpec
	blobs      []blobSpec // nil: each content as it is
	m          manifest.Manifest
	volumeSize int   // zero: one volume
	cutAt      []int // sizes of the first volumes, if they are to be uneven
	readme     string
	dense      bool             // no gaps between contents
	gap        byte             // what they are of
	parity     *manifest.Parity // its figures; files are computed

	raw      []byte // a whole space, instead of contents
	rawIndex manifest.Extent

	bendIndex    func([]byte) []byte
	bendParity   func(map[string][]byte)
	bendManifest func(*manifest.Manifest)
	bendText     func(string) string
	bendVolumes  func(map[string][]byte)
	bendBlocks   func([]byte) []byte
	bendFiles    func(map[string][]byte) // every listed file
	bendSums     func(string) string
	sign         func(sums []byte) map[string][]byte // nil: ana signs
	after        func(map[string][]byte)
}

type contentSpec struct {
	digest manifest.Digest
	size   uint64
	frames []frameSpec
}

type frameSpec struct {
	kind    byte
	data    []byte  // as it stands in the space
	encoded *uint64 // what the index says of data; nil: its size
	page    uint64  // of kind 3
}

type blobSpec struct {
	digest  manifest.Digest
	kind    byte
	content uint64
	size    uint64 // of kind 1
	recipe  []byte // of kind 1
}

// frameBytes is how many bytes of content a frame has, but a content's last.
const frameBytes = 2 << 20

// goldenTime is when the golden bundle was made, and when the vectors are read.
var goldenTime = bundletest.Created

const (
	goldenLayer = "A layer can be any bytes. These are stored as they are."
	goldenWords = "This layer repeats itself, and repeats itself, and repeats itself, and repeats itself, and repeats itself.\n"
)

// goldenSource returns the image that the golden bundle carries.
func goldenSource() *bundletest.Source {
	s := bundletest.NewSource()
	layers := []manifest.Digest{s.Add([]byte(goldenLayer)), s.Add([]byte(goldenWords))}
	config := s.Add(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%s","%s"]}}`, layers[0], layers[1]))
	s.SetRoot(oci.TypeManifest, s.Add(imageManifest(s.All(), config, layers...)))
	return s
}

// imageManifest returns a manifest over blobs of all.
func imageManifest(all map[manifest.Digest][]byte, config manifest.Digest, layers ...manifest.Digest) []byte {
	var list []string
	for _, d := range layers {
		list = append(list, fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":%d}`, oci.TypeLayer, d, len(all[d])))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[%s]}`,
		oci.TypeManifest, oci.TypeConfig, config, len(all[config]), strings.Join(list, ","))
}

// newKit returns a kit that makes the golden bundle.
func newKit(t testing.TB) *kit {
	t.Helper()
	s := goldenSource()
	k := &kit{key: testKey(t, "ana"), readme: string(goldenReadme(t))}
	k.m = manifest.Manifest{
		Format: manifest.Format, Release: "shop", Version: "1.0", Stream: "shop", Epoch: 1, Sequence: 1,
		Created: "2026-01-02T03:04:05Z", BlockSize: 1 << 20,
	}
	k.setImage(t, s)
	return k
}

// setImage makes an image all that the bundle carries: the documents in front,
// then the blobs by digest.
func (k *kit) setImage(t testing.TB, s *bundletest.Source) {
	t.Helper()
	closure, err := oci.Walk(t.Context(), s.Root(), s.Document)
	must(t, err)
	image := manifest.Image{
		Names:     []string{"registry.example/app/0:1.0"},
		Platforms: []string{"linux/amd64"},
		Root:      manifest.Descriptor{MediaType: s.Root().MediaType, Digest: s.Root().Digest, Size: s.Root().Size},
	}
	k.contents, k.blobs = nil, nil
	for _, n := range closure.Nodes {
		image.Manifests = append(image.Manifests, n.Digest)
		k.add(t, n.Raw)
	}
	for _, b := range closure.Blobs {
		image.Blobs = append(image.Blobs, b.Digest)
		k.add(t, s.All()[b.Digest])
	}
	k.m.Images = []manifest.Image{image}
}

// keepBlobs lists each content as a blob, so that contents can change.
func (k *kit) keepBlobs() {
	k.blobs = nil
	for i, c := range k.contents {
		k.blobs = append(k.blobs, blobSpec{digest: c.digest, content: uint64(i)})
	}
	slices.SortFunc(k.blobs, func(a, b blobSpec) int { return bytes.Compare(a.digest[:], b.digest[:]) })
}

// add appends a content in one frame.
func (k *kit) add(t testing.TB, data []byte) {
	t.Helper()
	c := contentSpec{digest: sha256.Sum256(data), size: uint64(len(data))}
	for part := range slices.Chunk(data, frameBytes) {
		c.frames = append(c.frames, encodeFrame(t, part))
	}
	k.contents = append(k.contents, c)
}

// encodeFrame stores data, or compresses it where that saves a sixteenth.
func encodeFrame(t testing.TB, data []byte) frameSpec {
	t.Helper()
	if packed := compress(t, data); len(packed)+len(data)/16 < len(data) {
		return frameSpec{kind: 1, data: packed}
	}
	return frameSpec{data: data}
}

func compress(t testing.TB, data []byte, more ...zstd.EOption) []byte {
	t.Helper()
	options := append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(2 << 20), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true)}, more...)
	e, err := zstd.NewWriter(nil, options...)
	must(t, err)
	defer e.Close()
	return e.EncodeAll(data, nil)
}

// space returns the frames one behind the other, each content's first at a
// multiple of 64, and the index.
func (k *kit) space() (frames, index []byte) {
	index = append(index, "airlock-index-v1\n"...)
	index = binary.AppendUvarint(index, uint64(len(k.contents)))
	if k.blobs == nil {
		k.keepBlobs()
	}
	for _, c := range k.contents {
		for !k.dense && len(c.frames) > 0 && len(frames)%64 > 0 {
			frames = append(frames, k.gap)
		}
		index = append(index, c.digest[:]...)
		index = binary.AppendUvarint(index, c.size)
		for _, f := range c.frames {
			index = append(index, f.kind)
			switch {
			case f.encoded != nil:
				index = binary.AppendUvarint(index, *f.encoded)
			case f.kind == 1 || f.kind == 2:
				index = binary.AppendUvarint(index, uint64(len(f.data)))
			case f.kind == 3:
				index = binary.AppendUvarint(index, f.page)
			}
			frames = append(frames, f.data...)
		}
	}
	index = binary.AppendUvarint(index, uint64(len(k.blobs)))
	for _, b := range k.blobs {
		index = append(index, b.digest[:]...)
		index = append(index, b.kind)
		index = binary.AppendUvarint(index, b.content)
		if b.kind == 1 {
			index = binary.AppendUvarint(index, b.size)
			index = binary.AppendUvarint(index, uint64(len(b.recipe)))
			index = append(index, b.recipe...)
		}
	}
	return frames, index
}

// make returns the bundle's files.
func (k *kit) make(t testing.TB) map[string][]byte {
	t.Helper()
	m := k.m
	space := k.raw
	m.Index = k.rawIndex
	if space == nil {
		frames, index := k.space()
		index = bend(k.bendIndex, index)
		space = append(frames, index...)
		m.Index = manifest.Extent{Offset: int64(len(frames)), Size: int64(len(index)), Digest: sha256.Sum256(index)}
	}
	files, blocks := k.cut(&m, space)
	if k.parity != nil {
		blocks = append(blocks, k.addParity(&m, files)...)
	}
	if k.bendManifest != nil {
		k.bendManifest(&m)
	}
	if k.bendVolumes != nil {
		k.bendVolumes(files)
	}
	files["blocks.bin"] = bend(k.bendBlocks, blocks)
	files["manifest.json"] = []byte(bend(k.bendText, manifestText(t, &m)))
	files["README.txt"] = []byte(k.readme)
	if k.bendFiles != nil {
		k.bendFiles(files)
	}
	sums := []byte(bend(k.bendSums, sumsText(files)))
	signatures := map[string][]byte{}
	if k.sign != nil {
		signatures = k.sign(sums)
	} else {
		signatures["SHA256SUMS.ana.sig"] = signed(t, k.key, sums)
	}
	files["SHA256SUMS"] = sums
	maps.Copy(files, signatures)
	if k.parity != nil {
		files["copy.tar"] = copyOf(t, files)
	}
	if k.after != nil {
		k.after(files)
	}
	return files
}

// cut cuts the space into volumes and blocks.
func (k *kit) cut(m *manifest.Manifest, space []byte) (files map[string][]byte, blocks []byte) {
	files = map[string][]byte{}
	for i, part := range k.parts(space) {
		name := fmt.Sprintf("shop-1.0.%03d.vol", i)
		files[name] = part
		m.Volumes = append(m.Volumes, manifest.Volume{Name: name, Size: int64(len(part))})
		for block := range slices.Chunk(part, 1<<20) {
			sum := sha256.Sum256(block)
			blocks = append(blocks, sum[:]...)
		}
	}
	return files, blocks
}

// parts returns the bytes of each volume.
func (k *kit) parts(space []byte) [][]byte {
	var all [][]byte
	for _, size := range k.cutAt {
		all, space = append(all, space[:size]), space[size:]
	}
	size := k.volumeSize
	if size == 0 {
		size = len(space)
	}
	return slices.AppendSeq(all, slices.Chunk(space, size))
}

func bend[T any](f func(T) T, v T) T {
	if f == nil {
		return v
	}
	return f(v)
}

// manifestText encodes a manifest without judging it.
func manifestText(t testing.TB, m *manifest.Manifest) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	must(t, enc.Encode(m))
	return b.String()
}

// sumsText returns SHA256SUMS as sha256sum writes it.
func sumsText(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return b.String()
}

func signed(t testing.TB, key *trust.Key, sums []byte) []byte {
	t.Helper()
	armored, err := key.Sign("airlock-bundle-v1", sums)
	must(t, err)
	return armored
}

// testKey loads one of testdata's keys.
func testKey(t testing.TB, name string) *trust.Key {
	t.Helper()
	key, err := trust.LoadKey(filepath.Join("testdata", "key-"+name), nil)
	must(t, err)
	return key
}

// testAllowed returns the trusted signers: ana, and bob until 2025.
func testAllowed(t testing.TB) *trust.AllowedSigners {
	t.Helper()
	text, err := os.ReadFile("testdata/allowed_signers")
	must(t, err)
	allowed, err := trust.ParseAllowedSigners(text)
	must(t, err)
	return allowed
}

// mapFS shows files as a file system.
func mapFS(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data, Mode: 0o644, ModTime: time.Time{}}
	}
	return fsys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
