package dockertar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

// Names and limits of the older form.
const (
	manifestName = "manifest.json"
	maxManifest  = 4 << 20 // bytes
	maxImages    = 4096
	maxLayers    = 4096
	maxTags      = 4096
)

// listed is one image in manifest.json (docker/image-spec v1.2, "Combined
// Image JSON + Filesystem Changeset Format").
type listed struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// readList reads manifest.json: valid UTF-8, no key twice at any depth, keys
// in their exact case only, nothing behind the array. Other keys than listed's
// mean nothing.
func readList(fsys fs.FS) ([]listed, error) {
	raw, err := readFile(fsys, manifestName, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("not an archive of docker save: %w", err)
	}
	if err != nil {
		return nil, err
	}
	list, err := parseList(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return list, nil
}

func parseList(raw []byte) ([]listed, error) {
	if err := checkJSON(raw); err != nil {
		return nil, err
	}
	var objects []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &objects); err != nil {
		return nil, err
	}
	if len(objects) == 0 || len(objects) > maxImages {
		return nil, fmt.Errorf("%d images, want 1 to %d", len(objects), maxImages)
	}
	var list []listed
	for i, o := range objects {
		var one listed
		err := errors.Join(decode(o, "Config", &one.Config), decode(o, "RepoTags", &one.RepoTags), decode(o, "Layers", &one.Layers))
		switch {
		case err != nil:
		case one.Config == "":
			err = errors.New("no Config")
		case len(one.RepoTags) > maxTags || len(one.Layers) > maxLayers:
			err = fmt.Errorf("%d tags and %d layers, at most %d are allowed", len(one.RepoTags), len(one.Layers), maxLayers)
		}
		if err != nil {
			return nil, fmt.Errorf("image %d: %w", i+1, err)
		}
		list = append(list, one)
	}
	return list, nil
}

func decode(o map[string]json.RawMessage, key string, v any) error {
	raw, ok := o[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// checkJSON refuses what two JSON readers could read differently.
func checkJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var open []*container
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return errors.New("empty")
		}
		if err != nil {
			return err
		}
		if n := len(open); n > 0 {
			if err := open[n-1].take(token); err != nil {
				return err
			}
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open = append(open, newContainer(token == json.Delim('{')))
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			break
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes behind the JSON text")
	}
	return nil
}

// container is an object or array that is being read.
type container struct {
	keys  map[string]bool // of an object
	value bool            // the next token is a value, not a key
}

func newContainer(object bool) *container {
	if !object {
		return &container{}
	}
	return &container{keys: map[string]bool{}}
}

// take sees a token that is directly in the container, or that opens or ends
// something in it.
func (c *container) take(token json.Token) error {
	if c.keys == nil || token == json.Delim('}') {
		return nil
	}
	if c.value {
		c.value = false
		return nil
	}
	key, _ := token.(string)
	if c.keys[key] {
		return fmt.Errorf("key %q stands twice", key)
	}
	c.keys[key], c.value = true, true
	return nil
}

// readFile reads a whole regular file of at most limit bytes.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, size, err := openFile(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%w: %q has %d bytes, at most %d are allowed", ErrRejected, name, size, limit)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && !(errors.Is(err, io.EOF) && size == 0) {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	return data, nil
}
