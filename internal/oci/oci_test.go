package oci_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

const (
	digestA = "sha256:818089205a599837de29f6a01396ff6cf8d2da42202ecd9084bf5e15637a33b4"
	digestB = "sha256:dd327a604c3f4e3246483146ce9c5f3b220c33c76cb53314ae8a322c07097aee"

	config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digestA + `","size":2}`
	layer  = `{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + digestB + `","size":5}`
	child  = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digestB + `","size":5}`
)

// document is a text, the media type it is read as, and what the error says
// ("": it is accepted).
type document struct{ name, mediaType, text, says string }

// manifestWith is a manifest with this text behind schemaVersion.
func manifestWith(rest string) string { return `{"schemaVersion":2,` + rest + `}` }

// layerWith is a manifest whose one layer is this text.
func layerWith(layer string) string { return manifestWith(config + `,"layers":[` + layer + `]`) }

func documents() []document {
	good := manifestWith(config + `,"layers":[` + layer + `]`)
	index := manifestWith(`"manifests":[` + child + `]`)
	m, x := oci.TypeManifest, oci.TypeIndex
	var all []document
	for _, mediaType := range []string{m, oci.TypeDockerManifest} {
		all = append(all, document{"manifest", mediaType, good, ""},
			document{"manifest that says so", mediaType, manifestWith(`"mediaType":"` + mediaType + `",` + config + `,"layers":[]`), ""})
	}
	for _, mediaType := range []string{x, oci.TypeDockerList} {
		all = append(all, document{"index", mediaType, index, ""}, document{"empty index", mediaType, manifestWith(`"manifests":[]`), ""})
	}
	all = append(all, []document{
		{"unknown key", m, manifestWith(`"x":{"y":1},` + config + `,"layers":[]`), ""},
		{"null subject", m, manifestWith(`"subject":null,` + config + `,"layers":[]`), ""},
		{"key in another case means nothing", m, manifestWith(`"Manifests":[],` + config + `,"layers":[]`), ""},

		// Row 35: texts that two parsers could read differently.
		{"empty", m, ``, "not a JSON object"},
		{"null", m, `null`, "not a JSON object"},
		{"array", m, `[]`, "not a JSON object"},
		{"byte order mark", m, "\ufeff" + good, "not a JSON object"},
		{"bad UTF-8", m, manifestWith("\"x\":\"\xff\"," + config + `,"layers":[]`), "UTF-8"},
		{"text behind", m, good + `{}`, "bytes behind"},
		{"comma behind", m, good + `,`, "malformed"},
		{"key twice", m, manifestWith(config + `,"layers":[],"layers":[` + layer + `]`), "stands twice"},
		{"key twice, once escaped", m, manifestWith(config + `,"layers":[],"l\u0061yers":[` + layer + `]`), "stands twice"},
		{"key twice in a descriptor", m, layerWith(`{"mediaType":"x","digest":"` + digestA + `","digest":"` + digestB + `","size":5}`), "stands twice"},
		{"keys in other case only", m, manifestWith(config + `,"Layers":[]`), "has layers and a config"},
		{"digest in another case only", m, layerWith(`{"mediaType":"x","Digest":"` + digestA + `","size":5}`), "no digest"},
		{"deep", m, manifestWith(`"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,` + config + `,"layers":[]`), "malformed"},
		{"cut", m, good[:len(good)-1], "malformed"},
		{"size as a fraction", m, layerWith(strings.Replace(layer, "5}", "5.0}", 1)), "size"},
		{"size with an exponent", m, layerWith(strings.Replace(layer, "5}", "5e1}", 1)), "size"},
		{"size as text", m, layerWith(strings.Replace(layer, "5}", `"5"}`, 1)), "size"},
		{"size of 64 bits", m, layerWith(strings.Replace(layer, "5}", "9223372036854775808}", 1)), "size"},
		{"schemaVersion as text", m, strings.Replace(good, ":2,", `:"2",`, 1), "schemaVersion"},

		// Row 39: digests.
		{"digest in capitals", m, layerWith(strings.Replace(layer, digestB, "sha256:"+strings.ToUpper(digestB[7:]), 1)), "lower-case"},
		{"algorithm in capitals", m, layerWith(strings.Replace(layer, "sha256", "SHA256", 1)), "only sha256"},
		{"md5", m, layerWith(strings.Replace(layer, digestB, "md5:d41d8cd98f00b204e9800998ecf8427e", 1)), "only sha256"},
		{"sha384", m, layerWith(strings.Replace(layer, "sha256", "sha384", 1)), "only sha256"},
		{"sha512", m, layerWith(strings.Replace(layer, digestB, "sha512:"+strings.Repeat("ab", 64), 1)), "only sha256"}, // row 40
		{"63 digits", m, layerWith(strings.Replace(layer, digestB, digestB[:70], 1)), "64 lower-case"},
		{"65 digits", m, layerWith(strings.Replace(layer, digestB, digestB+"0", 1)), "64 lower-case"},
		{"path", m, layerWith(strings.Replace(layer, digestB, "sha256:../../x", 1)), "64 lower-case"},
		{"no digest", m, layerWith(`{"mediaType":"x","size":5}`), "no digest"},
		{"zero digest", m, layerWith(strings.Replace(layer, digestB, "sha256:"+strings.Repeat("0", 64), 1)), "zero digest"},

		// Row 41: one document, two readings.
		{"layers and manifests", m, manifestWith(config + `,"layers":[],"manifests":[]`), "no manifests"},
		{"layers in an index", x, manifestWith(`"manifests":[],"layers":[]`), "neither layers nor a config"},
		{"config in an index", x, manifestWith(`"manifests":[],` + config), "neither layers nor a config"},
		{"manifest read as an index", x, good, "an index has manifests"},
		{"index read as a manifest", m, index, "a manifest has layers"},
		{"no layers", m, manifestWith(config), "a manifest has layers"},
		{"no config", m, manifestWith(`"layers":[]`), "a manifest has layers"},
		{"another mediaType inside", m, manifestWith(`"mediaType":"` + x + `",` + config + `,"layers":[]`), "inside"},
		{"Docker's inside, OCI's outside", m, manifestWith(`"mediaType":"` + oci.TypeDockerManifest + `",` + config + `,"layers":[]`), "inside"},
		{"unknown type", "application/vnd.docker.distribution.manifest.v1+prettyjws", good, "is not an image index or manifest"},
		{"no type", "", good, "is not an image index or manifest"},
		{"schema 1", m, strings.Replace(good, ":2,", `:1,`, 1), "schemaVersion 1"},
		{"no schemaVersion", m, strings.Replace(good, `"schemaVersion":2,`, ``, 1), "schemaVersion 0"},
		{"fsLayers", m, manifestWith(`"fsLayers":[],` + config + `,"layers":[]`), "fsLayers"},

		// Row 44: counts.
		{"4096 children", x, manifestWith(`"manifests":[` + strings.Repeat(child+",", 4095) + child + `]`), ""},
		{"4097 children", x, manifestWith(`"manifests":[` + strings.Repeat(child+",", 4096) + child + `]`), "more than 4096"},
		{"4097 layers", m, layerWith(strings.Repeat(layer+",", 4096) + layer), "more than 4096"},
		{"a list that is an object", m, manifestWith(config + `,"layers":{}`), "not an array"},

		// Row 45: sizes.
		{"size -1", m, layerWith(strings.Replace(layer, "5}", "-1}", 1)), "negative"},
		{"no size", m, layerWith(strings.Replace(layer, `,"size":5`, "", 1)), "no size"},
		{"null size", m, layerWith(strings.Replace(layer, "5}", "null}", 1)), "no size"},
		{"a document of 4 MiB and a byte", x, manifestWith(`"manifests":[` + strings.Replace(child, "5}", "4194305}", 1) + `]`), "4194305 bytes"},
		{"no mediaType", m, layerWith(strings.Replace(layer, `"mediaType":"application/vnd.oci.image.layer.v1.tar",`, "", 1)), "no mediaType"},
		{"a layer that is a number", m, layerWith(`7`), "not a JSON object"},
		{"a config that is null", m, manifestWith(`"config":null,"layers":[]`), "a manifest has layers and a config"},
	}...)
	return all
}

