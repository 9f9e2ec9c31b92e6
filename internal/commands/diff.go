package commands

import (
	"fmt"
	"io/fs"
	"runtime/debug"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/diff"
	"airlock/internal/media"
)

// diffMemory is what the garbage collector lets the process grow to while
// a delta is estimated, in bytes, under the 1 GiB that is promised for packing small.
const diffMemory = 800 << 20

// diffFlags are those of diff.
type diffFlags struct {
	bases    []string
	allFiles bool
	trusted  Trust
	output   Output
}

// Diff returns the command diff of a program.
func Diff(env *cli.Env, program string) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what changed from one bundle to another, and what a delta carries",
		Long: `Compares two bundles that somebody you trust signed: which images, layers and
files of bundle B are new, changed or gone against bundle A, and how many bytes a
bundle carries that is based on A. If B is based on A, these are its own;
otherwise they are estimated by looking for B's contents in A.

Images are matched by their names without tags and by their platforms, and
layers by their content. A and B are folders or tar files.`,
		Example: fmt.Sprintf("  %s diff shop-1.0 shop-1.1 --trust allowed_signers\n  %s diff shop-1.0 shop-1.1 --files --json", program, program),
		Args:    cli.Args("A", "B"),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args) },
	}
	cmd.Flags().StringSliceVar(&f.bases, "base", nil, "another `BUNDLE` that A or B is based on; repeat it for several")
	cmd.Flags().BoolVar(&f.allFiles, "files", false, "list every file that changed, however many")
	f.trusted.Add(cmd)
	f.output.Add(cmd)
	return cmd
}

func (f *diffFlags) run(cmd *cobra.Command, env *cli.Env, args []string) error {
	allowed, err := f.trusted.Read()
	if err != nil {
		return err
	}
	var places []fs.FS
	for _, path := range args {
		files, err := media.Open(path)
		if err != nil {
			return err
		}
		defer files.Close()
		places = append(places, files)
	}
	bases, err := media.OpenAll(f.bases)
	if err != nil {
		return err
	}
	defer bases.Close()
	offered := append(bases.Files(), places...)
	var sides []*archive.Reader
	for i, path := range args {
		blobs, err := archive.OpenOn(places[i], offered, allowed, env.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", path, AsIncomplete(err, path, places[i]))
		}
		defer blobs.Close()
		sides = append(sides, blobs)
	}
	if !diff.Based(sides[1], sides[0]) {
		debug.SetMemoryLimit(diffMemory)
	}
	show, stop := cli.Progress(env.Stderr, f.output.Quiet)
	report, err := diff.Of(cmd.Context(), sides[0], sides[1], diff.Options{AllFiles: f.allFiles, Progress: show})
	stop()
	if err != nil {
		return BaseHint(err)
	}
	if f.output.JSON {
		return PrintJSON(cmd, report)
	}
	return report.Print(cmd.OutOrStdout())
}
