package archive_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

const vol0, vol1 = "shop-1.0.000.vol", "shop-1.0.001.vol"

// both bends a kit twice.
func both(a, b func(testing.TB, *kit)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		a(t, k)
		b(t, k)
	}
}

func blocks(f func([]byte) []byte) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) { k.bendBlocks = f }
}

func volumeVectors() []maker {
	return []maker{
		{"volume_missing", "volume", vol0, "the volume is missing", remove(vol0)},
		{"volume_second_missing", "volume", vol1, "the second volume is missing", both(twoVolumes, remove(vol1))},
		{"volume_cut", "volume", vol0, "the volume lacks its last byte", after(func(f map[string][]byte) { f[vol0] = f[vol0][:len(f[vol0])-1] })},
		{"volume_long", "volume", vol0, "the volume has a byte more", after(func(f map[string][]byte) { f[vol0] = append(bytes.Clone(f[vol0]), 0) })},
		{"volume_first_bit", "volume", "block 0 of volume " + vol0, "a bit of the first byte is flipped", flip(vol0, 0)},
		{"volume_last_bit", "volume", "block 0 of volume " + vol0, "a bit of the last byte is flipped", flip(vol0, -1)},
		{"volume_second_bit", "volume", "block 0 of volume " + vol1, "a bit of the second volume is flipped", both(twoVolumes, flip(vol1, 0))},
		{"volume_swapped", "volume", vol0, "two volumes of the same size have changed places", both(evenVolumes, after(func(f map[string][]byte) { f[vol0], f[vol1] = f[vol1], f[vol0] }))},
		{"volume_copied", "volume", vol1, "a volume stands in another's place", both(evenVolumes, after(func(f map[string][]byte) { f[vol1] = f[vol0] }))},
		{"volume_other_sum", "volume", vol0, "SHA256SUMS lists another hash for the volume, whose blocks are right", func(_ testing.TB, k *kit) {
			k.bendSums = func(s string) string {
				at := strings.Index(s, "  "+vol0)
				return s[:at-64] + strings.Repeat("1", 64) + s[at:]
			}
		}},
		{"blocks_none", "volume", "blocks.bin has 0 bytes", "blocks.bin is empty", blocks(func([]byte) []byte { return nil })},
		{"blocks_cut", "volume", "blocks.bin has 31 bytes", "blocks.bin lacks a byte", blocks(func(b []byte) []byte { return b[:31] })},
		{"blocks_too_many", "volume", "blocks.bin has 64 bytes", "blocks.bin lists a block more", blocks(func(b []byte) []byte { return append(b, b...) })},
		{"blocks_wrong", "volume", "block 0 of volume " + vol0, "blocks.bin lists another hash", blocks(func(b []byte) []byte { return bytes.Repeat([]byte{1}, len(b)) })},
	}
}

// evenVolumes makes two volumes of a block each: the second ends with a layer
// that fills it up.
func evenVolumes(t testing.TB, k *kit) {
	s := goldenSource()
	ones := bytes.Repeat([]byte{1}, 1<<20)
	setLayers(t, k, s, s.Add(make([]byte, 1<<20)), s.Add(ones))
	var large []contentSpec
	k.contents = slices.DeleteFunc(k.contents, func(c contentSpec) bool {
		if c.size == 1<<20 {
			large = append(large, c)
		}
		return c.size == 1<<20
	})
	k.contents = append(large, k.contents...)
	for i, data := range [][]byte{make([]byte, 1<<20), ones} {
		at := slices.IndexFunc(k.contents, func(c contentSpec) bool { return c.digest == manifest.DigestOf(data) })
		k.contents[at].frames = []frameSpec{{data: data}}
		k.contents[i], k.contents[at] = k.contents[at], k.contents[i]
	}
	k.volumeSize = 1 << 20
}

func indexBytes(f func([]byte) []byte) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) { k.bendIndex = f }
}

// contents changes what the index lists; blobs stay as they were.
func contents(f func(k *kit)) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) {
		k.keepBlobs()
		f(k)
	}
}

// Numbers of the golden bundle's contents.
const (
	goldenManifest = iota // zstd
	goldenStored
	goldenConfig // stored
	goldenZstd
)

