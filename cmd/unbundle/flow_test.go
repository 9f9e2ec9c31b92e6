//go:build linux

package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airlock/internal/cli"
	"airlock/internal/realtest"
)

// A bundle of more than 64 MiB is not proven whole before the destination is
// touched, but blob by blob as it flows.
const flowing = 66 << 20

// TestFlippedByteWhileItFlows damages a bundle so large that blobs arrive
// before the damage is met: no document, no name and no image may.
func TestFlippedByteWhileItFlows(t *testing.T) {
	b := newMaker(t).bundle(t, flowing, 0)
	volume := b.volumes(t)[0]
	path := filepath.Join(b.dir, volume)
	size := len(b.read(t, volume))
	registry, folder := realtest.Registry(t), t.TempDir()
	loads := map[string]func() bool{ // to whether the image is there
		"registry://" + registry.Addr: func() bool { return len(tags(t, registry.Addr)) > 0 },
		"oci:" + filepath.Join(folder, "far"): func() bool {
			index, _ := os.ReadFile(filepath.Join(folder, "far", "index.json"))
			return bytes.Contains(index, []byte("app/0"))
		},
	}
	offsets := []int{0, 2000, size / 2, size - 5<<20, size - 1}
	for _, offset := range offsets {
		flip(t, path, offset)
		for to, arrived := range loads {
			o := unbundle(t, "load", b.dir, "--trust", b.trust, "--quiet", "--to", to)
			if o.code != cli.ExitRejected || !strings.Contains(o.stderr, "volume "+volume) {
				t.Errorf("byte %d, to %s: exit code %d: %s", offset, to, o.code, o.stderr)
			}
			if arrived() {
				t.Errorf("byte %d: the image is at %s", offset, to)
			}
		}
		flip(t, path, offset)
	}
	if n := registry.Count("PUT", "/manifests/"); n > 0 {
		t.Errorf("%d documents were put", n)
	}
	// What arrived before is of use to a load of the whole bundle.
	for to, arrived := range loads {
		o := unbundle(t, "load", b.dir, "--trust", b.trust, "--quiet", "--to", to)
		if o.code != cli.ExitDone || !arrived() {
			t.Errorf("to %s: exit code %d: %s", to, o.code, o.stderr)
		}
	}
	// A second load does not read the layer: it is refused nowhere.
	flip(t, path, size/2)
	for to := range loads {
		o := unbundle(t, "load", b.dir, "--trust", b.trust, "--quiet", "--to", to)
		if o.code != cli.ExitDone || !strings.Contains(o.stdout, ": 0 blobs read (0 B), ") {
			t.Errorf("again to %s: exit code %d: %s%s", to, o.code, o.stdout, o.stderr)
		}
	}
}

// tags returns the tags of the image of maker.bundle.
func tags(t *testing.T, host string) []string {
	t.Helper()
	reply, err := http.Get("http://" + host + "/v2/app/0/tags/list")
	must(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	must(t, err)
	if reply.StatusCode == http.StatusNotFound || bytes.Contains(text, []byte(`"tags":null`)) {
		return nil
	}
	return []string{string(text)}
}

func flip(t *testing.T, path string, offset int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	one := make([]byte, 1)
	_, err = f.ReadAt(one, int64(offset))
	must(t, err)
	one[0] ^= 0x10
	_, err = f.WriteAt(one, int64(offset))
	must(t, err)
}

// TestDamageAndEngines damages each file, and a bundle that flows, and loads
// it into Docker Engines: they have the images that they had.
func TestDamageAndEngines(t *testing.T) {
	m := newMaker(t)
	small, large := m.bundle(t, 300, 0), m.bundle(t, flowing, 0)
	for name, start := range map[string]func(testing.TB, ...realtest.EngineOption) *realtest.DockerDaemon{
		"classic": realtest.Docker, "containerd": realtest.DockerContainerd,
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			before := imageIDs(d)
			refuse := func(b signedBundle, file string, offset int) {
				flip(t, filepath.Join(b.dir, file), offset)
				defer flip(t, filepath.Join(b.dir, file), offset)
				o := unbundle(t, "load", b.dir, "--trust", b.trust, "--quiet", "--to", "docker", "--docker-host", d.Host)
				if o.code != cli.ExitRejected || !strings.Contains(o.stderr, named(file)) {
					t.Errorf("%s, byte %d: exit code %d: %s", file, offset, o.code, o.stderr)
				}
			}
			for _, file := range small.files(t) {
				refuse(small, file, len(small.read(t, file))/2)
			}
			volume := large.volumes(t)[0]
			for _, offset := range []int{0, flowing / 2, flowing} {
				refuse(large, volume, offset)
			}
			if after := imageIDs(d); !slices.Equal(before, after) {
				t.Errorf("the engine has the images %q, and had %q", after, before)
			}
		})
	}
}

func imageIDs(d *realtest.DockerDaemon) []string {
	all := strings.Fields(d.Run("image", "ls", "-aq", "--no-trunc"))
	slices.Sort(all)
	return all
}