func TestParse(t *testing.T) {
	cases := documents()
	if len(cases) < 50 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		doc, err := oci.Parse([]byte(c.text), c.mediaType)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says == "" && doc.MediaType != c.mediaType:
			t.Errorf("%s: media type %q", c.name, doc.MediaType)
		case c.says != "" && (!errors.Is(err, oci.ErrMalformed) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want ErrMalformed that says %q", c.name, err, c.says)
		}
	}
}

func TestParseLarge(t *testing.T) {
	text := manifestWith(`"x":"` + strings.Repeat("a", oci.MaxDocument) + `",` + config + `,"layers":[]`)
	if _, err := oci.Parse([]byte(text), oci.TypeManifest); !errors.Is(err, oci.ErrMalformed) {
		t.Errorf("over MaxDocument: %v", err)
	}
	if _, err := oci.ParseConfig(make([]byte, oci.MaxConfig+1)); !errors.Is(err, oci.ErrMalformed) {
		t.Errorf("over MaxConfig: %v", err)
	}
}

// TestParseMemory holds that a document of many small elements costs no more
// than some times its size (row 36).
func TestParseMemory(t *testing.T) {
	for name, text := range map[string]string{
		"children":    manifestWith(`"manifests":[` + strings.Repeat(`{},`, 1<<20) + `{}]`),
		"unknown":     manifestWith(`"x":[` + strings.Repeat(`{},`, 1<<20) + `{}],` + config + `,"layers":[]`),
		"annotations": manifestWith(`"annotations":{` + strings.Repeat(`"a":"b",`, 400_000) + `"a":"b"},"manifests":[]`),
	} {
		if len(text) > oci.MaxDocument {
			t.Fatalf("%s: %d bytes", name, len(text))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		oci.Parse([]byte(text), oci.TypeIndex)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: %d bytes of document made it allocate %d MiB", name, len(text), grown>>20)
		}
	}
}

