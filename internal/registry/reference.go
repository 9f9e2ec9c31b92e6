package registry

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"airlock/internal/manifest"
)

const (
	dockerHost    = "docker.io"
	dockerIndex   = "index.docker.io" // Docker Hub's older name, and go-containerregistry's
	dockerLibrary = "library/"
	defaultTag    = "latest"
	maxPath       = 255 // characters (distribution-spec, "Pulling manifests")
)

// The grammar of distribution-spec 1.1, "Pulling manifests". Stricter than
// go-containerregistry's, which lets "..", "//" and a leading dot pass.
var (
	hostForm = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	pathForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// reference is an image's name taken apart.
type reference struct {
	host   string // docker.io for Docker Hub
	path   string // with library/ where Docker leaves it out
	tag    string // empty: none
	digest manifest.Digest
}

// parseReference reads host/path:tag, host/path@sha256:…, both, or neither.
// Without a host it means Docker Hub, as with Docker.
func parseReference(s string) (reference, error) {
	ref, err := splitReference(s)
	if err != nil {
		return reference{}, fmt.Errorf("image %q: %w", s, err)
	}
	return ref, nil
}

func splitReference(s string) (reference, error) {
	var ref reference
	rest, digest, pinned := strings.Cut(s, "@")
	if pinned {
		var err error
		if ref.digest, err = manifest.ParseDigest(digest); err != nil {
			return reference{}, err
		}
	}
	if colon := strings.LastIndex(rest, ":"); colon > strings.LastIndex(rest, "/") {
		rest, ref.tag = rest[:colon], rest[colon+1:]
		if !tagForm.MatchString(ref.tag) {
			return reference{}, fmt.Errorf("tag %q: want at most 128 letters, digits, dots, underscores and hyphens", ref.tag)
		}
	}
	ref.host, ref.path = dockerHost, rest
	if first, more, found := strings.Cut(rest, "/"); found && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		ref.host, ref.path = first, more
	}
	if ref.host == dockerIndex {
		ref.host = dockerHost
	}
	if ref.host == dockerHost && !strings.Contains(ref.path, "/") {
		ref.path = dockerLibrary + ref.path
	}
	return ref, ref.check()
}

func (ref reference) check() error {
	if !hostForm.MatchString(ref.host) {
		return fmt.Errorf("%q is not a registry host", ref.host)
	}
	if err := checkPath(ref.path); err != nil {
		return err
	}
	return nil
}

func checkPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("a path of %d characters, at most %d are allowed", len(path), maxPath)
	}
	if !pathForm.MatchString(path) {
		return errors.New("want HOST/PATH:TAG or HOST/PATH@sha256:… with a path in lower case")
	}
	return nil
}

// name returns host/path:tag, or host/path where there is no tag.
func (ref reference) name() string {
	if ref.tag == "" {
		return ref.host + "/" + ref.path
	}
	return ref.host + "/" + ref.path + ":" + ref.tag
}
