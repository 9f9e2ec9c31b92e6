package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/aside"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/release"
)

// creation is the flags of create.
type creation struct {
	wish       wish
	out        string
	estimate   bool
	volumeSize string
	media      string
	packing    packing
	parity     protection
	key        signing
	from       places
	sftp       commands.SFTP
	output     commands.Output

	aside   *aside.Folder                                      // where it is packed before it is sent to out; nil: it is not
	several func(out string, volumes []manifest.Volume) string // how it travels further
}

func createCommand(env *cli.Env) *cobra.Command {
	var c creation
	cmd := &cobra.Command{
		Use:   "create [-f release.yaml | IMAGE@sha256:…] -o OUT",
		Short: "Pull, pack and sign a release as a bundle",
		Long: `Pulls every image of a locked release, or the images named by digest, with all
platforms and all that refers to them (signatures, attestations, SBOMs), and
writes them as a signed bundle to OUT: a folder, sftp://[user@]host[:port]/folder,
a file ending in .tar, or - for a tar stream on standard output. Removable media
are read back past the page cache before they are called safe to remove.

Images: host/path:tag@sha256:…, docker-daemon:name:tag, oci:DIR[:name],
oci-archive:FILE[:name], docker-archive:FILE[:name].

Only pinned images are packed. To pin: bundle lock.`,
		Example: `  bundle create -f release.yaml -o /media/usb
  bundle create $(bundle lock registry.example/web:1.4) -o out
  bundle create -f release.yaml --estimate --link 10MB/s
  bundle create -f release.yaml -o - | ssh far unbundle load - --to docker`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, env, args) },
	}
	c.wish.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&c.out, "output", "o", "", "`OUT`: a folder, an sftp:// URL, a .tar file, or - for standard output")
	f.StringVar(&c.volumeSize, "volume-size", "", "`SIZE` of a volume at most, such as 700MB (default 4092MiB; 64MiB in a tar)")
	addMedium(cmd, &c.media)
	cmd.MarkFlagsMutuallyExclusive("media", "volume-size")
	c.packing.add(cmd)
	c.parity.add(cmd)
	f.BoolVar(&c.estimate, "estimate", false, "tell about how many bytes and how long each --pack would take, and write nothing")
	c.key.add(cmd)
	c.from.add(cmd, "layers that are packed small, docker save streams "+
		"(default: beside OUT; this folder if OUT is on a removable medium, a server or a stream)")
	c.sftp.Add(cmd)
	c.output.Add(cmd)
	return cmd
}

func (c *creation) run(cmd *cobra.Command, env *cli.Env, args []string) (err error) {
	if c.estimate {
		return c.runEstimate(cmd, env, args)
	}
	if c.out == "" {
		return cli.Usagef("where to? -o OUT names a folder, a .tar file, or - for standard output")
	}
	if err := c.sftp.Needed(cmd, c.out); err != nil {
		return err
	}
	file, base, err := c.wish.file(args)
	if err != nil {
		return err
	}
	o, err := c.options(cmd.Context(), env)
	if err != nil {
		return err
	}
	if err := c.setAside(env, o); err != nil {
		return err
	}
	defer func() { err = c.clear(cmd.Context(), err) }()
	if err := c.shape(&o); err != nil {
		return err
	}
	if err := c.from.open(cmd, base); err != nil {
		return err
	}
	defer c.from.close()
	contents, err := c.contents(cmd.Context(), env, file)
	if err != nil {
		return err
	}
	bases, err := c.packing.openBases(env, &o)
	if err != nil {
		return err
	}
	defer bases()
	if o, err = contents.Settle(cmd.Context(), o); err != nil {
		return err
	}
	if err := c.unsetAside(&o); err != nil {
		return err
	}
	return c.write(cmd, env, contents, o)
}

// options reads how to pack, and whose signature to make.
func (c *creation) options(ctx context.Context, env *cli.Env) (o create.Options, err error) {
	signature, err := c.key.signature(ctx, env)
	if err != nil {
		return o, err
	}
	if err := c.from.setSpool(c.out); err != nil {
		return o, err
	}
	o, err = c.packing.read()
	o.Signatures, o.Spool, o.Meets = []create.Signature{signature}, c.from.spool, commands.IsURL(c.out)
	c.from.quiet = c.output.Quiet
	return o, err
}

// shape sets the bundle's volumes and parity, by what it is to travel on.
func (c *creation) shape(o *create.Options) error {
	onto, err := c.creationMedium()
	if err != nil {
		return err
	}
	if o.Parity, err = c.parity.read(c.out, c.media); err != nil {
		return err
	}
	if o.VolumeSize, err = c.parity.volumeSize(o.Parity, onto.volume, c); err != nil {
		return err
	}
	c.several = onto.several
	return checkFree(c.out)
}

