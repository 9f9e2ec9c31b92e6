package archive_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/gzipexact"
	"airlock/internal/manifest"
)

// zeroPage is a page of zeros, and pageAnd one with something behind it.
var zeroPage = make([]byte, frameBytes)

func pageAnd(tail string) []byte { return append(bytes.Clone(zeroPage), tail...) }

// copied makes the bundle carry layers of zeros: content 0 is a page of them,
// and content 1 is that and a tail of a page that f gives.
func copied(tail string, f func(k *kit, tail *frameSpec)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := bundletest.NewSource()
		setLayers(t, k, s, s.Add(zeroPage), s.Add(pageAnd(tail)))
		k.front(zeroPage, pageAnd(tail))
		c := k.contents[1].frames
		c[0] = frameSpec{kind: 3, page: 0}
		f(k, &c[1])
	}
}

// front moves contents to the front, in this order.
func (k *kit) front(contents ...[]byte) {
	for i, data := range contents {
		d := manifest.DigestOf(data)
		at := slices.IndexFunc(k.contents, func(c contentSpec) bool { return c.digest == d })
		c := k.contents[at]
		k.contents = slices.Insert(slices.Delete(k.contents, at, at+1), i, c)
	}
}

// deltaFrame returns a delta frame (package delta, version 1) that copies n
// bytes of a page from its start on, behind some literals.
func deltaFrame(page uint64, n int, literals string) []byte {
	control := binary.AppendUvarint(nil, uint64(len(literals)))
	control = binary.AppendUvarint(control, uint64(n))
	shift := uint64(0) // back by the literals, zigzag
	if len(literals) > 0 {
		shift = uint64(2*len(literals) - 1)
	}
	control = binary.AppendUvarint(control, shift)
	b := binary.AppendUvarint([]byte{1, 1}, page)
	for _, size := range []int{len(control), 0, 0, 0, len(literals)} {
		b = binary.AppendUvarint(b, uint64(size))
		b = binary.AppendUvarint(b, uint64(size))
	}
	return slices.Concat(b, control, []byte(literals))
}

// different makes the bundle carry a layer that is the golden stored layer
// with "NEW" in front, as a delta frame that f may change.
func different(f func(frame []byte) []byte) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := bundletest.NewSource()
		longer := []byte("NEW" + goldenLayer)
		setLayers(t, k, s, s.Add([]byte(goldenLayer)), s.Add(longer))
		k.front([]byte(goldenLayer), longer)
		k.contents[1].frames[0] = frameSpec{kind: 2, data: f(deltaFrame(0, len(goldenLayer), "NEW"))}
	}
}

// literal makes the bundle carry three contents: the golden stored layer, the
// words with that layer behind them as a delta frame, and the words again as a
// copy of n bytes of what is new in that.
func literal(n int) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		s := bundletest.NewSource()
		first, third := []byte(goldenWords+goldenLayer), []byte("AGAIN"+goldenWords)
		setLayers(t, k, s, s.Add([]byte(goldenLayer)), s.Add(first), s.Add(third))
		k.front([]byte(goldenLayer), first, third)
		k.contents[1].frames[0] = frameSpec{kind: 2, data: deltaFrame(0, len(goldenLayer), goldenWords)}
		k.contents[2].frames[0] = frameSpec{kind: 2, data: deltaFrame(1, n, "AGAIN"[:5+len(goldenWords)-n])}
	}
}

