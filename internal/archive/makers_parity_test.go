package archive_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

const oneBlock = 1 << 20

// addParity computes the parity that k.parity's figures stand for as FORMAT.md
// says, byte by byte, in a file for every block. It returns their part of
// blocks.bin.
func (k *kit) addParity(m *manifest.Manifest, files map[string][]byte) []byte {
	p := *k.parity
	var blocks [][]byte
	for _, v := range m.Volumes {
		for block := range slices.Chunk(files[v.Name], oneBlock) {
			blocks = append(blocks, block)
		}
	}
	n, d, s := int64(len(blocks)), p.Data, p.Stripes
	made := map[string][]byte{}
	for q := range (n + d*s - 1) / (d * s) * p.Blocks * s {
		g, r, stripe := q/(p.Blocks*s), q/s%p.Blocks, q%s
		sum := make([]byte, oneBlock)
		for row := range d {
			if b := g*d*s + row*s + stripe; row*s+stripe < d*s && b < n {
				c := inverseOf(byte(d+r) ^ byte(row))
				for i, x := range blocks[b] {
					sum[i] ^= times(c, x)
				}
			}
		}
		name := fmt.Sprintf("shop-1.0.p%02d.par", q)
		p.Files = append(p.Files, manifest.Volume{Name: name, Size: oneBlock})
		made[name] = sum
	}
	if k.bendParity != nil {
		k.bendParity(made)
	}
	var digests []byte
	for _, f := range p.Files {
		sum := sha256.Sum256(made[f.Name])
		digests = append(digests, sum[:]...)
	}
	m.Parity = &p
	maps.Copy(files, made)
	return digests
}

// times multiplies in GF(2^8) modulo 0x11d.
func times(a, b byte) (product byte) {
	for x := int(a); b > 0; b >>= 1 {
		if b&1 == 1 {
			product ^= byte(x)
		}
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return product
}

func inverseOf(a byte) byte {
	for b := range 256 {
		if times(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	return 0
}

// copyOf returns copy.tar as the standard library writes it.
func copyOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".vol") || strings.HasSuffix(name, ".par") || name == "copy.tar" {
			continue
		}
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644, Format: tar.FormatUSTAR}))
		_, err := w.Write(files[name])
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// protected gives the bundle parity of one block over one.
func protected(_ testing.TB, k *kit) { k.parity = &manifest.Parity{Data: 1, Blocks: 1, Stripes: 1} }

// protectedTwo gives it two volumes, and parity against the loss of both.
func protectedTwo(t testing.TB, k *kit) {
	layer := make([]byte, oneBlock)
	copy(layer, "A layer of which most is nothing.")
	withLayer(t, k, layer)
	k.parity = &manifest.Parity{Data: 2, Blocks: 2, Stripes: 1}
}

// layout changes what manifest.json says of parity.
func layout(f func(*manifest.Parity)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		protected(t, k)
		k.bendManifest = func(m *manifest.Manifest) { f(m.Parity) }
	}
}

// hurt changes the finished files of a bundle with parity.
func hurt(f func(map[string][]byte)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		protected(t, k)
		k.after = f
	}
}

