package archive_test

import (
	"fmt"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

// text changes manifest.json's text before it is listed and signed.
func text(old, new string) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		k.bendText = func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("manifest.json has no %q", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
}

// textVectors are other spellings of a manifest: each a reading that two
// parsers could disagree on.
func textVectors() []maker {
	const canonical = "not in canonical form"
	return []maker{
		{"text_format_v2", "manifest", `format "airlock-bundle-v2"`, "a format version that is not known", text("airlock-bundle-v1", "airlock-bundle-v2")},
		{"text_format_missing", "manifest", `format ""`, "no format", text(" \"format\": \"airlock-bundle-v1\",\n", "")},
		{"text_unknown_key", "manifest", canonical, "a key that is not known", text(` "release"`, " \"padding\": 1,\n \"release\"")},
		{"text_unknown_key_inside", "manifest", canonical, "a key that is not known, further down", text(`   "size": `, "   \"data\": \"\",\n   \"size\": ")},
		{"text_key_in_capitals", "manifest", canonical, "a key in another case", text(`"release"`, `"Release"`)},
		{"text_key_twice", "manifest", canonical, "a key twice", text(` "release"`, " \"release\": \"other\",\n \"release\"")},
		{"text_other_order", "manifest", canonical, "epoch and sequence change places", text(" \"epoch\": 1,\n \"sequence\": 1,\n", " \"sequence\": 1,\n \"epoch\": 1,\n")},
		{"text_white_space", "manifest", canonical, "a space more", text(`"epoch": 1`, `"epoch":  1`)},
		{"text_compact", "manifest", canonical, "a line feed less", text("{\n", "{")},
		{"text_no_line_feed", "manifest", canonical, "no line feed at the end", text("\n}\n", "\n}")},
		{"text_crlf", "manifest", canonical, "a line ends with CR LF", text("{\n", "{\r\n")},
		{"text_two_values", "manifest", "manifest.json", "a second value behind the first", text("\n}\n", "\n}\n{}\n")},
		{"text_byte_order_mark", "manifest", "manifest.json", "a byte order mark in front", text("{\n", "\ufeff{\n")},
		{"text_not_json", "manifest", "manifest.json", "no JSON", text("{\n", "{,\n")},
		{"text_number_fraction", "manifest", "manifest.json", "an integer written as 1.0", text(`"epoch": 1`, `"epoch": 1.0`)},
		{"text_number_exponent", "manifest", "manifest.json", "an integer written as 1e0", text(`"epoch": 1`, `"epoch": 1e0`)},
		{"text_number_string", "manifest", "manifest.json", "a number as a string", text(`"epoch": 1`, `"epoch": "1"`)},
		{"text_number_null", "manifest", canonical, "null for a number", text(`"epoch": 1`, `"epoch": null`)},
		{"text_number_negative", "manifest", "manifest.json", "a negative epoch", text(`"epoch": 1`, `"epoch": -1`)},
		{"text_number_large", "manifest", "manifest.json", "an epoch of 65 bits", text(`"epoch": 1`, `"epoch": 18446744073709551616`)},
		{"text_escape", "manifest", canonical, "an escape that is not needed", text(`"stream": "shop"`, `"stream": "sho\u0070"`)},
		{"text_escape_slash", "manifest", canonical, "an escaped slash", text("registry.example/", `registry.example\/`)},
		{"text_bad_utf8", "manifest", "manifest.json", "a byte that is not UTF-8", text("registry.example", "registry.\xffexample")},
		{"text_surrogate", "manifest", "manifest.json", "half a surrogate pair", text("registry.example", `registry.\ud800example`)},
		{"text_empty_list", "manifest", canonical, "an empty list where the field is left out", text(` "images"`, " \"bases\": [],\n \"images\"")},
		{"text_deep", "manifest", "manifest.json", "10 001 arrays within each other", text(` "images"`, ` "x": `+strings.Repeat("[", 10001)+strings.Repeat("]", 10001)+",\n \"images\"")},
		{"text_digest_capitals", "manifest", "manifest.json", "a digest in capitals", text(`"sha256:eabbcf`, `"sha256:EABBCF`)},
		{"text_digest_sha512", "manifest", "only sha256", "a digest of another algorithm", text(`"sha256:eabbcf`, `"sha512:eabbcf`)},
		{"text_digest_short", "manifest", "manifest.json", "a digest of 63 digits", text(`"sha256:eabbcf`, `"sha256:abbcf`)},
		{"text_digest_path", "manifest", "manifest.json", "a digest that is a path", text(`"sha256:eabbcf`, `"sha256:../../`)},
		{"text_digest_zero", "manifest", "the zero digest", "the digest that names nothing", func(_ testing.TB, k *kit) { k.m.Images[0].Root.Digest = manifest.Digest{} }},
		{"text_large", "manifest", "16777217 bytes", "16 MiB and a byte", func(_ testing.TB, k *kit) {
			k.bendText = func(string) string { return string(make([]byte, 16<<20+1)) }
		}},
	}
}

func field(f func(*manifest.Manifest)) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) { k.bendManifest = f }
}