func copyVectors() []maker {
	plain := func(*kit, *frameSpec) {}
	same := func(all []manifest.Unpacked) []manifest.Unpacked { return all }
	change := func(at int, to byte) func(testing.TB, *kit) {
		return different(func(b []byte) []byte { b[at] = to; return b })
	}
	return []maker{
		{"ok_same", "ok", "", "a page that is a copy of an earlier one", copied("tail", plain)},
		{"ok_delta", "ok", "", "a page that is a copy with something in front", different(func(b []byte) []byte { return b })},
		{"ok_delta_of_literals", "ok", "", "a page that copies what is new in one that copies", literal(len(goldenWords))},
		{"delta_behind_literals", "frame", "behind source page 1", "a copy that reaches behind what is new in its page", literal(len(goldenWords) + 1)},
		{"delta_of_same", "frame", "has no bytes", "a delta frame that copies from a page of the bundle in which nothing is new", copied(strings.Repeat("\x00", 60), func(_ *kit, tail *frameSpec) {
			*tail = frameSpec{kind: 2, data: deltaFrame(1, 60, "")}
		})},
		{"same_other_length", "frame", "and its copy", "a page of 4 bytes that is a copy of one of 2 MiB", copied("\x00\x00\x00\x00", func(_ *kit, tail *frameSpec) {
			*tail = frameSpec{kind: 3, page: 0}
		})},
		{"delta_version", "frame", "version 2", "a delta frame of another version", change(0, 2)},
		{"delta_no_pages", "frame", "0 source pages", "a delta frame that copies from no page", change(1, 0)},
		{"delta_itself", "frame", "does not come after it", "a delta frame that copies from its own page", change(2, 1)},
		{"delta_later", "frame", "does not come after it", "a delta frame that copies from a later page", change(2, 3)},
		{"delta_cut", "frame", "cut short", "a delta frame without its last byte", different(func(b []byte) []byte { return b[:len(b)-1] })},
		{"delta_byte_more", "frame", "1 bytes behind the frame", "a byte behind a delta frame", different(func(b []byte) []byte { return append(b, 0) })},
		{"delta_long_number", "frame", "shortest form", "a number of a delta frame in two bytes instead of one", different(func(b []byte) []byte {
			return slices.Concat(b[:1], []byte{0x81, 0}, b[2:])
		})},
		{"delta_behind_page", "frame", "behind source page 0", "a copy that reaches behind its page", different(func([]byte) []byte {
			return deltaFrame(0, len(goldenLayer)+1, "NE")
		})},
		{"delta_too_long", "frame", "more than the frame has left", "a delta frame that holds a byte too many", different(func([]byte) []byte {
			return deltaFrame(0, len(goldenLayer), "MORE")
		})},
		{"delta_too_short", "frame", "literals at the end", "a delta frame that holds a byte too few", different(func([]byte) []byte {
			return deltaFrame(0, len(goldenLayer), "FE")
		})},
		{"content_other_delta", "content", "wrong bytes", "a delta frame holds other bytes", different(func([]byte) []byte {
			return deltaFrame(0, len(goldenLayer), "ODD")
		})},
		{"base_missing", "base", "shop 0.9", "a page that is a copy of a base's, which is not there", func(_ testing.TB, k *kit) {
			k.m.Bases = []manifest.Base{{Release: "shop", Version: "0.9", Root: manifest.DigestOf([]byte("0.9")), Pages: 5}}
			k.keepBlobs()
			k.contents[goldenStored].frames[0] = frameSpec{kind: 3, page: 2}
		}},
		{"base_pages", "index", "does not come before it", "a page beyond those that the base is said to have", func(_ testing.TB, k *kit) {
			k.m.Bases = []manifest.Base{{Release: "shop", Version: "0.9", Root: manifest.DigestOf([]byte("0.9")), Pages: 5}}
			k.keepBlobs()
			k.contents[goldenStored].frames[0] = frameSpec{kind: 3, page: 6}
		}},
		{"base_missing_unpacked", "base", "shop 0.9", "a page that is a copy of the last one that a base's blobs unpack to, and the base is not there", onUnpacked(8, same)},
		{"base_pages_unpacked", "index", "does not come before it", "a page beyond those that a base's blobs unpack to", onUnpacked(5+4+1, same)},
		{"unpacked_out_of_order", "manifest", "out of order", "unpacked blobs in another order", onUnpacked(0, func(all []manifest.Unpacked) []manifest.Unpacked {
			slices.Reverse(all)
			return all
		})},
		{"unpacked_twice", "manifest", "out of order", "an unpacked blob that is listed twice", onUnpacked(0, func(all []manifest.Unpacked) []manifest.Unpacked {
			all[1].Blob = all[0].Blob
			return all
		})},
		{"unpacked_empty", "manifest", "of 0 bytes", "an unpacked blob of no bytes", onUnpacked(0, func(all []manifest.Unpacked) []manifest.Unpacked {
			all[0].Size = 0
			return all
		})},
		{"unpacked_large", "manifest", "of 2199023255553 bytes", "an unpacked blob of more than 2 TiB", onUnpacked(0, func(all []manifest.Unpacked) []manifest.Unpacked {
			all[0].Size = 1<<41 + 1
			return all
		})},
		{"unpacked_zero_digest", "manifest", "digest", "an unpacked blob without a digest", onUnpacked(0, func(all []manifest.Unpacked) []manifest.Unpacked {
			all[0].Blob = manifest.Digest{}
			return all
		})},
		{"base_label", "manifest", `"Shop"`, "a base with a name that cannot be", field(func(m *manifest.Manifest) {
			m.Bases = []manifest.Base{{Release: "Shop", Version: "0.9", Root: manifest.DigestOf(nil), Pages: 5}}
		})},
		{"base_negative", "manifest", "-1 pages", "a base of less than no pages", field(func(m *manifest.Manifest) {
			m.Bases = []manifest.Base{{Release: "shop", Version: "0.9", Root: manifest.DigestOf(nil), Pages: -1}}
		})},
		{"base_65", "manifest", "65 bases", "more than 64 bases", field(func(m *manifest.Manifest) {
			m.Bases = slices.Repeat([]manifest.Base{{Release: "shop", Version: "0.9", Root: manifest.DigestOf(nil), Pages: 5}}, 65)
		})},
	}
}

