package release

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"airlock/internal/manifest"
)

// Transport is the kind of place an image comes from, in skopeo's spelling.
type Transport string

// The transports. An image without one is in a registry.
const (
	Registry      Transport = "docker"
	DockerDaemon  Transport = "docker-daemon"
	DockerArchive Transport = "docker-archive"
	OCILayout     Transport = "oci"
	OCIArchive    Transport = "oci-archive"
)

// Ref says where an image is, and perhaps which one it must be.
type Ref struct {
	Transport Transport
	Path      string          // of the file or folder; empty for a registry and a daemon
	Name      string          // image name; of a file's or folder's image perhaps empty
	Digest    manifest.Digest // zero: not pinned
}

// ParseRef reads an image as skopeo and Docker spell it, perhaps with a digest:
//
//	host/path:tag   docker://host/path:tag   host/path@sha256:…
//	docker-daemon:name:tag
//	oci:DIR[:name]   oci-archive:FILE[:name]   docker-archive:FILE[:name]
func ParseRef(s string) (Ref, error) {
	r, err := parseRef(s)
	if err != nil {
		return Ref{}, fmt.Errorf("image %q: %w", s, err)
	}
	return r, nil
}

func parseRef(s string) (Ref, error) {
	rest, r := s, Ref{Transport: Registry}
	if before, pin, ok := strings.Cut(s, "@"); ok {
		digest, err := manifest.ParseDigest(pin)
		if err != nil {
			return Ref{}, err
		}
		rest, r.Digest = before, digest
	}
	if name, ok := strings.CutPrefix(rest, "docker://"); ok {
		r.Name = name
		return r, checkName(name)
	}
	transport, inner, _ := strings.Cut(rest, ":")
	switch Transport(transport) {
	case DockerDaemon:
		r.Transport, r.Name = DockerDaemon, inner
		return r, checkName(inner)
	case DockerArchive, OCILayout, OCIArchive:
		r.Transport = Transport(transport)
		r.Path, r.Name, _ = strings.Cut(inner, ":")
		if r.Path == "" {
			return Ref{}, fmt.Errorf("%s: needs a path, as in %s:PATH", transport, transport)
		}
		return r, nil
	}
	r.Name = rest
	return r, checkName(rest)
}

func checkName(name string) error {
	_, err := FullName(name)
	return err
}

// String returns the spelling that ParseRef reads.
func (r Ref) String() string {
	s := r.Name
	switch r.Transport {
	case Registry:
		switch first, _, _ := strings.Cut(s, ":"); Transport(first) {
		case DockerDaemon, DockerArchive, OCILayout, OCIArchive: // a repository that is called so
			s = "docker://" + s
		}
	case DockerDaemon:
		s = string(DockerDaemon) + ":" + r.Name
	default:
		s = string(r.Transport) + ":" + r.Path
		if r.Name != "" {
			s += ":" + r.Name
		}
	}
	if !r.Digest.IsZero() {
		s += "@" + r.Digest.String()
	}
	return s
}

// FullName returns an image name with its registry, as in
// docker.io/library/nginx:1.25; a name without a tag keeps none. Docker's own
// library reads it, so that names mean what they mean to Docker.
func FullName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", err
	}
	if _, ok := named.(reference.Digested); ok {
		return "", fmt.Errorf("%q has a digest where only a name is wanted", name)
	}
	return named.String(), nil
}

// ErrUnnamed is wrapped where an image has to be given a name.
var ErrUnnamed = errors.New("has no full name of its own")

// DefaultName is what the image is called at the far side if the release file
// does not say: the name it has where it comes from. A registry's image without
// tag or digest is "latest", as everywhere.
func (r Ref) DefaultName() (string, error) {
	inLayout := r.Transport == OCILayout || r.Transport == OCIArchive
	if r.Name == "" || (inLayout && !strings.Contains(r.Name, "/")) {
		return "", fmt.Errorf("image %q: %w; give it one with names", r, ErrUnnamed)
	}
	full, err := FullName(r.Name)
	if err != nil {
		return "", fmt.Errorf("image %q: its name cannot be kept (%w); give it one with names", r, err)
	}
	if !strings.Contains(full[strings.LastIndex(full, "/"):], ":") && r.Digest.IsZero() {
		full += ":latest"
	}
	return full, nil
}