// parityVectors are layouts of parity that are refused, and some that are not.
func parityVectors() []maker {
	return []maker{
		{"ok_parity", "ok", "", "parity of one block over one", protected},
		{"ok_parity_two_volumes", "ok", "", "two parity blocks over the blocks of two volumes", protectedTwo},
		{"ok_parity_groups", "ok", "", "two groups of a stripe each", func(t testing.TB, k *kit) {
			twoVolumes(t, k)
			protected(t, k)
		}},
		{"parity_no_data", "manifest", "parity: stripes of 0 and 1 blocks", "stripes of no data", layout(func(p *manifest.Parity) { p.Data = 0 })},
		{"parity_no_blocks", "manifest", "parity: stripes of 1 and 0 blocks", "stripes without parity", layout(func(p *manifest.Parity) { p.Blocks = 0 })},
		{"parity_17_blocks", "manifest", "parity: stripes of 1 and 17 blocks", "more parity than is allowed", layout(func(p *manifest.Parity) { p.Blocks = 17 })},
		{"parity_256_blocks", "manifest", "parity: stripes of 255 and 1 blocks", "a stripe of 256 blocks", layout(func(p *manifest.Parity) { p.Data = 255 })},
		{"parity_no_stripes", "manifest", "parity: stripes of", "no stripes", layout(func(p *manifest.Parity) { p.Stripes = 0 })},
		{"parity_many_stripes", "manifest", "parity: stripes of", "more stripes than a space has blocks", layout(func(p *manifest.Parity) { p.Stripes = 1<<21 + 1 })},
		{"parity_large", "manifest", "parity files of 1048576 bytes, want 2097152 blocks", "2 TiB of parity are claimed", layout(func(p *manifest.Parity) { p.Stripes = 1 << 21 })},
		{"parity_negative", "manifest", "parity: stripes of", "figures below zero", layout(func(p *manifest.Parity) { p.Data, p.Stripes = -1, -1 })},
		{"parity_no_files", "manifest", "parity files of 0 bytes", "no files", layout(func(p *manifest.Parity) { p.Files = []manifest.Volume{} })},
		{"parity_too_few", "manifest", "parity files of 1048576 bytes, want 2 blocks", "fewer blocks than the figures say", layout(func(p *manifest.Parity) { p.Blocks = 2 })},
		{"parity_too_many", "manifest", "parity files of 2097152 bytes, want 1 blocks", "more blocks than the figures say", layout(func(p *manifest.Parity) { p.Files[0].Size *= 2 })},
		{"parity_part_of_block", "manifest", "want whole blocks", "a file that ends inside a block", layout(func(p *manifest.Parity) { p.Files[0].Size-- })},
		{"parity_empty_file", "manifest", "want whole blocks", "a file of no bytes", layout(func(p *manifest.Parity) { p.Files = append(p.Files, manifest.Volume{Name: "x.par"}) })},
		{"parity_overflow", "manifest", "want whole blocks", "a size that overflows", layout(func(p *manifest.Parity) { p.Files[0].Size = 1<<63 - 1 })},
		{"parity_twice", "manifest", "is listed twice", "a file is listed twice", layout(func(p *manifest.Parity) {
			p.Blocks = 2
			p.Files = append(p.Files, p.Files[0])
		})},
		{"parity_name", "manifest", "ends in .par", "a parity file that is named like a text", layout(func(p *manifest.Parity) { p.Files[0].Name = "blocks.bin" })},
		{"parity_path", "manifest", "../x.par", "a file outside the folder", layout(func(p *manifest.Parity) { p.Files[0].Name = "../x.par" })},
		{"parity_not_listed", "sums", `does not list "shop-1.0.p00.par"`, "SHA256SUMS does not list the parity file", func(t testing.TB, k *kit) {
			protected(t, k)
			k.bendFiles = func(f map[string][]byte) { delete(f, "shop-1.0.p00.par") }
		}},
		{"parity_not_in_blocks", "volume", "blocks.bin has 32 bytes, want 64", "blocks.bin has volumes only", func(t testing.TB, k *kit) {
			protected(t, k)
			k.bendBlocks = func(b []byte) []byte { return b[:32] }
		}},
		{"parity_lies", "volume", "made again from parity, is not what was signed", "what parity gives is not the block that was signed", func(t testing.TB, k *kit) {
			protected(t, k)
			k.bendParity = func(f map[string][]byte) { f["shop-1.0.p00.par"][0] ^= 1 }
			k.after = func(f map[string][]byte) { f["shop-1.0.000.vol"][0] ^= 1 }
		}},
		{"parity_beyond", "volume", "block 0 of shop-1.0.000.vol, block 0 of shop-1.0.p00.par", "a block more is bad than can be made again", hurt(func(f map[string][]byte) {
			f["shop-1.0.000.vol"][0] ^= 1
			f["shop-1.0.p00.par"][oneBlock-1] = 1
		})},
		{"listed_copy", "sums", `"copy.tar" cannot be listed`, "copy.tar is listed", func(_ testing.TB, k *kit) {
			k.bendFiles = func(f map[string][]byte) { f["copy.tar"] = []byte("a copy\n") }
		}},
	}
}

