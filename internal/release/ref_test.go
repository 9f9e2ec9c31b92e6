package release_test

import (
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/release"
)

func TestParseRef(t *testing.T) {
	for s, want := range map[string]release.Ref{
		"nginx":                                {Transport: release.Registry, Name: "nginx"},
		"a.example:5000/x/y:1":                 {Transport: release.Registry, Name: "a.example:5000/x/y:1"},
		"docker://a.example/x:1":               {Transport: release.Registry, Name: "a.example/x:1"},
		"a.example/x@" + pinA.String():         {Transport: release.Registry, Name: "a.example/x", Digest: pinA},
		"a.example/x:1@" + pinA.String():       {Transport: release.Registry, Name: "a.example/x:1", Digest: pinA},
		"docker-daemon:shop:1":                 {Transport: release.DockerDaemon, Name: "shop:1"},
		"oci:dir":                              {Transport: release.OCILayout, Path: "dir"},
		"oci:../a/dir:a.example/x:1":           {Transport: release.OCILayout, Path: "../a/dir", Name: "a.example/x:1"},
		"oci-archive:x.tar:1@" + pinB.String(): {Transport: release.OCIArchive, Path: "x.tar", Name: "1", Digest: pinB},
		"docker-archive:/x.tar:shop:1":         {Transport: release.DockerArchive, Path: "/x.tar", Name: "shop:1"},
	} {
		got, err := release.ParseRef(s)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", s, got, err, want)
			continue
		}
		if printed := got.String(); printed != strings.TrimPrefix(s, "docker://") {
			t.Errorf("%q prints as %q", s, printed)
		}
	}
	// Repositories that are called as transports are.
	for _, s := range []string{"docker://docker-daemon:1.0", "docker://oci:latest", "docker://oci-archive:1@" + pinA.String(), "docker://docker-archive:x"} {
		got, err := release.ParseRef(s)
		if err != nil || got.Transport != release.Registry || got.String() != s {
			t.Errorf("%q: %+v prints as %q, %v", s, got, got, err)
		}
	}
	for _, s := range []string{"", "A", "a.example/x y", "a.example/x:", "a.example/x@", "a.example/x@sha256:1", "a@" + pinA.String() + "@" + pinA.String(), "docker://", "docker-daemon:", "oci:", "oci::x", "../x", "a.example/x:1:2", "http://a.example/x", "a/\x1b"} {
		if got, err := release.ParseRef(s); err == nil {
			t.Errorf("%q is taken for %+v", s, got)
		}
	}
}

func TestNames(t *testing.T) {
	for s, want := range map[string]string{
		"nginx":                                "docker.io/library/nginx:latest",
		"nginx:1":                              "docker.io/library/nginx:1",
		"nginx@" + pinA.String():               "docker.io/library/nginx",
		"shop/web:1@" + pinA.String():          "docker.io/shop/web:1",
		"localhost:5000/x":                     "localhost:5000/x:latest",
		"docker-daemon:web:1":                  "docker.io/library/web:1",
		"docker-archive:x.tar:web:1":           "docker.io/library/web:1",
		"oci:dir:a.example/x:1":                "a.example/x:1",
		"oci:dir:a.example/x@" + pinA.String(): "a.example/x",
	} {
		r, err := release.ParseRef(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got, err := r.DefaultName(); err != nil || got != want {
			t.Errorf("%q is named %q, %v, want %q", s, got, err, want)
		}
	}
	for _, s := range []string{"oci:dir", "oci:dir:latest", "oci-archive:x.tar:1.0", "docker-archive:x.tar", "oci:dir:a/B"} {
		r, err := release.ParseRef(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got, err := r.DefaultName(); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q is named %q, %v", s, got, err)
		}
	}
	if _, err := release.FullName("a.example/x@" + pinA.String()); err == nil {
		t.Error("a digest is taken for a name")
	}
}

func TestPlace(t *testing.T) {
	for s, want := range map[string]string{"nginx": "docker.io", "a.example:5000/x": "a.example:5000", "docker-daemon:x": "the local Docker Engine", "oci:dir:x": "dir"} {
		r, err := release.ParseRef(s)
		if err != nil || r.Place() != want {
			t.Errorf("%q is in %q, %v", s, r.Place(), err)
		}
	}
}

// FuzzParse holds that a release file that is taken can be locked, and that
// its lock is taken, is pinned and says the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{twoImages, "", "release: shop\nversion: 1\nimages:\n- image: oci:x:a.example/y:1\n", "a: &a [*a]\n", "images: {}\n", "release: !!binary aGk=\n", "? [a]\n: b\n", "<<: {release: x}\nversion: y\nimages: [{image: z}]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := release.Parse(raw)
		if err != nil {
			return
		}
		digests := slices.Repeat([]manifest.Digest{pinA}, len(file.Images))
		for i, image := range file.Images {
			pin, err := image.Pin()
			if err != nil || len(pin.Names) == 0 {
				t.Fatalf("%q: image %+v: %+v, %v", raw, image, pin, err)
			}
			if pin.Pinned() {
				digests[i] = pin.Ref.Digest
			}
		}
		text, err := file.Lock(digests, at, "release.yaml")
		if err != nil {
			t.Fatalf("%q cannot be locked: %v", raw, err)
		}
		locked, err := release.Parse(text)
		if err != nil {
			t.Fatalf("%q: its lock\n%s\nis refused: %v", raw, text, err)
		}
		for i, image := range locked.Images {
			if pin, err := image.Pin(); err != nil || pin.Ref.Digest != digests[i] {
				t.Errorf("%q: image %d is locked to %s, %v", raw, i, pin.Ref.Digest, err)
			}
		}
	})
}