func indexVectors() []maker {
	const magic = len("airlock-index-v1\n")
	long := binary.AppendUvarint(nil, 1<<63)
	return []maker{
		{"index_other_digest", "index", "index has another digest", "manifest.json lists another digest of the index", field(func(m *manifest.Manifest) { m.Index.Digest[0] ^= 1 })},
		{"index_version", "index", "index does not begin with", "an index of another version", indexBytes(func(b []byte) []byte { return bytes.Replace(b, []byte("v1\n"), []byte("v2\n"), 1) })},
		{"index_short", "index", "index does not begin with", "an index of one byte", indexBytes(func(b []byte) []byte { return b[:1] })},
		{"index_cut", "index", "index: ", "the index lacks its last byte", indexBytes(func(b []byte) []byte { return b[:len(b)-1] })},
		{"index_only_magic", "index", "index: ends too early", "nothing follows the first line", indexBytes(func(b []byte) []byte { return b[:magic] })},
		{"index_byte_more", "index", "1 bytes too many", "a byte follows the last blob", indexBytes(func(b []byte) []byte { return append(b, 0) })},
		{"index_long_number", "index", "shortest form", "the number of contents in two bytes instead of one", indexBytes(func(b []byte) []byte {
			return slices.Concat(b[:magic], []byte{b[magic] | 0x80, 0}, b[magic+1:])
		})},
		{"index_number_of_11_bytes", "index", "too long", "a number that never ends", indexBytes(func(b []byte) []byte {
			return slices.Concat(b[:magic], bytes.Repeat([]byte{0x80}, 11), b[magic+1:])
		})},
		{"index_number_over_limit", "index", "over the limit", "2^63 contents", indexBytes(func(b []byte) []byte { return slices.Concat(b[:magic], long, b[magic+1:]) })},
		{"index_too_many_contents", "index", "entries do not fit", "more contents than bytes; refused before anything is allocated", indexBytes(func(b []byte) []byte {
			return slices.Concat(b[:magic], binary.AppendUvarint(nil, 1<<40), b[magic+1:])
		})},
		{"index_too_many_frames", "index", "entries do not fit", "a content of more frames than bytes are left", contents(func(k *kit) { k.contents[1].size = 1 << 40 })},
		{"index_no_contents", "index", "frames take 0 bytes", "no contents, though there are frames", func(_ testing.TB, k *kit) {
			k.bendIndex = func(b []byte) []byte { return append(slices.Clone(b[:magic]), 0, 0) }
		}},
		{"content_zero_digest", "index", "a digest is zero", "a content with the zero digest", contents(func(k *kit) { k.contents[1].digest = manifest.Digest{} })},
		{"content_twice", "index", "stands twice", "one content twice", contents(func(k *kit) { k.contents = append(k.contents, k.contents[1]) })},
		{"content_unused", "index", "no blob uses content", "a content that no blob uses", contents(func(k *kit) {
			data := []byte("unused")
			k.contents = append(k.contents, contentSpec{digest: manifest.DigestOf(data), size: 6, frames: []frameSpec{{data: data}}})
		})},
		{"content_large", "index", "over the limit", "a content of more bytes than a space may have", contents(func(k *kit) { k.contents[1].size = 1<<46 + 1 })},
		{"frame_kind_unknown", "index", "frame of kind 4", "a kind of frame that is not known", contents(func(k *kit) { k.contents[1].frames[0].kind = 4 })},
		{"frame_too_few", "index", "frames take", "a stored frame of 64 bytes less than its content", contents(func(k *kit) { k.contents[1].size += 64 })},
		{"frame_none", "index", "index: ", "a content without frames", contents(func(k *kit) { k.contents[1].frames = nil })},
		{"frame_one_more", "index", "index: ", "a content with a frame too many", contents(func(k *kit) {
			k.contents[1].frames = append(k.contents[1].frames, frameSpec{data: []byte("x")})
		})},
		{"frame_large", "index", "over the limit", "a zstd frame of more than 2 MiB", contents(func(k *kit) {
			n := uint64(2<<20 + 1)
			k.contents[goldenZstd].frames[0].encoded = &n
		})},
		{"frame_delta_gains_nothing", "index", "a frame of 107 bytes for 107", "a delta frame as large as what it holds", contents(func(k *kit) {
			k.contents[goldenZstd].frames[0] = frameSpec{kind: 2, data: make([]byte, 107)}
		})},
		{"same_itself", "index", "does not come before it", "a page that is a copy of itself", contents(func(k *kit) { k.contents[1].frames[0] = frameSpec{kind: 3, page: 1} })},
		{"same_later", "index", "does not come before it", "a page that is a copy of a later one", contents(func(k *kit) { k.contents[1].frames[0] = frameSpec{kind: 3, page: 3} })},
		{"frame_zstd_empty", "index", "a frame of 0 bytes for 107", "a zstd frame of no bytes", contents(func(k *kit) { k.contents[goldenZstd].frames[0].data = nil })},
		{"frame_zstd_gains_nothing", "index", "a frame of 107 bytes for 107", "a zstd frame as large as what it holds", contents(func(k *kit) {
			f := &k.contents[goldenZstd].frames[0]
			f.data = append(f.data, make([]byte, len(goldenWords)-len(f.data))...)
		})},
		{"frames_gap", "index", "frames take", "a byte between the last frame and the index", contents(func(k *kit) {
			n := uint64(len(k.contents[goldenZstd].frames[0].data))
			k.contents[goldenZstd].frames[0].data = append(k.contents[goldenZstd].frames[0].data, 0)
			k.contents[goldenZstd].frames[0].encoded = &n
		})},
		{"gap_not_zero", "frame", "a byte between contents", "bytes between contents are not zero", func(_ testing.TB, k *kit) { k.gap = 1 }},
		{"frames_dense", "index", "frames take", "no gaps between contents", func(_ testing.TB, k *kit) { k.dense = true }},
		{"frames_gap_for_none", "index", "frames take", "a gap behind the last frame, for a content that has none", func(t testing.TB, k *kit) {
			last := &k.contents[goldenZstd].frames[0]
			n := uint64(len(last.data))
			last.data = append(last.data, make([]byte, 64-n%64)...)
			last.encoded = &n
			k.add(t, nil)
		}},
		{"frames_overlap", "index", "frames take", "the last frame reaches into the index", contents(func(k *kit) {
			n := uint64(len(k.contents[goldenZstd].frames[0].data) + 1)
			k.contents[goldenZstd].frames[0].encoded = &n
		})},
		{"blob_recipe_unknown", "index", "recipe of kind 4", "a kind of recipe that is not known", contents(func(k *kit) { k.blobs[0].kind = 4 })},
		{"blob_zero_digest", "index", "a digest is zero", "a blob with the zero digest", contents(func(k *kit) { k.blobs[0].digest = manifest.Digest{} })},
		{"blob_no_content", "index", "comes from content 4 of 4", "a blob of a content that is not there", contents(func(k *kit) { k.blobs[0].content = 4 })},
		{"blob_other_content", "index", "is not its content", "a blob that is another content as it is", contents(func(k *kit) { k.blobs[0].content = (k.blobs[0].content + 1) % 4 })},
		{"blob_out_of_order", "index", "out of order", "blobs are not sorted", contents(func(k *kit) { k.blobs[0], k.blobs[1] = k.blobs[1], k.blobs[0] })},
		{"blob_twice", "index", "out of order", "a blob twice", contents(func(k *kit) { k.blobs = slices.Insert(k.blobs, 0, k.blobs[0]) })},
	}
}