func TestParseFields(t *testing.T) {
	text := manifestWith(`"artifactType":"a/b","annotations":{"k":"v"},"subject":` + child + `,"manifests":[` +
		strings.Replace(child, `"size":5`, `"size":5,"platform":{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1"},"urls":["http://x"],"artifactType":"c/d","annotations":{"e":"f"}`, 1) + `]`)
	doc, err := oci.Parse([]byte(text), oci.TypeIndex)
	if err != nil {
		t.Fatal(err)
	}
	d := doc.Manifests[0]
	got := fmt.Sprintln(doc.ArtifactType, doc.Annotations, doc.Subject.Digest, d.MediaType, d.Digest, d.Size, d.Platform, d.URLs, d.ArtifactType, d.Annotations, d.Platform.OSVersion)
	want := fmt.Sprintln("a/b", map[string]string{"k": "v"}, digestB, oci.TypeManifest, digestB, 5, "linux/arm64/v8", []string{"http://x"}, "c/d", map[string]string{"e": "f"}, "1")
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseConfig(t *testing.T) {
	c, err := oci.ParseConfig([]byte(`{"os":"linux","architecture":"arm","variant":"v7","rootfs":{"type":"layers","diff_ids":["` + digestB + `","` + digestA + `"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Platform.String() != "linux/arm/v7" || len(c.DiffIDs) != 2 || c.DiffIDs[0].String() != digestB || c.DiffIDs[1].String() != digestA {
		t.Errorf("got %+v", c)
	}
	for _, text := range []string{
		``, `null`, `{}`, `{"rootfs":null}`, `{"rootfs":[]}`, `{"rootfs":{"diff_ids":["x"]}}`, `{"rootfs":{"diff_ids":"x"}}`,
		`{"rootfs":{},"rootfs":{}}`, `{"rootfs":{"diff_ids":[],"diff_ids":[]}}`, `{"os":7,"rootfs":{}}`, `{"rootfs":{}}x`,
	} {
		if _, err := oci.ParseConfig([]byte(text)); !errors.Is(err, oci.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", text, err)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for _, s := range []string{"linux/amd64", "linux/arm/v7", "windows/amd64"} {
		if p, err := oci.ParsePlatform(s); err != nil || p.String() != s {
			t.Errorf("%q: %q, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "Linux/amd64", "linux/amd64/", "linux/a b", "linux/\x1b"} {
		if p, err := oci.ParsePlatform(s); err == nil {
			t.Errorf("%q is taken for %+v", s, p)
		}
	}
	for _, c := range []struct {
		is, want string
		matches  bool
	}{
		{"linux/amd64", "linux/amd64", true}, {"linux/amd64", "linux/arm64", false}, {"windows/amd64", "linux/amd64", false},
		{"linux/arm/v7", "linux/arm", true}, {"linux/arm/v7", "linux/arm/v7", true}, {"linux/arm/v6", "linux/arm/v7", false},
		{"linux/arm", "linux/arm/v7", false}, {"linux/arm64", "linux/arm64/v8", true}, {"linux/arm64/v8", "linux/arm64", true}, {"linux/arm64/v9", "linux/arm64/v8", false},
	} {
		is, _ := oci.ParsePlatform(c.is)
		want, _ := oci.ParsePlatform(c.want)
		if is.Matches(want) != c.matches {
			t.Errorf("%s for %s: %t", c.is, c.want, !c.matches)
		}
	}
}

func TestKinds(t *testing.T) {
	for mediaType, want := range map[string]bool{oci.TypeIndex: true, oci.TypeDockerList: true, oci.TypeManifest: false, oci.TypeDockerManifest: false} {
		d := oci.Descriptor{MediaType: mediaType, Digest: manifest.DigestOf(nil)}
		if oci.IsIndexType(mediaType) != want || oci.IsManifestType(mediaType) == want || !d.IsDocument() {
			t.Errorf("%s is taken for another kind", mediaType)
		}
	}
	if (oci.Descriptor{MediaType: oci.TypeLayer}).IsDocument() {
		t.Error("a layer is taken for a document")
	}
}
