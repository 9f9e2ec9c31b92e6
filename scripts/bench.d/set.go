//go:build linux

package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A set is images in a registry's storage that is kept between runs.
type set struct {
	Images []image `json:"images"`

	dir      string
	registry *registry
}

// An image is one of a set, and its blobs.
type image struct {
	Name string `json:"name"` // repository:tag
	Tool string `json:"tool"` // that pushed it
	What string `json:"what"` // it holds
	// Blobs are the layers, then the config and the manifest.
	Blobs []blob `json:"blobs"`
}

type blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Raw    int64  `json:"raw"` // uncompressed
	Layer  bool   `json:"layer"`
}

func (s *set) storage() string { return filepath.Join(s.dir, "storage") }

func (s *set) ref(im image) string { return s.registry.addr + "/" + im.Name }

// unique returns each blob of the images once.
func unique(images []image) map[string]blob {
	all := map[string]blob{}
	for _, im := range images {
		for _, b := range im.Blobs {
			all[b.Digest] = b
		}
	}
	return all
}

// weigh returns the bytes of the blobs, and of the layers among them before
// compression.
func weigh(blobs map[string]blob) (size, raw int64) {
	for _, b := range blobs {
		size += b.Size
		raw += b.Raw
	}
	return size, raw
}

// without returns the blobs that are not among the others.
func without(blobs, others map[string]blob) map[string]blob {
	left := map[string]blob{}
	for digest, b := range blobs {
		if _, ok := others[digest]; !ok {
			left[digest] = b
		}
	}
	return left
}

// tagged returns the images with this tag.
func (s *set) tagged(tag string) []image {
	return slices.DeleteFunc(slices.Clone(s.Images), func(im image) bool { return !strings.HasSuffix(im.Name, ":"+tag) })
}

// open starts a registry with the set of this name, which script makes if the
// cache has none. The name says all that the set depends on but the machine.
func (b *bench) open(ctx context.Context, name, script string, env ...string) (*set, error) {
	s := &set{dir: filepath.Join(b.cache, name)}
	text, err := os.ReadFile(filepath.Join(s.dir, "set.json"))
	if errors.Is(err, os.ErrNotExist) {
		if err := b.makeSet(ctx, s, script, env); err != nil {
			return nil, fmt.Errorf("making the images %q: %w", name, err)
		}
		text, err = os.ReadFile(filepath.Join(s.dir, "set.json"))
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("reading %q of the cache: %w", name, err)
	}
	s.registry, err = startRegistry(ctx, b.path("source-"+name), s.storage())
	if err != nil {
		return nil, err
	}
	b.atEnd(func() error { s.registry.end(); return nil })
	return s, nil
}

func (b *bench) makeSet(ctx context.Context, s *set, script string, env []string) (err error) {
	b.say("making images with %s; they are kept in %s", script, s.dir)
	partial := &set{dir: s.dir + ".partial"}
	work := b.path("making")
	if err := errors.Join(os.RemoveAll(partial.dir), os.MkdirAll(partial.dir, 0o755), os.MkdirAll(work, 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeWithMounts(work)) }()
	partial.registry, err = startRegistry(ctx, b.path("making-registry"), partial.storage())
	if err != nil {
		return err
	}
	defer partial.registry.end()
	e, err := startEngine(ctx, classic, b.tools, b.path("e"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.end()) }()
	list := filepath.Join(partial.dir, "list")
	c := command{args: []string{filepath.Join(b.scripts, script)}, out: filepath.Join(partial.dir, "log"), env: append(e.env(),
		"REGISTRY="+partial.registry.addr, "WORK="+work, "LIST="+list, "CRANE="+b.tool("crane"), "CACHE="+b.cache)}
	c.env = append(c.env, env...)
	if err := new(meter).run(ctx, c); err != nil {
		return err
	}
	if err := partial.describe(ctx, list); err != nil {
		return err
	}
	return os.Rename(partial.dir, s.dir)
}

// describe writes set.json.
func (s *set) describe(ctx context.Context, list string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	raw := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			return fmt.Errorf("the list of images has the line %q", line)
		}
		im := image{Name: fields[0], Tool: fields[1], What: fields[2]}
		if im.Blobs, err = s.blobs(ctx, im.Name, raw); err != nil {
			return fmt.Errorf("%s: %w", im.Name, err)
		}
		s.Images = append(s.Images, im)
	}
	if len(s.Images) == 0 {
		return errors.New("the list of images is empty")
	}
	text, err = json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "set.json"), text, 0o644)
}

// accepted are the media types of an image's manifest.
const accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

// blobs asks the registry for an image. The uncompressed sizes of layers that
// it finds are kept in raw.
func (s *set) blobs(ctx context.Context, name string, raw map[string]int64) ([]blob, error) {
	url := "http://" + s.registry.addr + "/v2/"
	reply, err := get(ctx, url+manifestPath(name))
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, err
	}
	var m struct {
		Config blob
		Layers []blob
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	repository, _, _ := strings.Cut(name, ":")
	for i := range m.Layers {
		l := &m.Layers[i]
		if _, known := raw[l.Digest]; !known {
			if raw[l.Digest], err = uncompressed(ctx, url+repository+"/blobs/"+l.Digest); err != nil {
				return nil, err
			}
		}
		l.Layer, l.Raw = true, raw[l.Digest]
	}
	root := blob{Digest: reply.Header.Get("Docker-Content-Digest"), Size: int64(len(text))}
	return append(m.Layers, m.Config, root), nil
}

// manifestPath is where a registry has the manifest of "repository:tag".
func manifestPath(name string) string {
	repository, tag, _ := strings.Cut(name, ":")
	return repository + "/manifests/" + tag
}

func get(ctx context.Context, url string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", accepted)
	reply, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		reply.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", url, reply.Status)
	}
	return reply, nil
}

func uncompressed(ctx context.Context, url string) (int64, error) {
	reply, err := get(ctx, url)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	z, err := gzip.NewReader(reply.Body)
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, z)
}
