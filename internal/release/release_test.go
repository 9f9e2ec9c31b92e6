package release_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/release"
)

var (
	pinA = manifest.DigestOf([]byte("a"))
	pinB = manifest.DigestOf([]byte("b"))
	at   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

const twoImages = `release: shop
version: "1.0"
images:
- image: a.example/x:1
- image: nginx:1.25
  names: [registry.example/web:1]
  platforms: [linux/amd64, linux/arm64/v8]
`

// write writes a release file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// lock writes the lock of a release file.
func lock(t *testing.T, path string, digests ...manifest.Digest) []byte {
	t.Helper()
	f, err := release.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Lock(digests, at, "release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(release.LockPath(path), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParse(t *testing.T) {
	f, err := release.Parse([]byte(twoImages))
	if err != nil {
		t.Fatal(err)
	}
	if f.Release != "shop" || f.Version != "1.0" || f.Stream != "" || f.Epoch != 0 || f.Sequence != 0 || len(f.Images) != 2 {
		t.Errorf("%+v", f)
	}
	first, err := f.Images[0].Pin()
	if err != nil || !slices.Equal(first.Names, []string{"a.example/x:1"}) || first.Pinned() || first.Platforms != nil {
		t.Errorf("%+v, %v", first, err)
	}
	second, err := f.Images[1].Pin()
	if err != nil || !slices.Equal(second.Names, []string{"registry.example/web:1"}) || second.Ref.Name != "nginx:1.25" || len(second.Platforms) != 2 || second.Platforms[1].String() != "linux/arm64/v8" {
		t.Errorf("%+v, %v", second, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for what, c := range map[string]struct{ text, says string }{
		"nothing":             {"", "it is empty"},
		"no images":           {"release: shop\nversion: \"1\"\n", "no images"},
		"an empty list":       {"release: shop\nversion: \"1\"\nimages: []\n", "no images"},
		"unknown field":       {"colour: red\n" + twoImages, "colour"},
		"unknown in an image": {strings.Replace(twoImages, "  names", "  nmes", 1), "nmes"},
		"field in capitals":   {strings.Replace(twoImages, "version", "Version", 1), "Version"},
		"field twice":         {"release: other\n" + twoImages, "already defined"},
		"two documents":       {twoImages + "---\n" + twoImages, "more than one YAML document"},
		"no release":          {strings.Replace(twoImages, "release: shop", "release: \"\"", 1), "release:"},
		"release in capitals": {strings.Replace(twoImages, "shop", "Shop", 1), `"Shop"`},
		"version with space":  {strings.Replace(twoImages, `"1.0"`, `"1 0"`, 1), "version:"},
		"bad stream":          {"stream: a/b\n" + twoImages, "stream:"},
		"bad expiry":          {"expires: 2027-01-01\n" + twoImages, "2027-01-01"},
		"bad lock time":       {"locked: yesterday\n" + twoImages, "yesterday"},
		"negative sequence":   {"sequence: -1\n" + twoImages, "-1"},
		"bad reference":       {strings.Replace(twoImages, "a.example/x:1", "a.example/X:1", 1), "a.example/X:1"},
		"bad digest":          {strings.Replace(twoImages, "a.example/x:1", "a.example/x@sha256:12", 1), "sha256:12"},
		"sha512":              {strings.Replace(twoImages, "- image: a.example/x:1", "- image: a.example/x:1\n  digest: sha512:"+strings.Repeat("1", 128), 1), "only sha256"},
		"bad platform":        {strings.Replace(twoImages, "linux/amd64", "linux", 1), `"linux"`},
		"bad name":            {strings.Replace(twoImages, "registry.example/web:1", "\"registry.example/web:1 \"", 1), "registry.example/web:1 "},
		"name with a digest":  {strings.Replace(twoImages, "registry.example/web:1", "registry.example/web@"+pinA.String(), 1), "only a name"},
		"two images, one name": {twoImages + "- image: b.example/y:1\n  names: [\"a.example/x:1\"]\n",
			`images "a.example/x:1" and "b.example/y:1" would both be named "a.example/x:1"`},
		"one image twice":      {twoImages + "- image: a.example/x:1\n", "would both be named"},
		"two spellings":        {"release: shop\nversion: \"1\"\nimages:\n- image: nginx\n- image: docker.io/library/nginx:latest\n", "would both be named"},
		"two digests":          {strings.Replace(twoImages, "a.example/x:1", "a.example/x@"+pinA.String()+"\n  digest: "+pinB.String(), 1), "locked to another digest"},
		"a layout's short tag": {"release: shop\nversion: \"1\"\nimages:\n- image: oci:dir:latest\n", "no full name of its own"},
		"a file without name":  {"release: shop\nversion: \"1\"\nimages:\n- image: docker-archive:x.tar\n", "no full name of its own"},
		"no path":              {"release: shop\nversion: \"1\"\nimages:\n- image: \"oci:\"\n", "needs a path"},
		"4 MiB and a byte":     {strings.Repeat("#", 4<<20) + "\n", "4194305 bytes"},
		"alias bomb":           {"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + twoImages, "there is no field"},
	} {
		if f, err := release.Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v; want an error that says %q", what, f, err, c.says)
		}
	}
	if _, err := release.Read(filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	path := write(t, "x: 1\n")
	if _, err := release.Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the file", err)
	}
}

// TestUntaggedTwice: images that are named by their digests alone may share a name.
func TestUntaggedTwice(t *testing.T) {
	text := "release: shop\nversion: \"1\"\nimages:\n- image: a.example/x@" + pinA.String() + "\n- image: a.example/x@" + pinB.String() + "\n"
	if _, err := release.Parse([]byte(text)); err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	path := write(t, twoImages)
	if _, err := release.ReadPinned(path); !errors.Is(err, release.ErrUnpinned) {
		t.Errorf("before it is locked: %v", err)
	}
	text := lock(t, path, pinA, pinB)
	again := lock(t, path, pinA, pinB)
	if !bytes.Equal(text, again) {
		t.Error("the same lock has other bytes")
	}
	f, err := release.ReadPinned(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Locked != "2026-01-02T03:04:05Z" || f.Images[0].Digest != pinA.String() || f.Images[1].Digest != pinB.String() || f.Images[1].Names[0] != "registry.example/web:1" {
		t.Errorf("%+v", f)
	}
	for _, want := range []string{"# Pins the images of release.yaml.", "# asked of a.example on 2026-01-02T03:04:05Z", "# asked of docker.io on 2026"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the lock does not say %q:\n%s", want, text)
		}
	}
}

func TestStale(t *testing.T) {
	for what, change := range map[string][2]string{
		"version":       {`"1.0"`, `"1.1"`},
		"tag":           {"a.example/x:1", "a.example/x:2"},
		"name":          {"web:1", "web:2"},
		"platform":      {"linux/amd64", "linux/s390x"},
		"another image": {"images:\n", "images:\n- image: c.example/z:1\n"},
		"expiry":        {"images:\n", "expires: \"2027-01-01T00:00:00Z\"\nimages:\n"},
		"annotation":    {"images:\n", "annotations: {a: b}\nimages:\n"},
		"sequence":      {"images:\n", "sequence: 7\nimages:\n"},
	} {
		path := write(t, twoImages)
		lock(t, path, pinA, pinB)
		changed := strings.Replace(twoImages, change[0], change[1], 1)
		if changed == twoImages {
			t.Fatalf("%s: nothing changes", what)
		}
		os.WriteFile(path, []byte(changed), 0o644)
		if f, err := release.ReadPinned(path); !errors.Is(err, release.ErrStale) || !strings.Contains(err.Error(), release.LockPath(path)) {
			t.Errorf("%s: %v, %v", what, f, err)
		}
	}
	path := write(t, twoImages)
	lock(t, path, pinA, pinB)
	os.WriteFile(path, []byte("# a comment\n"+strings.ReplaceAll(twoImages, "[linux/amd64, linux/arm64/v8]", "\n  - linux/amd64\n  - linux/arm64/v8")), 0o644)
	if _, err := release.ReadPinned(path); err != nil {
		t.Errorf("other white space and a comment: %v", err)
	}
	os.WriteFile(release.LockPath(path), []byte(twoImages), 0o644)
	if _, err := release.ReadPinned(path); !errors.Is(err, release.ErrUnpinned) || !strings.Contains(err.Error(), "release.lock.yaml") {
		t.Errorf("a lock without pins: %v", err)
	}
	os.WriteFile(release.LockPath(path), []byte("junk"), 0o644)
	if _, err := release.ReadPinned(path); err == nil {
		t.Error("a lock that is junk is taken")
	}
}

func TestPinnedByItself(t *testing.T) {
	text := strings.NewReplacer("a.example/x:1", "a.example/x:1@"+pinA.String(), "nginx:1.25", "nginx:1.25\n  digest: "+pinB.String()).Replace(twoImages)
	path := write(t, text)
	f, err := release.ReadPinned(path)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := f.Images[0].Pin()
	if err != nil || pin.Ref.Digest != pinA || !slices.Equal(pin.Names, []string{"a.example/x:1"}) {
		t.Errorf("%+v, %v", pin, err)
	}
}

func TestLockPath(t *testing.T) {
	for path, want := range map[string]string{"release.yaml": "release.lock.yaml", "a.b/c.yml": "a.b/c.lock.yml", "x": "x.lock"} {
		if got := release.LockPath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