// packed puts other bytes in the frame of the layer that repeats itself. They
// count as a zstd frame for as many bytes as before.
func packed(f func(t testing.TB, good []byte) []byte) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		frame := &k.contents[goldenZstd].frames[0]
		frame.data = f(t, slices.Clone(frame.data))
		if len(frame.data) >= len(goldenWords) {
			t.Fatalf("%d bytes for %d", len(frame.data), len(goldenWords))
		}
	}
}

// zstdFrame returns a frame of one raw block with a header of our own.
func zstdFrame(header []byte, block string) []byte {
	n := len(block)<<3 | 1
	return slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd}, header, []byte{byte(n), byte(n >> 8), byte(n >> 16)}, []byte(block))
}

// largeLayer makes the bundle carry a layer that is one zstd frame of that text.
func largeLayer(words string, frame []byte) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := bundletest.NewSource()
		setLayers(t, k, s, s.Add([]byte(words)))
		d := manifest.DigestOf([]byte(words))
		at := slices.IndexFunc(k.contents, func(c contentSpec) bool { return c.digest == d })
		k.contents[at].frames = []frameSpec{{kind: 1, data: frame}}
	}
}

func frameVectors() []maker {
	n := byte(len(goldenWords))
	words := strings.Repeat("a", 1000)
	le := binary.LittleEndian.AppendUint16(nil, 1000-256)
	rle := func(header []byte, size int) []byte {
		b := size<<3 | 3
		return slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd}, header, []byte{byte(b), byte(b >> 8), byte(b >> 16), 'a'})
	}
	return []maker{
		{"ok_zstd_window", "ok", "", "a zstd frame that asks for a window of 2 MiB", largeLayer(words, rle(append([]byte{0x40, 11 << 3}, le...), 1000))},
		{"zstd_garbage", "frame", "malformed", "no zstd frame", packed(func(_ testing.TB, b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })},
		{"zstd_cut", "frame", "cut short", "a zstd frame without its last byte", packed(func(_ testing.TB, b []byte) []byte { return b[:len(b)-1] })},
		{"zstd_byte_more", "frame", "1 bytes behind a zstd frame", "a byte behind a zstd frame", packed(func(_ testing.TB, b []byte) []byte { return append(b, 0) })},
		{"zstd_two_frames", "frame", "behind a zstd frame", "an empty zstd frame behind the zstd frame", packed(func(_ testing.TB, b []byte) []byte {
			return append(b, zstdFrame([]byte{0x20, 0}, "")...)
		})},
		{"zstd_skippable_behind", "frame", "behind a zstd frame", "a skippable frame behind the zstd frame", packed(func(_ testing.TB, b []byte) []byte {
			return append(b, 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x')
		})},
		{"zstd_skippable_before", "frame", "skippable", "a skippable frame before the zstd frame", packed(func(_ testing.TB, b []byte) []byte {
			return append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'}, b...)
		})},
		{"zstd_checksum", "frame", "with a checksum", "a zstd frame with a checksum", packed(func(t testing.TB, _ []byte) []byte {
			return compress(t, []byte(goldenWords), zstd.WithEncoderCRC(true))
		})},
		{"zstd_dictionary", "frame", "with dictionary 7", "a zstd frame that wants a dictionary", packed(func(_ testing.TB, b []byte) []byte {
			return slices.Concat(b[:4], []byte{0x21, 7, n}, b[6:])
		})},
		{"zstd_without_size", "frame", "want 107", "a zstd frame without its content's size", packed(func(_ testing.TB, b []byte) []byte {
			return slices.Concat(b[:4], []byte{0x00, 0x00}, b[6:])
		})},
		{"zstd_other_size", "frame", "for 106 bytes, want 107", "a zstd frame for a byte less", packed(func(t testing.TB, _ []byte) []byte {
			return compress(t, []byte(goldenWords)[1:])
		})},
		{"zstd_less_than_it_says", "frame", "malformed", "a zstd frame that says 107 bytes and holds 10", packed(func(testing.TB, []byte) []byte {
			return zstdFrame([]byte{0x20, n}, goldenWords[:10])
		})},
		{"zstd_more_than_it_says", "frame", "malformed", "a zstd frame that says 1000 bytes and holds 100 000", largeLayer(words, rle(append([]byte{0x60}, le...), 100_000))},
		{"zstd_window", "frame", "malformed", "a zstd frame that asks for a window of 2.25 MiB", largeLayer(words, rle(append([]byte{0x40, 11<<3 | 1}, le...), 1000))},
		{"zstd_reserved_block", "frame", "malformed", "a block of the reserved type", packed(func(_ testing.TB, b []byte) []byte {
			b[6] |= 6
			return b
		})},
		{"content_other_bytes", "content", "content sha256:8180", "a stored frame holds other bytes", contents(func(k *kit) {
			k.contents[goldenStored].frames[0].data = []byte(strings.Replace(goldenLayer, "any", "ANY", 1))
		})},
		{"content_takes_gap", "content", "content sha256:8180", "a content that takes a byte of the gap behind it", contents(func(k *kit) { k.contents[1].size++ })},
		{"content_other_zstd", "content", "content sha256:", "a zstd frame holds other bytes", packed(func(t testing.TB, _ []byte) []byte {
			return compress(t, []byte(strings.Replace(goldenWords, "layer", "LAYER", 1)))
		})},
	}
}

