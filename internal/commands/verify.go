package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/human"
	"airlock/internal/inspect"
	"airlock/internal/journey"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/volume"
)

// verifying is the flags of verify.
type verifying struct {
	bases   []string
	spool   string
	trusted Trust
	sftp    SFTP
	output  Output
}

// Verify returns the command verify of a program.
func Verify(env *cli.Env, program string) *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify BUNDLE…",
		Short: "Prove every byte of a bundle and name what is wrong",
		Long: `Proves that somebody you trust signed the bundle, that every file is as it was
signed, and that every image is complete. BUNDLE is a folder (several: the
sticks that it is spread over), a tar file, sftp://[user@]host[:port]/folder, of
which every byte comes over the line, or - for a tar stream on standard input. Of
a bundle that is based on another one, the files are proven; the images are too if
that one is named with --base.`,
		Example: fmt.Sprintf(`  %[1]s verify /media/usb --trust allowed_signers
  %[1]s verify sftp://courier@far.example/releases/shop-1.4.0`, program),
		Args: cli.Args("BUNDLE…"),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, env, args) },
	}
	AddBase(cmd, &v.bases)
	v.trusted.Add(cmd)
	v.sftp.Add(cmd)
	v.output.Add(cmd)
	AddSpool(cmd, &v.spool)
	return cmd
}

// AddSpool adds the flag that says where a stream is kept while it is read.
func AddSpool(cmd *cobra.Command, spool *string) {
	cmd.Flags().StringVar(spool, "spool", "", "`DIR` to keep a stream in while it is read, for BUNDLE \"-\" (default: this folder)")
}

func (v *verifying) run(cmd *cobra.Command, env *cli.Env, paths []string) error {
	if err := v.sftp.Needed(cmd, paths...); err != nil {
		return err
	}
	allowed, err := v.trusted.Read()
	if err != nil {
		return err
	}
	files, err := OpenSet(v.sftp.Opener(cmd, env, v.spool), paths)
	if err != nil {
		return err
	}
	defer files.Close()
	bases, err := media.OpenAll(v.bases)
	if err != nil {
		return err
	}
	defer bases.Close()
	// A read that waits for the disk keeps its processor from what hashes.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0)))
	show, stop := cli.Progress(env.Stderr, v.output.Quiet)
	stop = sync.OnceFunc(stop)
	defer stop()
	refuse := func(err error) error { // and prints for programs what is damaged
		stop()
		if damage := (*volume.Damage)(nil); v.output.JSON && errors.As(err, &damage) {
			report, rerr := inspect.Damaged(files, allowed, env.Now(), damage)
			if rerr == nil {
				rerr = PrintJSON(cmd, report)
			}
			err = errors.Join(rerr, err)
		}
		return files.Explain(err, "verify")
	}
	blobs, err := archive.OpenOn(files, bases.Files(), allowed, env.Now())
	if err != nil {
		return refuse(survey(cmd, env, files, allowed, paths, show, err))
	}
	defer blobs.Close()
	alone := blobs.Complete()
	if alone == nil {
		err = blobs.Verify(cmd.Context(), show)
	} else {
		err = blobs.Space().Verify(cmd.Context(), show, func([]byte) error { return nil })
	}
	if err != nil {
		return refuse(AsRepairable(err, paths...))
	}
	stop()
	if alone == nil {
		if _, err := load.NewRelease(cmd.Context(), blobs); err != nil {
			return err
		}
	}
	return v.tell(cmd, env, inspect.Of(blobs), alone)
}

// tell prints what was proven; alone says which base was missing to prove the images.
func (v *verifying) tell(cmd *cobra.Command, env *cli.Env, r *inspect.Report, alone error) error {
	whole := "whole and authentic"
	if alone != nil {
		whole = "authentic, and all its files are as they were signed"
		r.ImagesUnproven = alone.Error()
		fmt.Fprintf(env.Stderr, "%s: note: %s; its images are proven with --base BUNDLE, or when they are loaded\n", cmd.Root().Name(), cli.Printable(r.ImagesUnproven))
	}
	if v.output.JSON {
		return PrintJSON(cmd, r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is %s: %s, root %s\n", r.Manifest.Title(), whole, human.Bytes(r.Manifest.SpaceSize()), r.Root)
	return r.PrintSignatures(cmd.OutOrStdout())
}

// Inspect returns the command inspect of a program.
func Inspect(env *cli.Env, program string) *cobra.Command {
	return look(env, "inspect", "Show what a bundle holds and who signed it",
		fmt.Sprintf(`  %[1]s inspect /media/usb
  %[1]s inspect /media/usb --trust allowed_signers --json
  %[1]s inspect sftp://courier@far.example/releases/shop-1.4.0`, program),
		func(cmd *cobra.Command, r *inspect.Report) error { return r.Print(cmd.OutOrStdout()) })
}

// List returns the command list of a program.
func List(env *cli.Env, program string) *cobra.Command {
	return look(env, "list", "List the images of a bundle", fmt.Sprintf("  %s list /media/usb", program),
		func(cmd *cobra.Command, r *inspect.Report) error { return r.List(cmd.OutOrStdout()) })
}

// look returns a command that reports on a bundle without reading its volumes.
func look(env *cli.Env, name, short, example string, show func(*cobra.Command, *inspect.Report) error) *cobra.Command {
	var l looking
	var asJSON bool
	cmd := &cobra.Command{
		Use:   name + " BUNDLE",
		Short: short,
		Long: short + `.
BUNDLE is a folder, a tar file, sftp://[user@]host[:port]/folder, or - for a tar
stream on standard input.

With --trust (or ` + DefaultTrust + `) signatures are checked, and a
bundle that nobody trusted has signed is refused. Without either, it shows what
the bundle says of itself. The volumes are not read: that is what verify does.`,
		Example: example,
		Args:    cli.Args("BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := l.report(cmd, env, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return PrintJSON(cmd, report)
			}
			if !report.Proven {
				fmt.Fprintf(env.Stderr, "%s: note: nothing of this is proven: no list of trusted keys was given (--trust FILE)\n", cmd.Root().Name())
			}
			return show(cmd, report)
		},
	}
	l.trusted.Add(cmd)
	l.sftp.Add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	AddSpool(cmd, &l.spool)
	return cmd
}

// looking is what inspect and list take to open a bundle.
type looking struct {
	spool   string
	trusted Trust
	sftp    SFTP
}

func (l *looking) report(cmd *cobra.Command, env *cli.Env, path string) (*inspect.Report, error) {
	if err := l.sftp.Needed(cmd, path); err != nil {
		return nil, err
	}
	files, err := l.sftp.Opener(cmd, env, l.spool)(path)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	if !l.trusted.Given() {
		report, err := inspect.Unproven(files)
		return report, AsIncomplete(err, path, files)
	}
	allowed, err := l.trusted.Read()
	if err != nil {
		return nil, err
	}
	report, err := inspect.Proven(files, allowed, env.Now())
	return report, AsIncomplete(err, path, files)
}

// AsIncomplete explains a place in which no bundle is complete; files are
// those of path.
func AsIncomplete(err error, path string, files fs.FS) error {
	if !errors.Is(err, manifest.ErrIncomplete) {
		return err
	}
	if begun, lerr := journey.Begun(files); lerr == nil && !begun {
		return cli.Hint(fmt.Errorf("%w: no file of a bundle is in %q", manifest.ErrIncomplete, path),
			"if a medium belongs there, mount it; if the bundle is in a folder below, name that; if it is still to be written, run this again then")
	}
	return cli.Hint(err, "in %q there is no complete bundle: creating or copying it was not finished; run that command again", path)
}