func image(f func(*manifest.Image)) func(testing.TB, *kit) {
	return field(func(m *manifest.Manifest) { f(&m.Images[0]) })
}

// refer adds a referrer that is the root itself, changed by f.
func refer(f func(*manifest.Referrer)) func(testing.TB, *kit) {
	return image(func(i *manifest.Image) {
		r := manifest.Referrer{Descriptor: i.Root, Subject: i.Root.Digest}
		f(&r)
		i.Referrers = append(i.Referrers, r)
	})
}

// manifestVectors are manifests in canonical form that break a rule.
func manifestVectors() []maker {
	other := manifest.DigestOf([]byte("other"))
	var all []maker
	for i, label := range []string{"", strings.Repeat("a", 41), "Shop", ".shop", "-shop", "+shop", "sh op", "sh/op", "shop\n", "café"} {
		all = append(all, maker{fmt.Sprintf("label_%d", i+1), "manifest", "manifest.json", fmt.Sprintf("the release's name is %q", label),
			field(func(m *manifest.Manifest) { m.Release = label })})
	}
	for i, at := range []string{"", "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.0Z", "2026-01-02 03:04:05Z", "2026-01-02T24:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02T03:04:05z"} {
		all = append(all, maker{fmt.Sprintf("created_%d", i+1), "manifest", "time", fmt.Sprintf("created is %q", at),
			field(func(m *manifest.Manifest) { m.Created = at })})
	}
	return append(all, []maker{
		{"label_version", "manifest", `"1 0"`, "a version that no file name takes", field(func(m *manifest.Manifest) { m.Version = "1 0" })},
		{"label_stream", "manifest", `"Shop"`, "a stream in capitals", field(func(m *manifest.Manifest) { m.Stream = "Shop" })},
		{"expires_spelling", "manifest", "time", "a day without a time", field(func(m *manifest.Manifest) { m.Expires = "2027-01-01" })},
		{"expires_now", "manifest", "expired on 2026-01-02T03:04:05Z", "expires this very second", field(func(m *manifest.Manifest) { m.Expires = m.Created })},
		{"block_size", "manifest", "blocks of 524288 bytes", "blocks of another size", field(func(m *manifest.Manifest) { m.BlockSize = 512 << 10 })},

		{"image_none", "manifest", "no images", "a release of nothing", field(func(m *manifest.Manifest) { m.Images = []manifest.Image{} })},
		{"image_no_names", "manifest", "no names", "an image that nothing names", image(func(i *manifest.Image) { i.Names = []string{} })},
		{"image_name_empty", "manifest", "want 1 to 1024 bytes", "an empty name", image(func(i *manifest.Image) { i.Names[0] = "" })},
		{"image_name_long", "manifest", "want 1 to 1024 bytes", "a name of 1025 bytes", image(func(i *manifest.Image) { i.Names[0] = strings.Repeat("a", 1025) })},
		{"image_name_control", "manifest", "control character", "a name that clears the screen", image(func(i *manifest.Image) { i.Names[0] = "a.example/x\x1b[2J:1" })},
		{"image_name_twice", "manifest", "two images are named", "two images with the same tag", field(func(m *manifest.Manifest) { m.Images = append(m.Images, m.Images[0]) })},
		{"image_name_no_host", "manifest", "want host/path", "a name that Docker reads as docker.io/library/app", image(func(i *manifest.Image) { i.Names[0] = "library/app:1" })},
		{"image_name_path", "manifest", "want host/path", "a name that leaves its folder", image(func(i *manifest.Image) { i.Names[0] = "registry.example/../app:1" })},
		{"image_name_capitals", "manifest", "want host/path", "a path in capitals", image(func(i *manifest.Image) { i.Names[0] = "registry.example/App:1" })},
		{"image_name_digest", "manifest", "name", "a digest where a tag is wanted", image(func(i *manifest.Image) { i.Names[0] = "registry.example/app@" + other.String() })},
		{"image_name_tag", "manifest", "tag", "a tag that begins with a hyphen", image(func(i *manifest.Image) { i.Names[0] = "registry.example/app:-1" })},
		{"image_platform_one_part", "manifest", "platform", "a platform without an architecture", image(func(i *manifest.Image) { i.Platforms[0] = "linux" })},
		{"image_platform_control", "manifest", "platform", "a platform that clears the screen", image(func(i *manifest.Image) { i.Platforms[0] = "linux/\x1b[2J" })},
		{"image_platform_twice", "manifest", "out of order", "a platform twice", image(func(i *manifest.Image) { i.Platforms = append(i.Platforms, i.Platforms[0]) })},
		{"image_root_type_shape", "manifest", "want type/subtype", "a media type with a line feed", image(func(i *manifest.Image) { i.Root.MediaType = "text/plain\n" })},
		{"image_root_artifact_type_shape", "manifest", "want type/subtype", "an artifact type that is none", image(func(i *manifest.Image) { i.Root.ArtifactType = "sbom" })},
		{"image_root_not_listed", "manifest", "is not among the manifests", "the root is not among the manifests", image(func(i *manifest.Image) { i.Root.Digest = other })},
		{"image_root_no_size", "manifest", "needs a media type, a digest and a size", "the root has no size", image(func(i *manifest.Image) { i.Root.Size = 0 })},
		{"image_root_negative_size", "manifest", "needs a media type, a digest and a size", "the root has a negative size", image(func(i *manifest.Image) { i.Root.Size = -1 })},
		{"image_root_no_type", "manifest", "needs a media type, a digest and a size", "the root has no media type", image(func(i *manifest.Image) { i.Root.MediaType = "" })},
		{"image_blobs_out_of_order", "manifest", "out of order", "blobs are not sorted", image(func(i *manifest.Image) { i.Blobs[0], i.Blobs[1] = i.Blobs[1], i.Blobs[0] })},
		{"referrer_not_listed", "manifest", "is not among the manifests", "a referrer is not among the manifests", refer(func(r *manifest.Referrer) { r.Digest = other })},
		{"referrer_other_subject", "manifest", "its subject", "a referrer refers to a document of no image", refer(func(r *manifest.Referrer) { r.Subject = other })},
		{"referrer_tag_path", "manifest", "tag", "a referrer's tag that is a path", refer(func(r *manifest.Referrer) { r.Tag = "../../x" })},
		{"referrer_no_subject", "manifest", "the zero digest", "a referrer refers to nothing", refer(func(r *manifest.Referrer) { r.Subject = manifest.Digest{} })},
		{"referrer_no_size", "manifest", "needs a media type, a digest and a size", "a referrer has no size", refer(func(r *manifest.Referrer) { r.Size = 0 })},

		{"volumes_none", "manifest", "0 volumes", "no volumes", field(func(m *manifest.Manifest) { m.Volumes = []manifest.Volume{} })},
		{"volumes_path", "manifest", "../x.vol", "a volume outside the folder", field(func(m *manifest.Manifest) { m.Volumes[0].Name = "../x.vol" })},
		{"volumes_name", "manifest", "want a name that ends in", "a volume that is README.txt", field(func(m *manifest.Manifest) { m.Volumes[0].Name = "README.txt" })},
		{"volumes_twice", "manifest", "listed twice", "a volume is listed twice", field(func(m *manifest.Manifest) {
			m.Volumes[0].Size = 1 << 20
			m.Volumes = append(m.Volumes, m.Volumes[0])
		})},
		{"volumes_empty", "manifest", "0 bytes", "a volume of no bytes", field(func(m *manifest.Manifest) {
			m.Volumes[0].Size = 1 << 20
			m.Volumes = append(m.Volumes, manifest.Volume{Name: "x.vol"})
		})},
		{"volumes_negative", "manifest", "-1 bytes", "a volume of less than nothing", field(func(m *manifest.Manifest) { m.Volumes[0].Size = -1 })},
		{"volumes_part_of_block", "manifest", "whole blocks", "a volume before the last ends inside a block", field(func(m *manifest.Manifest) {
			m.Volumes = append(m.Volumes, manifest.Volume{Name: "x.vol", Size: 1})
		})},
		{"volumes_large", "manifest", "bytes", "volumes of more bytes than are allowed", field(func(m *manifest.Manifest) { m.Volumes[0].Size = 1<<41 + 1 })},
		{"index_before_start", "manifest", "index at -1", "the index begins before the space", field(func(m *manifest.Manifest) { m.Index.Offset, m.Index.Size = -1, m.Index.Size+m.Index.Offset+1 })},
		{"index_behind_end", "manifest", "index at", "the index begins behind the space", field(func(m *manifest.Manifest) { m.Index.Offset, m.Index.Size = 1<<40, 1 })},
		{"index_not_at_end", "manifest", "index at", "a byte follows the index", field(func(m *manifest.Manifest) { m.Index.Size-- })},
		{"index_overflow", "manifest", "index at", "offset and size together overflow", field(func(m *manifest.Manifest) { m.Index.Size = 1<<63 - 1 })},
		{"index_empty", "manifest", "index at", "an index of no bytes", field(func(m *manifest.Manifest) { m.Index.Offset, m.Index.Size = m.Index.Offset+m.Index.Size, 0 })},
		{"index_no_digest", "manifest", "the zero digest", "the index has the zero digest", field(func(m *manifest.Manifest) { m.Index.Digest = manifest.Digest{} })},
	}...)
}
