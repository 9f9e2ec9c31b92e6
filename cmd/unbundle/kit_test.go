//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airlock/internal/bundletest"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/manifest"
	"airlock/internal/trust"
)

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

// unbundle runs the command in this process.
func unbundle(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now}
	code := cli.Run(t.Context(), env, commands.Classes(), root(env))
	return outcome{code, stdout.String(), stderr.String()}
}

// signedBundle is a bundle in a folder, and the list of who is trusted.
type signedBundle struct{ dir, trust string }

// files returns the names of the bundle's files.
func (b signedBundle) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) < 6 {
		t.Fatalf("the bundle has the files %q", names)
	}
	return names
}

func (b signedBundle) volumes(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(b.files(t), func(name string) bool { return !strings.HasSuffix(name, ".vol") })
}

func (b signedBundle) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	must(t, err)
	return data
}

func (b signedBundle) write(t *testing.T, name string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(b.dir, name), data, 0o644))
}

// maker makes bundles that one key signs.
type maker struct {
	kit   *bundletest.Kit
	trust string
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	kit := bundletest.NewKit(t)
	line, err := trust.AllowedSignersLine(bundletest.Principal, manifest.Namespace, kit.Key.PublicKey())
	must(t, err)
	path := filepath.Join(t.TempDir(), "allowed_signers")
	must(t, os.WriteFile(path, []byte(line), 0o644))
	return &maker{kit, path}
}

// bundle makes a bundle of one image with a layer of so many random bytes.
func (m *maker) bundle(t *testing.T, layer int, volumeSize int64) signedBundle {
	t.Helper()
	content := make([]byte, layer)
	rand.Read(content)
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(content, types.OCIUncompressedLayer)})
	must(t, err)
	image = mutate.MediaType(image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, linux(t, image))
	must(t, err)
	dir := t.TempDir()
	for name, file := range m.kit.Bundle(t, bundletest.Release(bundletest.FromImage(t, image)), volumeSize).MapFS {
		must(t, os.WriteFile(filepath.Join(dir, name), file.Data, 0o644))
	}
	return signedBundle{dir, m.trust}
}

func linux(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := image.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	return config
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
