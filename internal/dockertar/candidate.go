package dockertar

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"airlock/internal/layout"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// candidate is an image whose config is read and whose layers are not.
type candidate struct {
	listed
	raw    []byte // the config
	id     manifest.Digest
	config *oci.Config
}

// readCandidate reads an image's config. Where its file is named by a SHA-256,
// it must be that of its bytes.
func readCandidate(fsys fs.FS, one listed) (candidate, error) {
	raw, err := readFile(fsys, one.Config, oci.MaxConfig)
	if err != nil {
		return candidate{}, fmt.Errorf("config of %q: %w", one.RepoTags, err)
	}
	c := candidate{listed: one, raw: raw, id: manifest.DigestOf(raw)}
	stem := strings.TrimPrefix(strings.TrimSuffix(path.Base(one.Config), ".json"), "sha256:")
	if named, err := manifest.ParseHex(stem); err == nil && named != c.id {
		return candidate{}, fmt.Errorf("%w: config %q has the digest %s", ErrRejected, one.Config, c.id)
	}
	if c.config, err = oci.ParseConfig(raw); err != nil {
		return candidate{}, fmt.Errorf("%w: %q: %w", ErrRejected, one.Config, err)
	}
	if len(c.config.DiffIDs) != len(one.Layers) {
		return candidate{}, fmt.Errorf("%w: %q: %d layers and %d diff_ids", ErrRejected, one.Config, len(one.Layers), len(c.config.DiffIDs))
	}
	return c, nil
}

// withTag returns the candidates with a tag, as it stands there or, if there
// are none, as the full name that it means.
func withTag(all []candidate, name string) []candidate {
	exact := filter(all, func(c candidate) bool { return slices.Contains(c.RepoTags, name) })
	full, err := layout.FullName(name)
	if len(exact) > 0 || err != nil {
		return exact
	}
	return filter(all, func(c candidate) bool { return slices.Contains(c.names(), full) })
}

func withID(all []candidate, id manifest.Digest) []candidate {
	return filter(all, func(c candidate) bool { return c.id == id })
}

func filter(all []candidate, want func(candidate) bool) []candidate {
	var found []candidate
	for _, c := range all {
		if want(c) {
			found = append(found, c)
		}
	}
	return found
}

// names returns the full names of the candidate's tags, sorted.
func (c candidate) names() []string {
	var all []string
	for _, tag := range c.RepoTags {
		if full, err := layout.FullName(tag); err == nil {
			all = append(all, full)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// choices lists for people what an image may be asked for by.
func choices(of []candidate) string {
	const most = 20
	var all []string
	for _, c := range of {
		if len(c.RepoTags) == 0 {
			all = append(all, "@"+c.id.String())
		}
		for _, tag := range c.RepoTags {
			all = append(all, fmt.Sprintf("%q", tag))
		}
	}
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("… and %d more", len(all)-most))
	}
	return strings.Join(all, ", ")
}
