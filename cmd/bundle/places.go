package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/daemon"
	"airlock/internal/dockertar"
	"airlock/internal/layout"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/registry"
	"airlock/internal/release"
	"airlock/internal/tarfs"
	"airlock/internal/transfer"
)

// places opens images wherever they are, each file and client once.
type places struct {
	registries commands.Registry
	dockerHost string

	client  *registry.Client
	quiet   bool
	base    string // folder that relative paths are taken from
	spool   string // folder for what is kept aside while it is read or packed
	mu      sync.Mutex
	closers []io.Closer
}

// add adds the flags to a command, with what it keeps aside and where.
func (p *places) add(cmd *cobra.Command, aside string) {
	p.registries.Add(cmd)
	addDockerHost(cmd, &p.dockerHost)
	cmd.Flags().StringVar(&p.spool, "spool", "", "`DIR` for what is kept aside for a while: "+aside)
}

// setSpool sets the folder that the flag has not: nothing is kept aside on a medium
// that is slow, small, and takes no large files.
func (p *places) setSpool(out string) error {
	if p.spool != "" {
		if info, err := os.Stat(p.spool); err != nil || !info.IsDir() {
			return cli.Usagef("--spool %q: is no folder", p.spool)
		}
		return nil
	}
	p.spool = "."
	if out == "-" || commands.IsURL(out) {
		return nil
	}
	beside := filepath.Dir(filepath.Clean(out))
	if m, err := transfer.MediumOf(beside); err == nil && !m.Removable {
		p.spool = beside
	}
	return nil
}

func addDockerHost(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "docker-host", "", "`URL` of the Docker Engine (default: $DOCKER_HOST or the local socket)")
}

// open makes the places usable. Paths in references are taken from the folder base.
func (p *places) open(cmd *cobra.Command, base string) (err error) {
	p.base = base
	p.client, err = p.registries.Client(cmd, p.quiet)
	return err
}

func (p *places) close() {
	for _, c := range p.closers {
		c.Close()
	}
}

func (p *places) keep(c io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closers = append(p.closers, c)
}

// source returns the image that ref names.
func (p *places) source(ctx context.Context, ref release.Ref) (create.Source, error) {
	switch ref.Transport {
	case release.Registry:
		name := ref.Name
		if !ref.Digest.IsZero() {
			name += "@" + ref.Digest.String()
		}
		return p.client.Image(name)
	case release.DockerDaemon:
		return p.fromDaemon(ctx, ref)
	}
	path := ref.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.base, path)
	}
	source, err := p.fromFile(ctx, path, ref)
	if err != nil {
		return nil, spoolHint(sourceHint(fmt.Errorf("%s: %w", ref, err)))
	}
	return source, nil
}

// spoolHint says what to do if there was no room to keep an image aside.
func spoolHint(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, transfer.ErrFull) {
		return cli.Hint(err, "make room there, or name another folder to keep it in for a while: --spool DIR")
	}
	return err
}

// sourceHint says what an error means that lies in what a place gave.
func sourceHint(err error) error {
	for _, rejected := range []error{registry.ErrRejected, layout.ErrRejected, dockertar.ErrRejected, tarfs.ErrMalformed, oci.ErrMalformed, create.ErrRejected} {
		if errors.Is(err, rejected) {
			return cli.Hint(err, "what is there is not the image that was asked for, or is damaged; nothing of it was taken")
		}
	}
	return err
}

// platformHint says what to do about an image that names no platform and was
// asked for one: by a release file, or if that is "" by --platform.
func platformHint(err error, file string) error {
	switch {
	case !errors.Is(err, create.ErrNoPlatform):
		return err
	case file == "":
		return cli.Hint(err, "leave --platform out, so that it is packed as it is")
	}
	return cli.Hint(err, "leave platforms out for this image in %s, so that it is packed as it is, and lock again: bundle lock -f %s", file, cli.Quote(file))
}

func (p *places) fromDaemon(ctx context.Context, ref release.Ref) (create.Source, error) {
	engine, err := daemon.Open(ctx, p.dockerHost)
	if err != nil {
		return nil, commands.DockerHint(err)
	}
	p.keep(engine)
	saved, err := engine.Save(ctx, ref.Name, p.spool, progress.Discard)
	if err != nil {
		return nil, spoolHint(err)
	}
	p.keep(saved)
	source, err := saved.Image()
	if err != nil {
		return nil, err
	}
	return pinned(ctx, source, ref)
}

// fromFile opens an image of a file or folder.
func (p *places) fromFile(ctx context.Context, path string, ref release.Ref) (create.Source, error) {
	name := ref.Name
	if !ref.Digest.IsZero() {
		name = "@" + ref.Digest.String()
	}
	switch ref.Transport {
	case release.DockerArchive:
		return p.fromDockerArchive(ctx, path, ref)
	case release.OCIArchive:
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		p.keep(f)
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		files, err := tarfs.New(f, info.Size())
		if err != nil {
			return nil, err
		}
		return layout.Open(files, name)
	case release.OCILayout:
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		p.keep(root)
		return layout.Open(root.FS(), name)
	}
	return nil, errors.New("unknown transport " + string(ref.Transport))
}

func (p *places) fromDockerArchive(ctx context.Context, path string, ref release.Ref) (create.Source, error) {
	files, closer, err := dockertar.OpenFile(ctx, path, p.spool)
	if err != nil {
		return nil, err
	}
	p.keep(closer)
	source, err := dockertar.Open(files, ref.Name)
	if err != nil {
		return nil, err
	}
	return pinned(ctx, source, ref)
}

// pinned returns a source if its image is the one that ref pins.
func pinned(ctx context.Context, source *dockertar.Source, ref release.Ref) (create.Source, error) {
	root, err := source.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	if !ref.Digest.IsZero() && root.Digest != ref.Digest {
		return nil, fmt.Errorf("%w: the image there is %s", create.ErrRejected, root.Digest)
	}
	return source, nil
}
