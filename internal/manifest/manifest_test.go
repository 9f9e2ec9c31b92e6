package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"airlock/internal/manifest"
)

var (
	digestA = manifest.DigestOf([]byte("a"))
	digestB = manifest.DigestOf([]byte("b"))
)

// valid returns a manifest with every field. (digestB is the smaller one.)
func valid() *manifest.Manifest {
	root := manifest.Descriptor{MediaType: "application/vnd.oci.image.index.v1+json", Digest: digestA, Size: 7}
	referrer := manifest.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digestB, Size: 8, ArtifactType: "application/x"}
	return &manifest.Manifest{
		Format: manifest.Format, Release: "shop", Version: "1.0+b2", Stream: "shop", Epoch: 1, Sequence: 1<<64 - 1,
		Created: "2026-01-02T03:04:05Z", Expires: "2027-01-02T03:04:05Z",
		Bases: []manifest.Base{{Release: "shop", Version: "0.9", Root: digestA}},
		Images: []manifest.Image{{
			Names: []string{"a.example/x/y:1", "b.example/x"}, Root: root, Platforms: []string{"linux/amd64", "linux/arm64/v8"},
			Manifests: []manifest.Digest{digestB, digestA}, Blobs: []manifest.Digest{digestB, digestA},
			Referrers: []manifest.Referrer{{Descriptor: referrer, Subject: digestA, Tag: "sha256-1.sig"}},
		}},
		BlockSize: manifest.BlockSize,
		Volumes:   []manifest.Volume{{Name: "shop-1.0.000.vol", Size: 2 << 20}, {Name: "shop-1.0.001.vol", Size: 100}},
		Index:     manifest.Extent{Offset: 2<<20 + 50, Size: 50, Digest: digestB}, Annotations: map[string]string{"b": "<&>", "a": "é"},
	}
}

func TestMarshal(t *testing.T) {
	m := valid()
	text, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := again.Marshal(); err != nil || !bytes.Equal(twice, text) {
		t.Errorf("%s\nbecomes\n%s, %v", text, twice, err)
	}
	if again.Title() != "shop 1.0+b2" || again.SpaceSize() != 2<<20+100 || !again.CreatedAt().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("%s, %d bytes, %s", again.Title(), again.SpaceSize(), again.CreatedAt())
	}
	for _, want := range []string{`"sequence": 18446744073709551615`, "\n \"annotations\": {\n  \"a\": \"é\",\n  \"b\": \"<&>\"\n }\n}\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %s in %s", want, text)
		}
	}
}

// TestCheckUnpacked holds how many blobs of all bases may be listed as unpacked.
func TestCheckUnpacked(t *testing.T) {
	for n, ok := range map[int]bool{manifest.MaxUnpacked: true, manifest.MaxUnpacked + 1: false} {
		m := valid()
		m.Bases = make([]manifest.Base, 2)
		for i := range m.Bases {
			m.Bases[i] = manifest.Base{Release: "shop", Version: "1.0", Root: manifest.Digest{byte(1 + i)}}
		}
		for i := range n {
			b := &m.Bases[i%2]
			b.Unpacked = append(b.Unpacked, manifest.Unpacked{Blob: manifest.Digest{1, byte(i >> 8), byte(i)}, Size: manifest.MaxSpace})
		}
		if _, err := m.Marshal(); (err == nil) != ok {
			t.Errorf("%d blobs: %v", n, err)
		}
	}
}

