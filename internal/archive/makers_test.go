package archive_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// maker makes a vector from the golden bundle's kit.
type maker struct {
	name, expect, says, why string
	bend                    func(testing.TB, *kit)
}

// makers lists all vectors, layer by layer.
func makers() []maker {
	return slices.Concat(okVectors(), signatureVectors(), sumsVectors(), nameVectors(), listedVectors(),
		textVectors(), manifestVectors(), volumeVectors(), indexVectors(), frameVectors(), copyVectors(), recipeVectors(), releaseVectors(), parityVectors(), mendedVectors())
}

func after(f func(map[string][]byte)) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) { k.after = f }
}

func okVectors() []maker {
	return []maker{
		{"ok_golden", "ok", "", "the golden bundle itself", func(testing.TB, *kit) {}},
		{"ok_unlisted_file", "ok", "", "files that SHA256SUMS does not list are not looked at", after(func(f map[string][]byte) {
			f["shop-0.9.000.vol"] = []byte("left over")
		})},
		{"ok_second_signature_unknown", "ok", "", "a right signature by a key that nobody trusts, beside one that is trusted", signers("ana", "stranger")},
		{"ok_signature_under_another_name", "ok", "", "who has signed is told by the key, not by the file's name", func(t testing.TB, k *kit) {
			k.sign = func(sums []byte) map[string][]byte {
				return map[string][]byte{"SHA256SUMS.zoe.sig": signed(t, k.key, sums)}
			}
		}},
		{"ok_expires_later", "ok", "", "expires a second from now", func(_ testing.TB, k *kit) { k.m.Expires = "2026-01-02T03:04:06Z" }},
		{"ok_listed_file", "ok", "", "another small file may be listed", func(_ testing.TB, k *kit) {
			k.bendFiles = func(f map[string][]byte) { f["notes.txt"] = []byte("approved\n") }
		}},
		{"ok_two_volumes", "ok", "", "the space goes on in a second volume", twoVolumes},
		{"ok_empty_blob", "ok", "", "a layer of no bytes has no frames", func(t testing.TB, k *kit) {
			s := goldenSource()
			empty := s.Add(nil)
			setLayers(t, k, s, empty)
		}},
		{"ok_largest_numbers", "ok", "", "epoch and sequence have 64 bits", func(_ testing.TB, k *kit) { k.m.Epoch, k.m.Sequence = 1<<64-1, 1<<64-1 }},
	}
}

// twoVolumes gives the bundle a layer of a block of zeros in front.
func twoVolumes(t testing.TB, k *kit) { withLayer(t, k, make([]byte, 1<<20)) }

// withLayer gives the bundle a layer of a block in front.
func withLayer(t testing.TB, k *kit, layer []byte) {
	s := goldenSource()
	setLayers(t, k, s, s.Add(layer))
	at := slices.IndexFunc(k.contents, func(c contentSpec) bool { return c.size == 1<<20 })
	c := k.contents[at]
	c.frames = []frameSpec{{data: layer}}
	k.contents = slices.Insert(slices.Delete(k.contents, at, at+1), 0, c)
	k.volumeSize = 1 << 20
}

// setLayers makes the bundle carry an image of these layers.
func setLayers(t testing.TB, k *kit, s *bundletest.Source, layers ...manifest.Digest) {
	config := s.Add([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	raw := imageManifest(s.All(), config, layers...)
	s.SetRoot(oci.TypeManifest, s.Add(raw))
	k.setImage(t, s)
}

func signers(names ...string) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		k.sign = func(sums []byte) map[string][]byte {
			files := map[string][]byte{}
			for _, name := range names {
				files["SHA256SUMS."+name+".sig"] = signed(t, testKey(t, name), sums)
			}
			return files
		}
	}
}

// ana changes ana's signature after it was made.
func ana(f func(string) string) func(testing.TB, *kit) {
	return after(func(files map[string][]byte) {
		files["SHA256SUMS.ana.sig"] = []byte(f(string(files["SHA256SUMS.ana.sig"])))
	})
}