// contents pins the release and finds out all that belongs to it.
func (c *creation) contents(ctx context.Context, env *cli.Env, file *release.File) (*create.Contents, error) {
	created, err := c.wish.createdAt(env, file)
	if err != nil {
		return nil, err
	}
	rel, err := c.release(ctx, file)
	if err != nil {
		return nil, err
	}
	if err := checkOthers(c.out, create.Stem(rel.Name, rel.Version)); err != nil {
		return nil, err
	}
	rel.Created = created
	if rel.Sequence == 0 {
		rel.Sequence = uint64(max(created.Unix(), 1))
	}
	return c.collect(ctx, env, rel)
}

// collect is create.Collect that tells what is left out.
func (c *creation) collect(ctx context.Context, env *cli.Env, rel create.Release) (*create.Contents, error) {
	contents, err := create.Collect(ctx, rel)
	if err != nil {
		asking := c.wish.path
		if len(c.wish.platforms) > 0 { // in the place of what the file says
			asking = ""
		}
		return nil, sourceHint(platformHint(err, asking))
	}
	for _, note := range contents.Notes() {
		c.note(env, note)
	}
	return contents, nil
}

// note tells something that is good to know.
func (c *creation) note(env *cli.Env, text string) {
	if !c.output.Quiet {
		fmt.Fprintf(env.Stderr, "bundle: note: %s\n", cli.Printable(text))
	}
}

// write writes the bundle and tells of it.
func (c *creation) write(cmd *cobra.Command, env *cli.Env, contents *create.Contents, o create.Options) error {
	if err := checkSpool(o.Spool, contents.MaxSpool(o)); err != nil {
		return err
	}
	target, err := c.openTarget(cmd, env, contents.MaxSize(o))
	if err != nil {
		return err
	}
	show, stop := cli.Progress(env.Stderr, c.output.Quiet)
	o.Progress = show
	result, err := contents.Write(cmd.Context(), target.sink, o)
	if err == nil {
		err = target.finish(cmd.Context(), result, show)
	} else {
		err = errors.Join(sourceHint(err), target.abandon())
	}
	stop()
	if err != nil {
		return err
	}
	c.remember(env, result)
	return c.tell(cmd, env, result, target, o.Signatures[0].Principal)
}

// created is create's result for programs.
type created struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Root    manifest.Digest `json:"root"`
	Images  int             `json:"images"`
	Volumes int             `json:"volumes"`
	Bytes   int64           `json:"bytes"`            // of the volumes
	Parity  int64           `json:"parity,omitempty"` // bytes
	Output  string          `json:"output"`
	Signer  string          `json:"signer"`
}

func (c *creation) tell(cmd *cobra.Command, env *cli.Env, r *create.Result, t *target, signer string) error {
	m := r.Manifest
	if c.output.JSON && c.out != "-" {
		return commands.PrintJSON(cmd, created{m.Release, m.Version, r.Root, len(m.Images), len(m.Volumes), m.SpaceSize(), m.Parity.Size(), c.out, signer})
	}
	w := cmd.OutOrStdout()
	if c.out == "-" {
		w = env.Stderr
	}
	if c.out == "-" && c.output.Quiet {
		return nil
	}
	parity := ""
	if m.Parity != nil {
		parity = fmt.Sprintf(" and %s of parity", human.Bytes(m.Parity.Size()))
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s in %s%s, signed as %s, root %s\n%s\n",
		m.Title(), cli.Count(len(m.Images), "image"), human.Bytes(m.SpaceSize()), cli.Count(len(m.Volumes), "volume"), parity, signer, r.Root, t.farewell)
	if more := c.several(c.out, m.Large()); more != "" && err == nil {
		_, err = io.WriteString(env.Stderr, more)
	}
	return err
}

// release opens the images of a pinned release file.
func (c *creation) release(ctx context.Context, f *release.File) (create.Release, error) {
	r := create.Release{
		Name: f.Release, Version: f.Version, Stream: f.Stream,
		Epoch: max(f.Epoch, 1), Sequence: f.Sequence, Annotations: f.Annotations,
	}
	if r.Stream == "" {
		r.Stream = f.Release
	}
	if f.Expires != "" {
		expires, err := manifest.ParseTime(f.Expires)
		if err != nil {
			return r, err
		}
		r.Expires = expires
	}
	for _, image := range f.Images {
		pin, err := image.Pin()
		if err != nil {
			return r, err
		}
		source, err := c.from.source(ctx, pin.Ref)
		if err != nil {
			return r, err
		}
		r.Images = append(r.Images, create.Image{Source: source, Names: pin.Names, Platforms: pin.Platforms})
	}
	return r, nil
}

func isTar(out string) bool { return out == "-" || strings.HasSuffix(out, ".tar") }
