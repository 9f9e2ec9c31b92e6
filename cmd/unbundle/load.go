package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/daemon"
	"airlock/internal/human"
	"airlock/internal/layout"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/registry"
	"airlock/internal/transfer"
)

// loading is the flags of load.
type loading struct {
	to         string
	bases      []string
	spool      string
	dockerHost string
	retag      bool
	dryRun     bool
	trusted    commands.Trust
	registries commands.Registry
	sftp       commands.SFTP
	output     commands.Output
}

func loadCommand(env *cli.Env) *cobra.Command {
	var l loading
	cmd := &cobra.Command{
		Use:   "load BUNDLE… --to DESTINATION",
		Short: "Load a bundle's images into Docker, a registry or an OCI layout",
		Long: `Proves a bundle and loads its images straight from it: blobs that the
destination has are not read, names are set last, and the destination is asked
for its digests afterwards. BUNDLE is a folder (several: the sticks that it is
spread over, in any order; on a terminal, those that are missing are asked for),
a tar file, sftp://[user@]host[:port]/folder, or - for a tar stream
on standard input.

Destinations:
  docker                       the local Docker Engine; images keep their full names
  registry://HOST[/PREFIX]     a registry; HOST takes the place of the images' registry
  oci:DIR                      an OCI image layout

A name that stands for another image there moves only with --retag.`,
		Example: `  unbundle load /media/usb --to docker
  unbundle load shop.tar --to registry://registry.far:5000/mirror --dry-run
  unbundle load - --to oci:images < shop.tar`,
		Args: cli.Args("BUNDLE…"),
		RunE: func(cmd *cobra.Command, args []string) error { return l.run(cmd, env, args) },
	}
	f := cmd.Flags()
	f.StringVar(&l.to, "to", "", "`DESTINATION`: docker, registry://HOST[/PREFIX] or oci:DIR")
	commands.AddBase(cmd, &l.bases)
	f.BoolVar(&l.retag, "retag", false, "let names move from other images that they stand for there")
	f.BoolVar(&l.dryRun, "dry-run", false, "say what would be read, written and named, and change nothing")
	f.StringVar(&l.dockerHost, "docker-host", "", "`URL` of the Docker Engine (default: $DOCKER_HOST or the local socket)")
	commands.AddSpool(cmd, &l.spool)
	l.trusted.Add(cmd)
	l.registries.Add(cmd)
	l.registries.AddUploads(cmd)
	l.sftp.Add(cmd)
	l.output.Add(cmd)
	return cmd
}

func (l *loading) run(cmd *cobra.Command, env *cli.Env, paths []string) error {
	if err := l.sftp.Needed(cmd, paths...); err != nil {
		return err
	}
	to, err := l.destination(cmd)
	if err != nil {
		return err
	}
	if c, ok := to.(io.Closer); ok {
		defer c.Close()
	}
	allowed, err := l.trusted.Read()
	if err != nil {
		return err
	}
	open := l.sftp.Opener(cmd, env, l.spoolDir())
	files, err := commands.OpenSet(open, paths)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := files.Complete(cmd.Context(), env, open); err != nil {
		return err
	}
	bases, err := media.OpenAll(l.bases)
	if err != nil {
		return err
	}
	defer bases.Close()
	blobs, err := archive.OpenOn(files, bases.Files(), allowed, env.Now())
	if err != nil {
		return files.Explain(err, "load")
	}
	defer blobs.Close()
	show, stop := cli.Progress(env.Stderr, l.output.Quiet)
	result, err := load.Run(cmd.Context(), blobs, l.checked(to), load.Options{Retag: l.retag, DryRun: l.dryRun, Progress: show})
	stop()
	if partly := (*load.PartlyNamedError)(nil); errors.As(err, &partly) {
		return cli.Hint(err, "run the same command again: it goes on with the names that are not set; until then %s has a part of this release under its names", l.to)
	}
	if errors.Is(err, load.ErrMoves) {
		return cli.Hint(err, "if that is meant, run the same command with --retag")
	}
	if err != nil {
		return files.Explain(commands.BaseHint(err), "load")
	}
	commands.NoteRepairs(env, blobs.Space(), paths...)
	return l.tell(cmd, env, result, blobs)
}

// destination opens what --to names.
func (l *loading) destination(cmd *cobra.Command) (load.Destination, error) {
	if l.to == "docker" {
		engine, err := daemon.Open(cmd.Context(), l.dockerHost)
		if err != nil {
			return nil, commands.DockerHint(err)
		}
		return engine, nil
	}
	if where, ok := strings.CutPrefix(l.to, "registry://"); ok && where != "" {
		client, err := l.registries.Client(cmd, l.output.Quiet)
		if err != nil {
			return nil, err
		}
		host, prefix, _ := strings.Cut(where, "/")
		if err := registry.CheckDestination(host, prefix); err != nil {
			return nil, cli.Usagef("--to %q: %s", l.to, err)
		}
		return client.Destination(host, prefix), nil
	}
	if dir, ok := strings.CutPrefix(l.to, "oci:"); ok && dir != "" {
		if err := commands.CheckMounted(dir); err != nil {
			return nil, err
		}
		return layout.NewDestination(dir), nil
	}
	return nil, cli.Usagef("--to %q: want docker, registry://HOST[/PREFIX] or oci:DIR", l.to)
}

