package daemon

import (
	"strings"
	"testing"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

func TestPick(t *testing.T) {
	for want, offers := range map[string][]string{ // machine: its platform first
		"linux/amd64":    {"linux/amd64", "linux/amd64/v3", "linux/386", "windows/amd64"},
		"linux/arm64/v8": {"linux/arm64", "linux/amd64", "linux/arm/v7"},
		"linux/arm/v7":   {"linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm64/v8"},
		"linux/arm/v6":   {"linux/arm/v5", "linux/arm/v7"},
		"linux/s390x":    {"linux/s390x", "linux/ppc64le"},
	} {
		machine, err := oci.ParsePlatform(want)
		must(t, err)
		s := bundletest.NewSource()
		var children []object
		for i, platform := range offers {
			_, d := addImage(t, s, platform, plainLayer(noise(uint64(i), 10)))
			children = append([]object{d}, children...)
		}
		r := packed(t, named{index(t, s, children...), []string{"registry.example/a:1"}})
		p, err := pick(&r.images[0], machine, r)
		must(t, err)
		if got := p.config.Platform.String(); got != offers[0] {
			t.Errorf("%s gets %s, want %s", want, got, offers[0])
		}
		_, err = pick(&r.images[0], oci.Platform{OS: "plan9", Architecture: "mips"}, r)
		if err == nil || !strings.Contains(err.Error(), offers[0]) {
			t.Errorf("for plan9/mips: %v, want an error that names %s", err, offers[0])
		}
	}
}

func TestVariantOf(t *testing.T) {
	for machine, want := range map[string]string{"x86_64": "", "aarch64": "v8", "armv7l": "v7", "armv6l": "v6", "s390x": ""} {
		if got := variantOf(machine); got != want {
			t.Errorf("%s: %q, want %q", machine, got, want)
		}
	}
}

// TestChainIDs has the worked example of two layers by hand.
func TestChainIDs(t *testing.T) {
	a, b := manifest.DigestOf([]byte("a")), manifest.DigestOf([]byte("b"))
	got := chainIDs([]manifest.Digest{a, b})
	if len(got) != 2 || got[0] != a || got[1] != manifest.DigestOf([]byte("sha256:"+a.Hex()+" sha256:"+b.Hex())) {
		t.Errorf("got %v", got)
	}
	if len(chainIDs(nil)) != 0 {
		t.Error("no layers have a chain")
	}
}

func TestParseSource(t *testing.T) {
	id := manifest.DigestOf(nil).String()
	for name, want := range map[string]string{
		"nginx": "docker.io/library/nginx:latest", "nginx:1": "docker.io/library/nginx:1",
		"host.example:5000/a/b:2": "host.example:5000/a/b:2", id: id, "@" + id: id,
		"Upper": "", "a b": "", "": "",
	} {
		got, err := parseSource(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q and %v, want %q", name, got, err, want)
		}
	}
}
