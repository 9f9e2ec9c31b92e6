//go:build linux

package realtest

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

const (
	sbomType  = "application/spdx+json"
	scanType  = "application/vnd.example.scan"
	cosignSig = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseType  = "application/vnd.dsse.envelope.v1+json"
)

// signed attaches to an index what cosign and OCI tools attach: a signature
// and a referrer to the index, an attestation and a referrer to its first
// child. The signature's bytes are no signature; nothing here checks them.
func (p *pusher) signed(name string) (*Image, error) {
	children, err := p.platforms(name)
	if err != nil {
		return nil, err
	}
	im, err := p.index(name, children, nil)
	if err != nil {
		return nil, err
	}
	child := children[0]
	for _, attach := range []func() error{
		func() error { return p.signature(im, name, im) },
		func() error { return p.attestation(im, name, child) },
		func() error { return p.referrer(im, name, im, sbomType) },
		func() error { return p.referrer(im, name, child, scanType) },
	} {
		if err := attach(); err != nil {
			return nil, err
		}
	}
	return im, nil
}

// cosignTag is where cosign looks for what it made for the subject.
func cosignTag(subject *Image, suffix string) string { return "sha256-" + subject.hex() + suffix }

// signature attaches what "cosign sign" does.
func (p *pusher) signature(im *Image, name string, subject *Image) error {
	payload, err := json.Marshal(map[string]any{"critical": map[string]any{
		"identity": map[string]string{"docker-reference": "corpus/" + name},
		"image":    map[string]string{"docker-manifest-digest": subject.Digest},
		"type":     "cosign container image signature",
	}, "optional": nil})
	if err != nil {
		return err
	}
	return p.cosign(im, "signature", subject, artifact{
		layerType: cosignSig,
		layer:     payload,
		note:      map[string]string{"dev.cosignproject.cosign/signature": encode("not a signature")},
	})
}

// attestation attaches what "cosign attest" does.
func (p *pusher) attestation(im *Image, name string, subject *Image) error {
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": "https://spdx.dev/Document",
		"predicate":     map[string]string{"name": name},
		"subject":       []any{map[string]any{"name": "corpus/" + name, "digest": map[string]string{"sha256": subject.hex()}}},
	})
	if err != nil {
		return err
	}
	envelope, err := json.Marshal(map[string]any{
		"payloadType": "application/vnd.in-toto+json",
		"payload":     encode(string(statement)),
		"signatures":  []any{map[string]string{"keyid": "", "sig": encode("not a signature")}},
	})
	if err != nil {
		return err
	}
	return p.cosign(im, "attestation", subject, artifact{
		layerType: dsseType,
		layer:     envelope,
		note:      map[string]string{"dev.cosignproject.cosign/signature": "", "predicateType": "https://spdx.dev/Document"},
	})
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// cosign pushes an artifact and tags it where cosign looks for that kind.
func (p *pusher) cosign(im *Image, kind string, subject *Image, a artifact) error {
	a.config = ociConfig
	a.configBody = []byte(`{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}],"os":"","rootfs":{"type":"layers","diff_ids":["` + digest(a.layer) + `"]},"config":{}}`)
	made, err := p.artifact(strings.TrimPrefix(im.Repo, p.corpus.Registry+"/corpus/"), a)
	if err != nil {
		return err
	}
	tag := cosignTag(subject, map[string]string{"signature": ".sig", "attestation": ".att"}[kind])
	im.Extras = append(im.Extras, Extra{Kind: kind, Tag: tag, Digest: made.Digest, Subject: subject.Digest})
	return p.tag(made, tag)
}

// referrer attaches a document by its subject field. The registry has no
// referrers API, so the index of referrers lies at the subject's tag (OCI
// distribution-spec 1.1, "referrers tag schema").
func (p *pusher) referrer(im *Image, name string, subject *Image, kind string) error {
	made, err := p.artifact(name, artifact{
		kind: kind, config: emptyType, configBody: emptyJSON,
		layerType: kind, layer: []byte(`{"about":"` + subject.Digest + `"}`), subject: subject,
	})
	if err != nil {
		return err
	}
	d := made.descriptor()
	d.ArtifactType = kind
	list := &Image{}
	err = p.manifest(list, name, manifest{SchemaVersion: 2, MediaType: ociIndex, Manifests: []descriptor{d}})
	if err != nil {
		return err
	}
	tag := cosignTag(subject, "")
	im.Extras = append(im.Extras, Extra{
		Kind: "referrer", Tag: tag, Digest: made.Digest, Subject: subject.Digest, ArtifactType: kind,
	})
	return p.tag(list, tag)
}
