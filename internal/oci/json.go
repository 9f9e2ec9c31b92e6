package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// object is a JSON object whose keys are known to be unique. Keys are looked
// up by their exact spelling, which encoding/json's struct decoding does not
// do: it takes "Digest" for "digest", and the last of two equal keys.
type object map[string]json.RawMessage

// parseObject reads exactly one JSON object: valid UTF-8, no key twice,
// nothing behind it.
func parseObject(raw []byte) (object, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	o := object{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := tok.(string)
		if _, dup := o[key]; dup {
			return nil, fmt.Errorf("key %q stands twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		o[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("bytes behind the JSON object")
	}
	return o, nil
}

// has reports whether key is there and not null.
func (o object) has(key string) bool {
	v, ok := o[key]
	return ok && string(v) != "null"
}

// decode stores key's value in v; an absent or null key leaves v alone.
func (o object) decode(key string, v any) error {
	if !o.has(key) {
		return nil
	}
	if err := json.Unmarshal(o[key], v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// list returns the elements of the array under key, at most limit of them.
func (o object) list(key string, limit int) ([]json.RawMessage, error) {
	if !o.has(key) {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(o[key]))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return nil, fmt.Errorf("%s: not an array", key)
	}
	var all []json.RawMessage
	for dec.More() {
		if len(all) == limit {
			return nil, fmt.Errorf("%s: more than %d entries", key, limit)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all = append(all, value)
	}
	return all, nil
}