func signatureVectors() []maker {
	const sig = "SHA256SUMS.ana.sig"
	return []maker{
		{"signature_none", "signature", "nobody has signed it", "no signature file", after(func(f map[string][]byte) { delete(f, sig) })},
		{"signature_name_in_capitals", "signature", "nobody has signed it", "SHA256SUMS.Ana.sig is no signature file's name", after(func(f map[string][]byte) {
			f["SHA256SUMS.Ana.sig"] = f[sig]
			delete(f, sig)
		})},
		{"signature_unknown_key", "signature", "SHA256SUMS.stranger.sig", "the one signature is by a key that nobody trusts", signers("stranger")},
		{"signature_by_late_key", "signature", "SHA256SUMS.bob.sig", "bob was trusted until 2025 only", signers("bob")},
		{"signature_other_namespace", "signature", sig, "made in the namespace \"file\"", func(t testing.TB, k *kit) {
			k.sign = func(sums []byte) map[string][]byte {
				armored, err := k.key.Sign("file", sums)
				must(t, err)
				return map[string][]byte{sig: armored}
			}
		}},
		{"signature_over_other_bytes", "signature", sig, "another bundle's signature", func(t testing.TB, k *kit) {
			k.sign = func(sums []byte) map[string][]byte {
				return map[string][]byte{sig: signed(t, k.key, append(bytes.Clone(sums), '\n'))}
			}
		}},
		{"signature_sums_changed", "signature", sig, "SHA256SUMS has another byte than was signed", after(func(f map[string][]byte) {
			f["SHA256SUMS"] = bytes.Replace(f["SHA256SUMS"], []byte("README.txt"), []byte("readme.txt"), 1)
		})},
		{"signature_before_sums", "signature", sig, "SHA256SUMS is malformed too, but nothing of it is parsed before its signature holds", after(func(f map[string][]byte) {
			f["SHA256SUMS"] = []byte("not a list")
		})},
		{"signature_one_of_two_wrong", "signature", "SHA256SUMS.zoe.sig", "one right signature, and one that does not fit the bytes", func(t testing.TB, k *kit) {
			k.sign = func(sums []byte) map[string][]byte {
				return map[string][]byte{sig: signed(t, k.key, sums), "SHA256SUMS.zoe.sig": signed(t, testKey(t, "stranger"), sums[1:])}
			}
		}},
		{"signature_crlf", "signature", sig, "the armour's lines end with CR LF", ana(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })},
		{"signature_text_before", "signature", sig, "text before the armour", ana(func(s string) string { return "x\n" + s })},
		{"signature_text_after", "signature", sig, "text behind the armour", ana(func(s string) string { return s + "x\n" })},
		{"signature_twice", "signature", sig, "two armoured blocks", ana(func(s string) string { return s + s })},
		{"signature_empty", "signature", sig, "a signature file of no bytes", ana(func(string) string { return "" })},
		{"signature_large", "signature", sig, "a signature file of 16 KiB and a byte", ana(func(string) string { return string(make([]byte, 16<<10+1)) })},
		{"signature_33_files", "signature", "33 signature files", "more than 32 signature files", after(func(f map[string][]byte) {
			for i := range 32 {
				f[fmt.Sprintf("SHA256SUMS.s%d.sig", i)] = []byte("x")
			}
		})},
	}
}

func sums(f func(string) string) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) { k.bendSums = f }
}

func sumsVectors() []maker {
	line := func(digest string) string { return digest + "  zzz\n" }
	return []maker{
		{"sums_missing", "incomplete", "SHA256SUMS", "SHA256SUMS is written last; without it the bundle is not whole", after(func(f map[string][]byte) { delete(f, "SHA256SUMS") })},
		{"sums_large", "sums", "SHA256SUMS", "a byte over 2 MiB; refused before a signature is looked at", after(func(f map[string][]byte) { f["SHA256SUMS"] = make([]byte, 2<<20+1) })},
		{"sums_empty", "sums", "SHA256SUMS line 1", "no line at all", sums(func(string) string { return "" })},
		{"sums_empty_line", "sums", "SHA256SUMS line 5", "an empty line at the end", sums(func(s string) string { return s + "\n" })},
		{"sums_crlf", "sums", "SHA256SUMS line 1", "lines end with CR LF", sums(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })},
		{"sums_last_line_cut", "sums", "SHA256SUMS line 4", "the last line does not end", sums(func(s string) string { return strings.TrimSuffix(s, "\n") })},
		{"sums_out_of_order", "sums", "out of order", "lines are not sorted by name", sums(func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			lines[0], lines[1] = lines[1], lines[0]
			return strings.Join(lines, "")
		})},
		{"sums_twice", "sums", "out of order", "a name stands twice", sums(func(s string) string { return s + s[strings.LastIndex(s[:len(s)-1], "\n")+1:] })},
		{"sums_binary_mark", "sums", "SHA256SUMS line 1", "sha256sum --binary writes an asterisk", sums(func(s string) string { return strings.ReplaceAll(s, "  ", " *") })},
		{"sums_one_space", "sums", "SHA256SUMS line 1", "one space instead of two", sums(func(s string) string { return strings.ReplaceAll(s, "  ", " ") })},
		{"sums_escaped", "sums", "SHA256SUMS line 5", "sha256sum marks a line with an escaped name by a backslash", sums(func(s string) string { return s + "\\" + line(strings.Repeat("1", 64)) })},
		{"sums_bsd", "sums", "SHA256SUMS line 5", "the form of sha256sum --tag", sums(func(s string) string { return s + "SHA256 (zzz) = " + strings.Repeat("1", 64) + "\n" })},
		{"sums_capitals", "sums", "SHA256SUMS line 5", "hexadecimal digits in capitals", sums(func(s string) string { return s + line(strings.Repeat("A", 64)) })},
		{"sums_sha1", "sums", "SHA256SUMS line 5", "a digest of 40 digits", sums(func(s string) string { return s + line(strings.Repeat("1", 40)) })},
		{"sums_not_hex", "sums", "SHA256SUMS line 5", "a digest with a letter that is no digit", sums(func(s string) string { return s + line(strings.Repeat("g", 64)) })},
		{"sums_zero_digest", "sums", "SHA256SUMS line 5", "the zero digest names nothing", sums(func(s string) string { return s + line(strings.Repeat("0", 64)) })},
		{"sums_comment", "sums", "SHA256SUMS line 1", "a line that is no digest", sums(func(s string) string { return "# comment\n" + s })},
	}
}