// TestCheckVolumes holds the limits that are too large for vectors.
func TestCheckVolumes(t *testing.T) {
	many := func(n int) []manifest.Volume {
		var all []manifest.Volume
		for i := range n {
			all = append(all, manifest.Volume{Name: fmt.Sprintf("%d.vol", i), Size: 1 << 20})
		}
		return all
	}
	for name, c := range map[string]struct {
		volumes []manifest.Volume
		ok      bool
	}{
		"9999 volumes":  {many(manifest.MaxVolumes), true},
		"10000 volumes": {many(manifest.MaxVolumes + 1), false},
		"all the bytes that are allowed": {[]manifest.Volume{
			{Name: "a.vol", Size: manifest.MaxSpace / 2}, {Name: "b.vol", Size: manifest.MaxSpace / 2},
		}, true},
		"a byte more": {[]manifest.Volume{
			{Name: "a.vol", Size: manifest.MaxSpace / 2}, {Name: "b.vol", Size: manifest.MaxSpace / 2}, {Name: "c.vol", Size: 1},
		}, false},
		"the sum over 64 bits": {[]manifest.Volume{
			{Name: "a.vol", Size: 1 << 62}, {Name: "b.vol", Size: 1 << 62}, {Name: "c.vol", Size: 1 << 62},
		}, false},
	} {
		m := valid()
		m.Volumes = c.volumes
		m.Index.Offset = m.SpaceSize() - 50
		_, err := m.Marshal()
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLimitsAgree holds that what one limit allows no other one refuses: the
// most volumes with the longest names, beside other files, and the most bytes.
func TestLimitsAgree(t *testing.T) {
	m, sums := valid(), manifest.Sums{}
	m.Volumes = nil
	for i := range 10 * manifest.MaxVolumes / 9 { // a tenth of them stand for other files
		name := fmt.Sprintf("%060d.vol", i)
		sums[name] = digestA
		if i < manifest.MaxVolumes {
			m.Volumes = append(m.Volumes, manifest.Volume{Name: name, Size: 200 << 20})
		}
	}
	m.Index.Offset = m.SpaceSize() - 50
	text, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Parse(text); err != nil {
		t.Error(err)
	}
	if got, err := manifest.ParseSums(sums.Marshal()); err != nil || len(got) != len(sums) {
		t.Errorf("%d lines of %d, %v", len(got), len(sums), err)
	}
	if blocks := int64(manifest.MaxSpace / manifest.BlockSize); blocks*32 != manifest.MaxSmallFile {
		t.Errorf("the hashes of %d blocks are no file of %d bytes", blocks, manifest.MaxSmallFile)
	}
}

// TestShapes are names, platforms, media types and tags, right and wrong.
func TestShapes(t *testing.T) {
	long := strings.Repeat("a", 129)
	for what, c := range map[string]struct {
		set         func(*manifest.Manifest, string)
		good, wrong []string
	}{
		"name": {func(m *manifest.Manifest, s string) { m.Images[0].Names[0] = s },
			[]string{"a.example/x", "a.example:5000/x/y:1.0_B-c", "localhost/x", "localhost:1/x", "[fd00::1]:5000/x", "[::1]/x", "127.0.0.1/x:1", "Host/x", "docker.io/library/a-b__c_d.e---f", "a.example/x:" + long[1:], "a.example/" + strings.Repeat("a", 255)},
			[]string{"x", "library/x:1", "a.example", "a.example/", "/x", "a.example//x", "a.example/X", "a.example/x:", "a.example/x:-1", "a.example/x:.1", "a.example/x:" + long, "a.example/x@" + digestA.String(), "../../etc/passwd", "a.example/../x",
				"a.example/x..y", "a.example/x___y", "a.example/x._y", "a.example/-x", "a.example/x-", "a.example/x y", "a.example/é", "a.example/x:é", "-a.example/x", "a-.example/x", "a..example/x", "a.example:/x", "a.example:x/x", "a.example:123456/x",
				"[::1/x", "[]/x", "[::g]/x", "[::1]x/x", "http://a.example/x", "a_b.example/x", "a.example/" + strings.Repeat("a", 256), strings.Repeat("a", 256) + "./x", "a.example/x:1:2", "a.example/x:1/y"}},
		"platform": {func(m *manifest.Manifest, s string) { m.Images[0].Platforms = []string{s} },
			[]string{"linux/amd64", "linux/arm/v7", "windows/amd64", "x_y.z/a-b/c"},
			[]string{"", "linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64", "linux/\x1b[2J", "linux//v7", "linux/amd64 ", "linux/" + strings.Repeat("a", 1025)}},
		"media type": {func(m *manifest.Manifest, s string) { m.Images[0].Root.MediaType = s },
			[]string{"a/b", "application/vnd.oci.image.index.v1+json", "x.y!#$&-^_/z.+"},
			[]string{"a", "a/", "/b", "a/b/c", "a/b;c=d", "a/b ", ".a/b", "a/.b", "a/\x1b[2J", "a/é", "a/" + long}},
		"artifact type": {func(m *manifest.Manifest, s string) { m.Images[0].Referrers[0].ArtifactType = s },
			[]string{"", "application/spdx+json"},
			[]string{"a", "a b/c", "a/\n"}},
		"tag": {func(m *manifest.Manifest, s string) { m.Images[0].Referrers[0].Tag = s },
			[]string{"", "1", "_", "A.b-c_d", "sha256-" + digestA.Hex() + ".sig", long[1:]},
			[]string{".", "-a", "a/b", "../x", "a:b", " ", "é", "a\x00", long}},
	} {
		for _, good := range c.good {
			m := valid()
			c.set(m, good)
			text, err := m.Marshal()
			if err == nil {
				_, err = manifest.Parse(text)
			}
			if err != nil {
				t.Errorf("%s %q: %v", what, good, err)
			}
		}
		for _, wrong := range c.wrong {
			m := valid()
			c.set(m, wrong)
			if _, err := m.Marshal(); err == nil || strings.Count(err.Error(), "manifest.json") != 1 {
				t.Errorf("%s %q: %v", what, wrong, err)
			}
		}
	}
}

// TestErrorsNameTheFileOnce reads what Parse says of a text that breaks a rule.
func TestErrorsNameTheFileOnce(t *testing.T) {
	text, err := valid().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	_, err = manifest.Parse(bytes.Replace(text, []byte("linux/amd64"), []byte("linux/AMD64"), 1))
	if !errors.Is(err, manifest.ErrRejected) || !strings.HasPrefix(err.Error(), "manifest.json: rejected: image 1: platform") {
		t.Error(err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	m := valid()
	m.Annotations["a"] = strings.Repeat("x", manifest.MaxManifest)
	if _, err := m.Marshal(); err == nil {
		t.Error("a manifest of more than 16 MiB is written")
	}
	m = valid()
	m.Release = "Shop"
	if _, err := m.Marshal(); err == nil || errors.Is(err, manifest.ErrRejected) {
		t.Errorf("a wrong name: %v", err)
	}
}

func TestLabels(t *testing.T) {
	for s, ok := range map[string]bool{
		"shop": true, "1": true, "1.4.0-rc.1+build_2": true, strings.Repeat("a", 40): true, "a.": true,
		"": false, strings.Repeat("a", 41): false, "A": false, ".a": false, "-a": false, "_a": false, "+a": false,
		"a b": false, "a/b": false, "a\n": false, "é": false, "a:b": false, "a\x00": false,
	} {
		if err := manifest.CheckLabel(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestNames are rows 30 of the hostile inputs: what a file name cannot be.
func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "README.txt": true, "shop-1.4.0.000.vol": true, "blocks.bin": true, "0": true, "a_b-c.d": true, strings.Repeat("a", 64): true, "console": true, "a.con": true, "com10": true,
		"": false, ".": false, "..": false, "../x": false, "/abs": false, "a/b": false, `a\b`: false, `c:\x`: false, "c:x": false, "x.": false, "x ": false, " x": false, "a b": false,
		"a\x00b": false, "a\nb": false, "a\x7f": false, "con": false, "con.txt": false, "nul.tar.gz": false, "aux": false, "prn": false, "com1": false, "lpt9.vol": false,
		"readme.txt": false, "Readme.txt": false, "README.TXT": false, "A": false, "é": false, "e\u0301": false, "ａ": false, strings.Repeat("a", 65): false, strings.Repeat("a", 300): false,
		"-x": false, "_x": false, ".x": false, "~": false, "a~1": false, "a*": false, "a?": false, "\ufeffa": false, "a\xff": false,
	} {
		if err := manifest.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSignatureNames(t *testing.T) {
	for _, principal := range []string{"ana", "ana.b", "build-2", strings.Repeat("a", 40)} {
		name, err := manifest.SignatureName(principal)
		if err != nil || name != "SHA256SUMS."+principal+".sig" {
			t.Errorf("%q: %q, %v", principal, name, err)
		}
		if back, ok := manifest.SignaturePrincipal(name); !ok || back != principal {
			t.Errorf("%q: %q, %t", name, back, ok)
		}
	}
	for _, principal := range []string{"", "Ana", "a b", "../x", "README.txt", "a@b", "con", ".a", "a.", strings.Repeat("a", 41), "*"} {
		if name, err := manifest.SignatureName(principal); err == nil {
			t.Errorf("%q: %q", principal, name)
		}
		if who, ok := manifest.SignaturePrincipal("SHA256SUMS." + principal + ".sig"); ok {
			t.Errorf("%q is a signature's name, by %q", principal, who)
		}
	}
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.ana", "ana.sig", "sha256sums.ana.sig", "SHA256SUMS.ana.sig.sig2", "xSHA256SUMS.ana.sig", "SHA256SUMS..sig"} {
		if who, ok := manifest.SignaturePrincipal(name); ok {
			t.Errorf("%q is a signature's name, by %q", name, who)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999, time.FixedZone("", 3600))
	if s := manifest.FormatTime(at); s != "2026-01-02T02:04:05Z" {
		t.Error(s)
	}
	for s, ok := range map[string]bool{
		"2026-01-02T03:04:05Z": true, "0001-01-01T00:00:00Z": true, "9999-12-31T23:59:59Z": true, "2024-02-29T00:00:00Z": true,
		"": false, "2026-01-02T03:04:05": false, "2026-01-02T03:04:05+00:00": false, "2026-01-02T03:04:05.5Z": false, "2026-02-29T00:00:00Z": false,
		"2026-01-02T03:04:60Z": false, "26-01-02T03:04:05Z": false, " 2026-01-02T03:04:05Z": false, "2026-1-02T03:04:05Z": false, "10000-01-02T03:04:05Z": false, "2026-01-02t03:04:05Z": false,
	} {
		got, err := manifest.ParseTime(s)
		if (err == nil) != ok || (ok && manifest.FormatTime(got) != s) {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}

func TestDigests(t *testing.T) {
	const hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	d, err := manifest.ParseDigest("sha256:" + hex)
	if err != nil || d != manifest.DigestOf([]byte("test")) || d.Hex() != hex || d.Short() != hex[:12] || d.String() != "sha256:"+hex || d.IsZero() {
		t.Errorf("%s, %v", d, err)
	}
	if text, err := d.MarshalText(); string(text) != d.String() || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	if d.Compare(d) != 0 || d.Compare(manifest.Digest{}) <= 0 || (manifest.Digest{}).Compare(d) >= 0 {
		t.Error("digests are not ordered by their bytes")
	}
	kept := d
	for _, s := range []string{"", hex, "sha256:", "sha256:" + hex[1:], "sha256:" + hex + "0", "sha256:" + strings.ToUpper(hex), "SHA256:" + hex, "sha512:" + hex + hex, "md5:" + hex[:32],
		"sha256:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("g", 64), " sha256:" + hex, "sha256:" + hex + "\n", "sha256:../../" + hex[6:], "sha256:\xff" + hex[1:]} {
		if err := kept.UnmarshalText([]byte(s)); err == nil || kept != d {
			t.Errorf("%q: %s, %v", s, kept, err)
		}
	}
}