// onUnpacked makes the golden stored layer a copy of a page. There is a base of five
// pages with two unpacked blobs, of a byte and of two pages and a byte; f may change them.
func onUnpacked(page uint64, f func([]manifest.Unpacked) []manifest.Unpacked) func(testing.TB, *kit) {
	return func(_ testing.TB, k *kit) {
		all := f([]manifest.Unpacked{{Blob: manifest.Digest{1}, Size: 1}, {Blob: manifest.Digest{2}, Size: 4<<20 + 1}})
		k.m.Bases = []manifest.Base{{Release: "shop", Version: "0.9", Root: manifest.DigestOf([]byte("0.9")), Pages: 5, Unpacked: all}}
		k.keepBlobs()
		k.contents[goldenStored].frames[0] = frameSpec{kind: 3, page: page}
	}
}

// gzipRecipe is a recipe (package gzipexact, version 1) for one member with
// a header of ten bytes: Go's encoder at a level, no block size, no trailing bytes.
func gzipRecipe(level byte, size int) []byte {
	b := []byte{1, 1, level + 2, 0, 1, 10, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0}
	return append(binary.AppendUvarint(b, uint64(size)), 0)
}

// gzipped makes the bundle carry a layer that is rebuilt by a recipe over the
// words. What the index says of it may be changed by f.
func gzipped(f func(b *blobSpec)) func(testing.TB, *kit) {
	return func(t testing.TB, k *kit) {
		raw := gzipRecipe(6, len(goldenWords))
		recipe, err := gzipexact.ParseRecipe(raw)
		must(t, err)
		var blob bytes.Buffer
		must(t, gzipexact.Rebuild(&blob, recipe, strings.NewReader(goldenWords)))
		s := bundletest.NewSource()
		setLayers(t, k, s, s.Add(blob.Bytes()))
		d := manifest.DigestOf(blob.Bytes())
		k.keepBlobs()
		content := slices.IndexFunc(k.contents, func(c contentSpec) bool { return c.digest == d })
		k.contents[content] = contentSpec{digest: manifest.DigestOf([]byte(goldenWords)), size: uint64(len(goldenWords)), frames: []frameSpec{encodeFrame(t, []byte(goldenWords))}}
		at := slices.IndexFunc(k.blobs, func(b blobSpec) bool { return b.digest == d })
		k.blobs[at] = blobSpec{digest: d, kind: 1, content: uint64(content), size: uint64(blob.Len()), recipe: raw}
		f(&k.blobs[at])
	}
}

func recipeVectors() []maker {
	return []maker{
		{"ok_reasons", "ok", "", "blobs as they are that say why", contents(func(k *kit) { k.blobs[0].kind, k.blobs[1].kind = 2, 3 })},
		{"ok_gzip", "ok", "", "a gzip layer that is rebuilt from its content", gzipped(func(*blobSpec) {})},
		{"recipe_version", "index", "version 9", "a recipe of another version", gzipped(func(b *blobSpec) { b.recipe[0] = 9 })},
		{"recipe_encoder", "index", "encoder 99", "a recipe with an encoder that is not known", gzipped(func(b *blobSpec) { b.recipe[1] = 99 })},
		{"recipe_header", "index", "header", "a recipe with a header that is none of gzip's", gzipped(func(b *blobSpec) { b.recipe[6] = 0 })},
		{"recipe_empty", "index", "parsing recipe", "a recipe of no bytes", gzipped(func(b *blobSpec) { b.recipe = nil })},
		{"recipe_byte_more", "index", "1 bytes too many", "a byte behind a recipe", gzipped(func(b *blobSpec) { b.recipe = append(b.recipe, 0) })},
		{"recipe_content_size", "index", "its recipe takes 108 bytes", "a recipe for a byte more than its content", gzipped(func(b *blobSpec) { b.recipe = gzipRecipe(6, 108) })},
		{"recipe_other_level", "content", "wrong bytes", "a recipe that makes another gzip stream", gzipped(func(b *blobSpec) { b.recipe = gzipRecipe(0, len(goldenWords)) })},
		{"recipe_too_few", "content", "1 bytes too few", "the index says that the blob has a byte more", gzipped(func(b *blobSpec) { b.size++ })},
	}
}