// nameVectors are names that SHA256SUMS cannot list. Each line stands alone, so
// that its order is right; the name is refused before anything is missed.
func nameVectors() []maker {
	var all []maker
	for _, n := range []struct{ name, file, why string }{
		{"dot_dot", "../x", "a path out of the folder"},
		{"absolute", "/etc/passwd", "an absolute path"},
		{"sub_folder", "a/b", "a path"},
		{"backslash", `a\b`, "a path on Windows"},
		{"drive", "c:x", "a drive on Windows"},
		{"capitals", "Shop.vol", "a twin of shop.vol where case does not count"},
		{"space", "a b", "a space"},
		{"last_space", "a ", "Windows drops a space at the end"},
		{"control", "a\x00b", "a control character"},
		{"not_ascii", "café", "two encodings of one name"},
		{"dot", ".", "the folder itself"},
		{"hidden", ".vol", "a dot in front"},
		{"hyphen", "-rf", "looks like an option"},
		{"last_dot", "a.", "Windows drops a dot at the end"},
		{"device", "con", "a device on Windows"},
		{"device_with_end", "lpt1.vol", "a device on Windows, whatever follows the dot"},
		{"empty", "", "no name"},
		{"long", strings.Repeat("a", 65), "65 bytes"},
		{"itself", "sha256sums", "SHA256SUMS where case does not count"},
		{"signature", "x.sig", "signatures are not listed"},
		{"readme", "readme.txt", "README.txt where case does not count"},
	} {
		text := strings.Repeat("1", 64) + "  " + n.file + "\n"
		all = append(all, maker{"name_" + n.name, "sums", "SHA256SUMS line 1", n.why, sums(func(string) string { return text })})
	}
	return all
}

// drop takes a line out of SHA256SUMS.
func drop(name string) func(testing.TB, *kit) {
	return sums(func(s string) string {
		return strings.Join(slices.DeleteFunc(strings.SplitAfter(s, "\n"), func(l string) bool { return strings.HasSuffix(l, "  "+name+"\n") }), "")
	})
}

func remove(name string) func(testing.TB, *kit) {
	return after(func(f map[string][]byte) { delete(f, name) })
}

func flip(name string, at int) func(testing.TB, *kit) {
	return after(func(f map[string][]byte) {
		f[name] = bytes.Clone(f[name])
		f[name][(at+len(f[name]))%len(f[name])] ^= 1
	})
}

func listedVectors() []maker {
	return []maker{
		{"listed_readme_changed", "sums", "README.txt", "a bit of README.txt is flipped", flip("README.txt", 0)},
		{"listed_readme_missing", "sums", "README.txt", "a listed file is missing", remove("README.txt")},
		{"listed_manifest_changed", "sums", "manifest.json", "a bit of manifest.json is flipped", flip("manifest.json", 100)},
		{"listed_manifest_missing", "sums", "manifest.json", "manifest.json is missing", remove("manifest.json")},
		{"listed_manifest_cut", "sums", "manifest.json", "manifest.json lacks its last byte", after(func(f map[string][]byte) {
			f["manifest.json"] = f["manifest.json"][:len(f["manifest.json"])-1]
		})},
		{"listed_blocks_changed", "sums", "blocks.bin", "a bit of blocks.bin is flipped", flip("blocks.bin", 31)},
		{"listed_blocks_missing", "sums", "blocks.bin", "blocks.bin is missing", remove("blocks.bin")},
		{"listed_not_manifest", "sums", "manifest.json", "SHA256SUMS does not list manifest.json", drop("manifest.json")},
		{"listed_not_volume", "sums", "shop-1.0.000.vol", "SHA256SUMS does not list a volume", drop("shop-1.0.000.vol")},
		{"listed_not_blocks", "volume", "blocks.bin", "SHA256SUMS does not list blocks.bin", drop("blocks.bin")},
		{"listed_large", "sums", "manifest.json", "a listed small file of 64 MiB and a byte; refused before it is read", after(func(f map[string][]byte) {
			f["manifest.json"] = make([]byte, 64<<20+1)
		})},
	}
}
