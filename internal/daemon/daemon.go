// Package daemon knows the images in a Docker Engine: it loads a release into
// one so that image IDs and digests hold, and saves an image out of one.
//
// An Engine keeps images in one of two ways. The classic store knows an image
// by the digest of its config, keeps the platform it runs on, and forgets
// manifests, indexes and signatures. The containerd store knows an image by
// the digest of its index or manifest and keeps all that it points to. Either
// way the bytes that are sent make one tar an image, built here from proven
// blobs; nothing foreign is passed on, since an Engine may report success for
// a wrong layer, moves tags silently, and loads half of a cut archive.
//
// Rules of loading:
//
//   - No image is sent with a name. Names are set when all images have arrived
//     and were asked for, by ID; until then no name has moved.
//   - The document that makes an image of what was sent (manifest.json,
//     index.json) is the last file of its tar, behind bytes that are proven.
//   - For the classic store each layer is sent as the tar that its diffID
//     names. The last byte of a layer leaves only if all have this SHA-256.
//   - What the Engine has is neither read from the bundle nor sent.
//   - An answer of success is not believed: Check asks for every image, its
//     layers and its names.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"airlock/internal/load"
	"airlock/internal/oci"
	"airlock/internal/progress"
)

// ErrRejected is wrapped where an image is not what its documents say.
var ErrRejected = errors.New("rejected")

// driverType and containerdStore are how an Engine with a containerd store
// shows itself in the status of its storage driver.
const (
	driverType      = "driver-type"
	containerdStore = "io.containerd.snapshotter.v1"
)

// The API versions that brought what is used if it is there.
const (
	apiManifests = "1.48" // of each image: which of its manifests are complete
	apiReferrers = "1.56" // load keeps what refers to an image, without making an image of it
)

// parallel is how many images are sent at a time. While the Engine registers
// the layers of one, the next is inflated and sent.
const parallel = 3

// Engine is a Docker Engine that answered. It implements load.Destination.
type Engine struct {
	api      *client.Client
	host     string
	version  string // of the Engine, for people
	platform oci.Platform
	store    store
	parallel int // images that are sent at a time
}

// store is how an Engine keeps images.
type store interface {
	// plan says what is to be sent.
	plan(ctx context.Context, r *release) (*load.Plan, error)
	// jobs returns the images to send, each after those that carry what it needs.
	jobs(ctx context.Context, r *release, p *load.Plan) ([]*job, error)
	// name sets a name.
	name(ctx context.Context, r *release, n load.Name) error
	// check asks for the images of a release.
	check(ctx context.Context, r *release) error
}

// blobs is what is read of a release. *load.Release has it.
type blobs interface {
	Read(d oci.Descriptor) ([]byte, error)
	Open(d oci.Descriptor) (io.ReadCloser, error)
	ReadAt(d oci.Descriptor, p []byte, off int64) (int, error)
	// OpenContent returns what a gzip layer decompresses to, where it is packed
	// as that and need not be compressed and inflated again.
	OpenContent(d oci.Descriptor) (content io.ReadCloser, size int64, ok bool)
}

// release is what is loaded.
type release struct {
	images []load.Image
	blobs
}

func newRelease(r *load.Release) *release { return &release{images: r.Images, blobs: r} }

// Open finds the Engine and asks it what it is. The host is unix://PATH or
// tcp://HOST:PORT; empty, it is that of DOCKER_HOST or of the docker command's
// context, if that is on this machine, or the usual socket.
func Open(ctx context.Context, host string) (*Engine, error) {
	place, err := findHost(host, surroundings{})
	if err != nil {
		return nil, err
	}
	api, err := connect(place)
	if err != nil {
		return nil, fmt.Errorf("docker engine %q: %w", place, err)
	}
	e := &Engine{api: api, host: place, parallel: parallel}
	if err := e.ask(ctx); err != nil {
		api.Close()
		return nil, fmt.Errorf("docker engine %q: %w", place, err)
	}
	return e, nil
}

// ask learns the Engine's version, store and platform.
func (e *Engine) ask(ctx context.Context) error {
	if _, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return err
	}
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return err
	}
	info, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err
	}
	e.version = version.Version
	e.platform = oci.Platform{OS: version.Os, Architecture: version.Arch, Variant: variantOf(info.Info.Architecture)}
	e.store = &classic{e}
	if slices.Contains(info.Info.DriverStatus, [2]string{driverType, containerdStore}) {
		e.store = &containerd{e}
	}
	return nil
}

// Close ends the connections.
func (e *Engine) Close() error { return e.api.Close() }

// String describes the Engine for people.
func (e *Engine) String() string {
	kind := "classic"
	if _, ok := e.store.(*containerd); ok {
		kind = "containerd"
	}
	return fmt.Sprintf("docker engine %s, %s, %s image store, at %s", e.version, e.platform, kind, e.host)
}

// since reports whether the API in use is at least of that version.
func (e *Engine) since(version string) bool {
	return versions.GreaterThanOrEqualTo(e.api.ClientVersion(), version)
}

// Plan asks the Engine which of the images, layers and names it has.
func (e *Engine) Plan(ctx context.Context, r *load.Release) (*load.Plan, error) {
	return e.plan(ctx, newRelease(r))
}

// Load sends what p lists, asks for what arrived, then sets the names.
func (e *Engine) Load(ctx context.Context, r *load.Release, p *load.Plan, show progress.Sink) error {
	return e.load(ctx, newRelease(r), p, show)
}

// Check asks for every image, its layers and its names, and compares.
func (e *Engine) Check(ctx context.Context, r *load.Release, p *load.Plan) error {
	return e.check(ctx, newRelease(r), p)
}