// document replaces the image by a manifest or index of that text.
func document(mediaType string, raw func(s *bundletest.Source) string) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := goldenSource()
		d := s.Add([]byte(raw(s)))
		data := s.All()[d]
		k.contents = k.contents[1:]
		k.add(t, data)
		i := &k.m.Images[0]
		i.Root = manifest.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
		i.Manifests = []manifest.Digest{d}
	}
}

// edited is the golden image's manifest with a change.
func edited(old, new string) func(testing.TB, *kit) {
	return document(oci.TypeManifest, func(s *bundletest.Source) string {
		return strings.Replace(string(s.All()[s.Root().Digest]), old, new, 1)
	})
}

func releaseVectors() []maker {
	other := manifest.DigestOf([]byte("other"))
	inner := `"mediaType":"` + oci.TypeManifest + `",`
	return []maker{
		{"release_blob_missing", "release", "is not in the bundle", "the root is not in the bundle", func(_ testing.TB, k *kit) {
			k.bendManifest = func(m *manifest.Manifest) { m.Images[0].Root.Digest, m.Images[0].Manifests[0] = other, other }
		}},
		{"release_blob_of_no_image", "release", "belongs to no image", "the bundle has a blob that no image has", func(t testing.TB, k *kit) { k.add(t, []byte("stowaway")) }},
		{"release_blob_not_listed", "release", "is not listed", "a layer is not listed for the image", image(func(i *manifest.Image) { i.Blobs = i.Blobs[1:] })},
		{"release_blob_not_reached", "release", "no document points to it", "a blob is listed that no document points to", image(func(i *manifest.Image) {
			i.Blobs = append(i.Blobs, other)
			slices.SortFunc(i.Blobs, manifest.Digest.Compare)
		})},
		{"release_blob_twice", "release", "perhaps twice", "a blob is listed twice", image(func(i *manifest.Image) { i.Blobs = slices.Insert(i.Blobs, 0, i.Blobs[0]) })},
		{"release_document_twice", "release", "perhaps twice", "a document is listed twice", image(func(i *manifest.Image) { i.Manifests = append(i.Manifests, i.Manifests[0]) })},
		{"release_document_not_reached", "release", "nothing points to it", "a document is listed that nothing points to", image(func(i *manifest.Image) { i.Manifests = append(i.Manifests, other) })},
		{"release_document_not_listed", "release", "is not listed", "an index's child is not listed", func(t testing.TB, k *kit) {
			s := goldenSource()
			s.SetRoot(oci.TypeIndex, s.Add(indexOver(s)))
			k.setImage(t, s)
			k.m.Images[0].Platforms = nil
			k.bendManifest = func(m *manifest.Manifest) { m.Images[0].Manifests = m.Images[0].Manifests[1:] }
		}},
		{"release_document_order", "release", "which it points to", "an index is listed before its child", func(t testing.TB, k *kit) {
			s := goldenSource()
			s.SetRoot(oci.TypeIndex, s.Add(indexOver(s)))
			k.setImage(t, s)
			k.m.Images[0].Platforms = nil
			k.bendManifest = func(m *manifest.Manifest) { slices.Reverse(m.Images[0].Manifests) }
		}},
		{"release_platforms_other", "release", "platforms", "a platform that the image is not for", image(func(i *manifest.Image) { i.Platforms[0] = "linux/arm64" })},
		{"release_platforms_more", "release", "platforms", "a platform more than the image is for", image(func(i *manifest.Image) { i.Platforms = append(i.Platforms, "linux/arm64") })},
		{"release_platforms_none", "release", "platforms", "no platforms", image(func(i *manifest.Image) { i.Platforms = nil })},
		{"release_kind_root", "release", "artifact type", "the root is said to be an artifact", image(func(i *manifest.Image) { i.Root.ArtifactType = "application/x" })},
		{"release_kind_referrer", "release", "artifact type", "a referrer is said to be another artifact", referred("", func(r *manifest.Referrer) { r.ArtifactType = "application/x" })},
		{"release_referrer_subject", "release", "and does not", "a referrer refers to another document", referred("", func(r *manifest.Referrer) { r.Subject = r.Digest })},
		{"release_referrer_tag", "release", "does not stand for what refers to", "a referrer takes another image's tag", referred("latest", nil)},
		{"release_referrer_no_index", "release", "is no index", "a manifest under the tag of an index", referred("sha256-"+goldenSource().Root().Digest.Hex(), nil)},
		{"ok_referrers", "ok", "", "a referrer by its subject, and one under cosign's tag", both(referred("", nil), func(t testing.TB, k *kit) {
			r := k.m.Images[0].Referrers[0]
			r.Tag = "sha256-" + r.Subject.Hex() + ".sig"
			k.m.Images[0].Referrers = append(k.m.Images[0].Referrers, r)
		})},
		{"release_root_other_size", "release", "is not in the bundle", "the root's size is not its own", image(func(i *manifest.Image) { i.Root.Size++ })},
		{"release_root_other_type", "release", "an index has manifests", "a manifest that the bundle calls an index", both(edited(inner, ""), image(func(i *manifest.Image) { i.Root.MediaType = oci.TypeIndex }))},
		{"release_type_unknown", "release", `"text/plain" outside`, "a root of a media type that is no document", image(func(i *manifest.Image) { i.Root.MediaType = "text/plain" })},
		{"release_type_inside", "release", "inside", "a manifest that calls itself an index", edited(oci.TypeManifest, oci.TypeIndex)},
		{"release_two_kinds", "release", "a manifest has layers and a config", "a manifest with manifests", edited(`"layers"`, `"manifests":[],"layers"`)},
		{"release_schema_1", "release", "schema", "schema version 1", edited(`"schemaVersion":2`, `"schemaVersion":1`)},
		{"release_key_twice", "release", "stands twice", "a key twice", edited(inner, inner+inner)},
		{"release_not_json", "release", "malformed", "a manifest with text behind it", edited(`]}`, `]}x`)},
		{"release_digest_capitals", "release", "lower-case", "a digest in capitals", edited("sha256:818089205a", "sha256:818089205A")},
		{"release_digest_sha512", "release", "only sha256", "a digest of another algorithm", edited("sha256:818089205a", "sha512:818089205a")},
		{"release_size_negative", "release", "negative", "a negative size", edited(`"size":55`, `"size":-1`)},
		{"release_size_missing", "release", "no size", "no size", edited(`,"size":55`, ``)},
		{"release_two_sizes", "release", "is listed with", "one layer with two sizes", edited(`"layers":[`, fmt.Sprintf(`"layers":[{"mediaType":"x","digest":"%s","size":1},`, manifest.DigestOf([]byte(goldenLayer))))},
	}
}

