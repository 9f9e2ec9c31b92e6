package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"airlock/internal/cli"
	"airlock/internal/create"
	"airlock/internal/manifest"
	"airlock/internal/release"
	"airlock/internal/transfer"
)

func lockCommand(env *cli.Env) *cobra.Command {
	var file string
	var from places
	cmd := &cobra.Command{
		Use:   "lock [-f release.yaml | IMAGE…]",
		Short: "Pin the images of a release by digest",
		Long: `Asks for the digest that each image of the release file stands for now and
writes them to a lock beside it: release.lock.yaml beside release.yaml. What
create packs is what the lock says, wherever the tags move.

With images on the command line it prints each with its digest, for create.

Images: host/path:tag, docker-daemon:name:tag, oci:DIR[:name],
oci-archive:FILE[:name], docker-archive:FILE[:name].`,
		Example: `  bundle lock -f release.yaml
  bundle lock registry.example/web:1.4`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return lockImages(cmd, args, &from)
			}
			return lock(cmd, env, file, &from)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "release.yaml", "release `FILE`")
	from.add(cmd, "docker save streams (default: this folder)")
	return cmd
}

func lock(cmd *cobra.Command, env *cli.Env, path string, from *places) error {
	lockPath := release.LockPath(path)
	if err := transfer.CheckName(filepath.Base(lockPath)); err != nil {
		return cli.Hint(cli.Usagef("the lock's name: %s", err), "give the release file a name such as release.yaml")
	}
	f, err := release.Read(path)
	if err != nil {
		return err
	}
	var pins []release.Pin
	for _, image := range f.Images {
		pin, err := image.Pin()
		if err != nil {
			return err
		}
		pins = append(pins, pin)
	}
	if err := resolve(cmd, pins, from, filepath.Dir(path)); err != nil {
		return platformHint(err, path)
	}
	digests := make([]manifest.Digest, len(pins))
	for i, pin := range pins {
		digests[i] = pin.Ref.Digest
	}
	text, err := f.Lock(digests, env.Now(), filepath.Base(path))
	if err != nil {
		return err
	}
	dir, err := transfer.NewDir(filepath.Dir(lockPath))
	if err != nil {
		return err
	}
	if err := dir.Put(filepath.Base(lockPath), text); err != nil {
		return err
	}
	for i, image := range f.Images {
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", digests[i], cli.Printable(image.Image))
	}
	fmt.Fprintf(env.Stderr, "bundle: wrote %s\n", lockPath)
	return nil
}

// lockImages prints images with the digests they stand for.
func lockImages(cmd *cobra.Command, images []string, from *places) error {
	var pins []release.Pin
	for _, image := range images {
		ref, err := release.ParseRef(image)
		if err != nil {
			return cli.Usagef("%s", err)
		}
		pins = append(pins, release.Pin{Ref: ref})
	}
	if err := resolve(cmd, pins, from, "."); err != nil {
		return err
	}
	for _, pin := range pins {
		fmt.Fprintln(cmd.OutOrStdout(), pin.Ref)
	}
	return nil
}

// resolve pins every image, and names one that is asked for by its file alone as
// the file does. An index that lacks a platform which is wanted is an error. Paths
// are taken from base.
func resolve(cmd *cobra.Command, pins []release.Pin, from *places, base string) error {
	if err := from.setSpool("-"); err != nil {
		return err
	}
	if err := from.open(cmd, base); err != nil {
		return err
	}
	defer from.close()
	group, ctx := errgroup.WithContext(cmd.Context())
	group.SetLimit(4)
	for i, pin := range pins {
		group.Go(func() error {
			source, err := from.source(ctx, pin.Ref)
			if err != nil {
				return err
			}
			root, err := source.Resolve(ctx)
			if err != nil {
				return sourceHint(err)
			}
			pins[i].Ref.Digest = root.Digest
			if named, ok := source.(interface{ Names() []string }); ok && pin.Ref.Name == "" && len(named.Names()) == 1 {
				pins[i].Ref.Name = named.Names()[0]
			}
			if err := create.CheckPlatforms(ctx, source, root, pin.Platforms); err != nil {
				return sourceHint(fmt.Errorf("%s: %w", pin.Ref, err))
			}
			return nil
		})
	}
	return group.Wait()
}
