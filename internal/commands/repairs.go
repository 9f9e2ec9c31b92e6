package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// AsRepairable explains damage that can be mended, or asked for again.
func AsRepairable(err error, path string) error {
	damage := (*volume.Damage)(nil)
	switch {
	case !errors.As(err, &damage):
		return err
	case damage.Mendable():
		err = cli.Hint(err, "what parity makes again is proven like the rest; to mend all of it: %s", repairOf(path))
	case len(damage.Lost) > 0:
		err = cli.Hint(err, "to ask for the blocks that are lost where the bundle was made: %s --request lost.txt", repairOf(path))
	default:
		return err
	}
	return cli.Hint(err, "%s", cli.RejectedHint)
}

// repairOf returns the command that mends a bundle: a single folder in its place.
func repairOf(paths ...string) string {
	command := "unbundle repair " + quoted(paths)
	if info, err := os.Stat(paths[0]); err != nil || !info.IsDir() || len(paths) > 1 {
		command += " -o DIR"
	}
	return command
}

// survey looks for all that is damaged in a bundle that could not be opened
// for damage. Whatever it finds, the bundle is refused.
func survey(cmd *cobra.Command, env *cli.Env, files fs.FS, allowed *trust.AllowedSigners, path string, show progress.Sink, cause error) error {
	if !errors.Is(cause, volume.ErrDamaged) {
		return cause
	}
	verified, err := manifest.Open(files, allowed, env.Now())
	if err != nil {
		return cause
	}
	space, err := volume.NewHurtReader(verified, files)
	if err != nil {
		return cause
	}
	defer space.Close()
	if err := space.Verify(cmd.Context(), show, func([]byte) error { return nil }); err != nil {
		return AsRepairable(err, path)
	}
	return cause
}

// NoteRepairs tells what was bad in a bundle and made again while it was read.
func NoteRepairs(env *cli.Env, space *volume.Reader, paths ...string) {
	var all []string
	for _, b := range space.Repaired() {
		all = append(all, b.String())
	}
	all = append(all, space.Verified().Mended()...)
	if len(all) == 0 {
		return
	}
	const most = 8
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("and %d more", more))
	}
	fmt.Fprintf(env.Stderr, "unbundle: note: what is damaged or missing was made again while it was read: %s\nunbundle: note: the bundle itself is as it was; to mend it: %s\n",
		cli.Printable(strings.Join(all, ", ")), cli.Printable(repairOf(paths...)))
}