// referred adds an SBOM that refers to the golden image, listed under a tag, if
// there is one, and changed by f.
func referred(tag string, f func(*manifest.Referrer)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := goldenSource()
		root := s.Root()
		config := s.Add([]byte("{}"))
		raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","artifactType":"application/spdx+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2},"layers":[],"subject":{"mediaType":"%s","digest":"%s","size":%d}}`,
			oci.TypeManifest, config, root.MediaType, root.Digest, root.Size)
		r := manifest.Referrer{Descriptor: manifest.Descriptor{MediaType: oci.TypeManifest, Digest: s.Add(raw), Size: int64(len(raw)), ArtifactType: "application/spdx+json"}, Subject: root.Digest, Tag: tag}
		if f != nil {
			f(&r)
		}
		image := &k.m.Images[0]
		k.add(t, raw)
		k.add(t, []byte("{}"))
		image.Manifests = append(image.Manifests, r.Digest)
		image.Blobs = append(image.Blobs, config)
		slices.SortFunc(image.Blobs, manifest.Digest.Compare)
		image.Referrers = append(image.Referrers, r)
	}
}

// indexOver returns an index with the source's image.
func indexOver(s *bundletest.Source) []byte {
	r := s.Root()
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","manifests":[{"mediaType":"%s","digest":"%s","size":%d}]}`, oci.TypeIndex, r.MediaType, r.Digest, r.Size)
}
