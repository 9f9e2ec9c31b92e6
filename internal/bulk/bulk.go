// Package bulk writes an OCI image layout with one image of layers that do not
// compress, for tests and measurements.
package bulk

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Name is what the image is called.
const Name = "bulk.example/shop/bulk:1"

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`

	Annotations map[string]string `json:"annotations,omitempty"`
}

// Write writes to dir a layout with one image, whose layers have these sizes
// in bytes, and returns the image's digest. The same seed gives the same image.
func Write(dir string, seed uint64, layers ...int64) (digest string, err error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return "", err
	}
	const vendor = "application/vnd.oci.image."
	var parts []descriptor
	var ids []string
	for i, size := range layers {
		d, err := writeBlob(dir, io.LimitReader(rand.NewChaCha8(seedOf(seed, i)), size))
		if err != nil {
			return "", err
		}
		d.MediaType = vendor + "layer.v1.tar"
		parts, ids = append(parts, d), append(ids, d.Digest)
	}
	config, err := writeJSON(dir, map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	if err != nil {
		return "", err
	}
	config.MediaType = vendor + "config.v1+json"
	manifest, err := writeJSON(dir, map[string]any{
		"schemaVersion": 2, "mediaType": vendor + "manifest.v1+json", "config": config, "layers": parts,
	})
	if err != nil {
		return "", err
	}
	manifest.MediaType = vendor + "manifest.v1+json"
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": Name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	return manifest.Digest, errors.Join(err,
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func seedOf(seed uint64, layer int) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, layer))
}

func writeJSON(dir string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	name := sha256.Sum256(text)
	d := descriptor{Digest: "sha256:" + hex.EncodeToString(name[:]), Size: int64(len(text))}
	return d, os.WriteFile(filepath.Join(dir, "blobs", "sha256", hex.EncodeToString(name[:])), text, 0o644)
}

// writeBlob writes a blob under the name of its digest.
func writeBlob(dir string, from io.Reader) (descriptor, error) {
	f, err := os.CreateTemp(filepath.Join(dir, "blobs"), "new-*")
	if err != nil {
		return descriptor{}, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), from)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return descriptor{}, err
	}
	name := hex.EncodeToString(h.Sum(nil))
	return descriptor{Digest: "sha256:" + name, Size: n}, os.Rename(f.Name(), filepath.Join(dir, "blobs", "sha256", name))
}