// mendedVectors are bundles of which something is lost that they have twice.
func mendedVectors() []maker {
	const sums, sig = "SHA256SUMS", "SHA256SUMS.ana.sig"
	all := []maker{
		{"mended_bit", "mended", "block 0 of volume shop-1.0.000.vol", "a bit of a volume", hurt(func(f map[string][]byte) { f["shop-1.0.000.vol"][100] ^= 8 })},
		{"mended_cut", "mended", "shop-1.0.000.vol has 7 bytes", "a volume is cut", hurt(func(f map[string][]byte) { f["shop-1.0.000.vol"] = f["shop-1.0.000.vol"][:7] })},
		{"mended_long", "mended", "shop-1.0.000.vol has 987 bytes", "a volume is longer", hurt(func(f map[string][]byte) { f["shop-1.0.000.vol"] = append(f["shop-1.0.000.vol"], 0) })},
		{"mended_parity_bit", "mended", "block 0 of parity file shop-1.0.p00.par", "a bit of parity", hurt(func(f map[string][]byte) { f["shop-1.0.p00.par"][0] ^= 1 })},
		{"mended_both", "mended", "shop-1.0.001.vol is missing", "both volumes, from two parity blocks", func(t testing.TB, k *kit) {
			protectedTwo(t, k)
			k.after = func(f map[string][]byte) {
				delete(f, "shop-1.0.000.vol")
				delete(f, "shop-1.0.001.vol")
			}
		}},
		{"mended_one_each", "mended", "shop-1.0.p00.par is missing", "a volume and a parity block", func(t testing.TB, k *kit) {
			protectedTwo(t, k)
			k.after = func(f map[string][]byte) {
				delete(f, "shop-1.0.001.vol")
				delete(f, "shop-1.0.p00.par")
			}
		}},
		{"mended_sums_bit", "mended", `"SHA256SUMS" is missing or not what was signed`, "a bit of SHA256SUMS", hurt(func(f map[string][]byte) { f[sums][0] ^= 1 })},
		{"mended_signature_bit", "mended", `"SHA256SUMS.ana.sig" is missing or not`, "a bit of the signature", hurt(func(f map[string][]byte) { f[sig][100] ^= 1 })},
		{"copy_cut", "mended", `"copy.tar" is damaged`, "copy.tar is cut", hurt(func(f map[string][]byte) { f["copy.tar"] = f["copy.tar"][:700] })},
		{"copy_of_other", "mended", `"copy.tar" has another SHA256SUMS`, "copy.tar is in form, and another bundle's by the same signer: the bundle's own files count", func(t testing.TB, k *kit) {
			protected(t, k)
			k.after = func(f map[string][]byte) {
				other := maps.Clone(f)
				other[sums] = []byte(strings.Repeat("a", 64) + "  manifest.json\n")
				other[sig] = signed(t, k.key, other[sums])
				f["copy.tar"] = copyOf(t, other)
			}
		}},
		{"copy_unsigned", "incomplete", "there is no SHA256SUMS", "SHA256SUMS is missing, and that of copy.tar is not signed", func(t testing.TB, k *kit) {
			protected(t, k)
			k.after = func(f map[string][]byte) {
				other := maps.Clone(f)
				other[sums] = []byte(strings.Repeat("a", 64) + "  manifest.json\n")
				f["copy.tar"] = copyOf(t, other)
				delete(f, sums)
			}
		}},
		{"copy_without_file", "sums", `"README.txt" is missing`, "README.txt is in neither place", hurt(func(f map[string][]byte) {
			delete(f, "README.txt")
			i := bytes.Index(f["copy.tar"], []byte("README.txt"))
			f["copy.tar"][i] = 'x'
		})},
	}
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", "manifest.json", "blocks.bin", "README.txt", "copy.tar", "shop-1.0.000.vol", "shop-1.0.p00.par"} {
		what := strings.ToLower(strings.NewReplacer(".", "_", "-", "_").Replace(name))
		all = append(all, maker{"mended_no_" + what, "mended", name, name + " is missing", hurt(func(f map[string][]byte) { delete(f, name) })})
	}
	return all
}
