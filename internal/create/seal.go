package create

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"airlock/internal/manifest"
	"airlock/internal/volume"
)

// Stem returns how the volumes' names of a release begin. What a version may
// have and a file name may not becomes a hyphen.
func Stem(release, version string) string {
	return strings.ReplaceAll(release+"-"+version, "+", "-")
}

// seal writes what stands around the volumes: blocks.bin, manifest.json,
// README.txt, the signatures, with parity copy.tar and, last, SHA256SUMS. It returns the digest of
// SHA256SUMS.
func seal(sink Sink, m *manifest.Manifest, set *volume.Set, signatures []Signature) (manifest.Digest, error) {
	text, err := m.Marshal()
	if err != nil {
		return manifest.Digest{}, err
	}
	sums := set.Sums
	for _, file := range []struct {
		name string
		data []byte
	}{
		{manifest.BlocksName, set.Blocks},
		{manifest.ManifestName, text},
		{manifest.ReadmeName, readme(m)},
	} {
		sums[file.name] = manifest.DigestOf(file.data)
		if err := sink.Put(file.name, file.data); err != nil {
			return manifest.Digest{}, err
		}
	}
	message := sums.Marshal()
	kept := keeping{sink, map[string][]byte{
		manifest.BlocksName: set.Blocks, manifest.ManifestName: text, manifest.ReadmeName: readme(m), manifest.SumsName: message,
	}}
	for _, s := range signatures {
		if err := Sign(kept, message, s); err != nil {
			return manifest.Digest{}, err
		}
	}
	if m.Parity != nil {
		if err := sink.Put(manifest.CopyName, manifest.MarshalCopy(kept.files)); err != nil {
			return manifest.Digest{}, err
		}
	}
	return manifest.DigestOf(message), sink.Put(manifest.SumsName, message)
}

// keeping is a sink that remembers small files, for the second place where
// they stand.
type keeping struct {
	Sink
	files map[string][]byte
}

func (k keeping) Put(name string, data []byte) error {
	k.files[name] = data
	return k.Sink.Put(name, data)
}

// Sign writes a principal's signature over the bytes of SHA256SUMS.
func Sign(sink Sink, sums []byte, s Signature) error {
	name, err := manifest.SignatureName(s.Principal)
	if err != nil {
		return err
	}
	armored, err := s.Signer.Sign(manifest.Namespace, sums)
	if err != nil {
		return fmt.Errorf("signing for %s: %w", s.Principal, err)
	}
	return sink.Put(name, armored)
}

var readmeText = template.Must(template.New("README.txt").Parse(
	`This folder is an Airlock bundle: release {{.Release}}, version {{.Version}}, made {{.Created}}.
It carries these container images into an isolated network:
{{range .Images}}
  {{index .Names 0}}
    {{.Root.Digest}}{{end}}

To check it with stock tools (OpenSSH 8.1 or newer, GNU coreutils), in this folder,
NAME being a signer whose signature lies here as SHA256SUMS.NAME.sig, and
allowed_signers your own list of trusted keys (never one that came with the bundle):

  ssh-keygen -Y verify -f allowed_signers -I NAME -n {{.Format}} -s SHA256SUMS.NAME.sig < SHA256SUMS
  sha256sum --strict -c SHA256SUMS

To load it (--to takes docker, registry://HOST[/PREFIX] or oci:DIR):

  unbundle load . --trust allowed_signers --to docker
{{- if .Parity}}

If files were damaged on the way, parity can mend them:

  unbundle repair . --trust allowed_signers
{{- end}}
`))

// readme returns README.txt.
func readme(m *manifest.Manifest) []byte {
	var b bytes.Buffer
	if err := readmeText.Execute(&b, m); err != nil {
		panic("create: internal error: " + err.Error())
	}
	return b.Bytes()
}