// spoolDir is where a stream is kept: next to what it is loaded into.
func (l *loading) spoolDir() string {
	if dir, ok := strings.CutPrefix(l.to, "oci:"); ok && l.spool == "" {
		return filepath.Dir(filepath.Clean(dir))
	}
	return l.spool
}

// checked adds a check of the free space where the destination is a folder.
func (l *loading) checked(to load.Destination) load.Destination {
	if dir, ok := strings.CutPrefix(l.to, "oci:"); ok {
		return roomy{to, dir}
	}
	return to
}

// roomy is a destination in a folder, which has to have the space for what is
// to be written.
type roomy struct {
	load.Destination
	dir string
}

func (r roomy) Plan(ctx context.Context, release *load.Release) (*load.Plan, error) {
	plan, err := r.Destination.Plan(ctx, release)
	if err != nil {
		return nil, err
	}
	free, err := transfer.FreeSpace(r.dir)
	if err != nil {
		return nil, err
	}
	if need := load.Size(plan.Reads); free < need {
		return nil, cli.Hint(fmt.Errorf("%q has %s free, and the images take %s", r.dir, human.Bytes(free), human.Bytes(need)),
			"make room, or choose another place")
	}
	return plan, nil
}

// loaded is load's result for programs.
type loaded struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Root    manifest.Digest `json:"root"`
	DryRun  bool            `json:"dryRun"`
	// NeedsRetag says, of a dry run, that the load would be refused without --retag.
	NeedsRetag bool      `json:"needsRetag,omitempty"`
	To         string    `json:"to"`
	Read       blobCount `json:"read"`    // from the bundle, into the destination
	Present    blobCount `json:"present"` // in the destination already
	Names      []name    `json:"names"`
	Notes      []string  `json:"notes,omitempty"`
}

type blobCount struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

type name struct {
	Name   string           `json:"name"`
	Digest manifest.Digest  `json:"digest"`
	Was    *manifest.Digest `json:"was,omitempty"` // what it stood for before
}

func (l *loading) tell(cmd *cobra.Command, env *cli.Env, r *load.Result, blobs *archive.Reader) error {
	m, p := r.Release.Manifest, r.Plan
	out := loaded{
		Release: m.Release, Version: m.Version, Root: blobs.Verified().Root(), Names: []name{}, DryRun: l.dryRun, To: l.to, Notes: p.Notes,
		Read:    blobCount{len(p.Reads), load.Size(p.Reads)},
		Present: blobCount{len(p.Present), load.Size(p.Present)},
	}
	out.NeedsRetag = l.dryRun && !l.retag && len(p.Moves()) > 0
	for _, n := range p.Names {
		entry := name{Name: n.Name, Digest: n.New}
		if !n.Old.IsZero() {
			entry.Was = &n.Old
		}
		out.Names = append(out.Names, entry)
	}
	if l.output.JSON {
		return commands.PrintJSON(cmd, out)
	}
	return out.print(cmd.OutOrStdout(), p)
}

// stand returns "1 name stands", "2 names stand".
func stand(n int) string {
	if n == 1 {
		return "1 name stands"
	}
	return cli.Count(n, "name") + " stand"
}

func (o *loaded) print(w io.Writer, p *load.Plan) error {
	loaded, read, moved := "loaded", "read", "moved"
	if o.DryRun {
		loaded, read, moved = "would load", "to read", "would move"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s into %s: %s %s (%s), %d already there (%s)\n",
		loaded, o.Release, o.Version, o.To, cli.Count(o.Read.Blobs, "blob"), read, human.Bytes(o.Read.Bytes), o.Present.Blobs, human.Bytes(o.Present.Bytes))
	for _, n := range p.Names {
		state := "new"
		switch {
		case n.Moves():
			state = moved + " from " + n.Old.String()
		case !n.Old.IsZero():
			state = "unchanged"
		}
		fmt.Fprintf(&b, "  %s  %s  (%s)\n", n.New, n.Name, state)
	}
	if o.NeedsRetag {
		fmt.Fprintf(&b, "note: %s for other images there: this needs --retag\n", stand(len(p.Moves())))
	}
	for _, note := range o.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	_, err := io.WriteString(w, cli.Printable(b.String()))
	return err
}
