package oci_test

import (
	"encoding/json"
	"errors"
	"testing"

	"airlock/internal/oci"
)

var fuzzTypes = []string{oci.TypeIndex, oci.TypeManifest, oci.TypeDockerList, oci.TypeDockerManifest, "text/plain", ""}

// FuzzParse holds that no document is two things: what parses as an index has
// no layers and no config and does not parse as a manifest, and the other way
// round; and that encoding/json, as other programs use it, reads the same.
func FuzzParse(f *testing.F) {
	cases := documents()
	if len(cases) == 0 {
		f.Fatal("no seeds")
	}
	for _, c := range cases {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		kinds := map[bool]int{}
		for _, mediaType := range fuzzTypes {
			doc, err := oci.Parse(raw, mediaType)
			if err != nil {
				if !errors.Is(err, oci.ErrMalformed) {
					t.Errorf("%v is not ErrMalformed", err)
				}
				continue
			}
			kinds[doc.IsIndex()]++
			checkDocument(t, raw, doc)
		}
		if kinds[true] > 0 && kinds[false] > 0 {
			t.Errorf("%q is an index and a manifest", raw)
		}
	})
}

func checkDocument(t *testing.T, raw []byte, doc *oci.Document) {
	t.Helper()
	if doc.IsIndex() != (doc.Config == nil) || (doc.IsIndex() && doc.Layers != nil) || (!doc.IsIndex() && doc.Manifests != nil) {
		t.Errorf("%q parses to %+v", raw, doc)
	}
	var plain struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Errorf("%q parses, but not for encoding/json: %v", raw, err)
	}
	all := append(doc.Manifests, doc.Layers...)
	if doc.Config != nil {
		all = append(all, *doc.Config)
	}
	for _, d := range all {
		if d.Size < 0 || d.Digest.IsZero() || d.MediaType == "" || (d.IsDocument() && d.Size > oci.MaxDocument) {
			t.Errorf("%q has descriptor %+v", raw, d)
		}
	}
}

// FuzzParseConfig holds that a config parses or is malformed, and that its
// digests are digests.
func FuzzParseConfig(f *testing.F) {
	seeds := []string{
		`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:818089205a599837de29f6a01396ff6cf8d2da42202ecd9084bf5e15637a33b4"]}}`,
		`{"rootfs":{}}`, `{"rootfs":null}`, `{"rootfs":[]}`, `{}`, `null`, `[]`, ``, "\ufeff{}", `{"rootfs":{"diff_ids":["sha256:0"]}}`, `{"rootfs":{"diff_ids":[""]}}`,
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := oci.ParseConfig(raw)
		if err != nil {
			if !errors.Is(err, oci.ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			return
		}
		for _, d := range c.DiffIDs {
			if d.IsZero() {
				t.Errorf("%q has a diff_id that is zero", raw)
			}
		}
	})
}
