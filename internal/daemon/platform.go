package daemon

import (
	"fmt"
	"strings"

	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// variantOf returns the variant of a machine as uname -m calls it. For amd64
// it is unknown.
func variantOf(machine string) string {
	switch {
	case machine == "aarch64" || strings.HasPrefix(machine, "armv8"):
		return "v8"
	case strings.HasPrefix(machine, "armv7"):
		return "v7"
	case strings.HasPrefix(machine, "armv6"):
		return "v6"
	case strings.HasPrefix(machine, "armv5"):
		return "v5"
	}
	return ""
}

// picked is the image manifest of one platform.
type picked struct {
	node   oci.Node
	config *oci.Config
	raw    []byte // of the config
}

// pick returns the manifest of image that fits the platform best. A root that
// is a manifest is taken for whatever machine, as docker load takes it.
func pick(image *load.Image, want oci.Platform, b blobs) (*picked, error) {
	nodes := nodesOf(image)
	root := nodes[image.Root.Digest]
	if !root.Doc.IsIndex() {
		return openManifest(root, b)
	}
	var best *picked
	var offers []string
	for _, node := range below(nodes, image.Root.Digest) {
		if node.Doc.IsIndex() || !isImage(node) {
			continue
		}
		p, err := openManifest(node, b)
		if err != nil {
			return nil, err
		}
		offers = append(offers, p.config.Platform.String())
		if rank(p.config.Platform, want) > 0 && (best == nil || rank(p.config.Platform, want) > rank(best.config.Platform, want)) {
			best = p
		}
	}
	if best == nil {
		return nil, fmt.Errorf("image %q: no image for %s in it, only for %s", image.Names[0], want, strings.Join(offers, ", "))
	}
	return best, nil
}

// rank says how well an image for has fits a machine: 0 is not at all. A
// variant above the machine's is not run; of those below the highest is best.
// What an amd64 machine can do is not known, so the lowest is best there.
func rank(has, want oci.Platform) int {
	if has.OS != want.OS || has.Architecture != want.Architecture {
		return 0
	}
	level := 0
	if _, err := fmt.Sscanf(has.Variant, "v%d", &level); err != nil && has.Variant != "" {
		return 1
	}
	most := 0
	fmt.Sscanf(want.Variant, "v%d", &most) // "" leaves 0
	switch {
	case has.Architecture == "amd64":
		return 100 - level
	case most > 0 && level > most:
		return 0
	case level == 0:
		return 2 + most // any variant
	}
	return 2 + level
}

// isImage reports whether node is a container image: not an attestation, not
// an artifact.
func isImage(node oci.Node) bool {
	unknown := node.Platform != nil && node.Platform.OS == "unknown"
	config := node.Doc.Config
	return !unknown && config != nil && (config.MediaType == oci.TypeConfig || config.MediaType == oci.TypeDockerConfig)
}

// openManifest reads the config of an image manifest.
func openManifest(node oci.Node, b blobs) (*picked, error) {
	if !isImage(node) {
		return nil, fmt.Errorf("manifest %s is not a container image: its config is %q", node.Digest, node.Doc.Config.MediaType)
	}
	raw, err := b.Read(*node.Doc.Config)
	if err != nil {
		return nil, fmt.Errorf("config of %s: %w", node.Digest, err)
	}
	config, err := oci.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", node.Digest, ErrRejected, err)
	}
	if len(config.DiffIDs) != len(node.Doc.Layers) {
		return nil, fmt.Errorf("%s: %w: %d layers and %d diff_ids", node.Digest, ErrRejected, len(node.Doc.Layers), len(config.DiffIDs))
	}
	return &picked{node: node, config: config, raw: raw}, nil
}

// nodesOf returns the documents of an image by digest.
func nodesOf(image *load.Image) map[manifest.Digest]oci.Node {
	nodes := map[manifest.Digest]oci.Node{}
	for _, node := range image.Nodes {
		nodes[node.Digest] = node
	}
	return nodes
}

// below returns the document root and all that it points to, each once, in the
// order in which they are listed.
func below(nodes map[manifest.Digest]oci.Node, root manifest.Digest) []oci.Node {
	var all []oci.Node
	seen := map[manifest.Digest]bool{}
	var visit func(manifest.Digest)
	visit = func(d manifest.Digest) {
		node, ok := nodes[d]
		if !ok || seen[d] {
			return
		}
		seen[d] = true
		all = append(all, node)
		for _, child := range node.Children() {
			visit(child.Digest)
		}
	}
	visit(root)
	return all
}
