package load

import (
	"context"

	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// Plan is what loading a release into a destination will do.
type Plan struct {
	Reads   []oci.Descriptor // blobs that the destination lacks: read from the bundle, each once
	Present []oci.Descriptor // blobs that it has: not read
	Names   []Name           // what the destination will call the images
	Notes   []string         // what the destination cannot take, for people
}

// Name is a name at the destination, in its own spelling.
type Name struct {
	Name string
	Old  manifest.Digest // what it stands for now; zero: nothing
	New  manifest.Digest // what it will stand for
}

// Moves reports whether the name stands for another image now.
func (n Name) Moves() bool { return !n.Old.IsZero() && n.Old != n.New }

// Destination is a place that takes releases: a registry, a Docker Engine, an
// OCI layout.
type Destination interface {
	// Plan asks the destination what it has. It changes nothing.
	Plan(ctx context.Context, r *Release) (*Plan, error)
	// Load does what p says: blobs, then documents by digest, then names.
	// When it fails, no name has moved, unless the error is a
	// *PartlyNamedError, and a second Load goes on from what arrived.
	Load(ctx context.Context, r *Release, p *Plan, show progress.Sink) error
	// Check asks the destination for what it has now and compares digests.
	Check(ctx context.Context, r *Release, p *Plan) error
}
