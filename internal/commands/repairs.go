package commands

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// AsRepairable explains damage that can be mended, or asked for again.
func AsRepairable(err error, paths ...string) error {
	damage := (*volume.Damage)(nil)
	switch {
	case !errors.As(err, &damage):
		return err
	case damage.Mendable():
		err = cli.Hint(err, "what parity makes again is proven like the rest; to mend all of it: %s", RepairOf(paths...))
	case len(damage.Lost) > 0:
		err = cli.Hint(err, "to ask for the blocks that are lost where the bundle was made: %s --request lost.txt", RepairOf(paths...))
	default:
		return err
	}
	return cli.Hint(err, "%s", cli.RejectedHint)
}

// RepairOf returns the command that mends a bundle.
func RepairOf(paths ...string) string {
	command := "unbundle repair " + Quoted(paths)
	if !Mendable(paths) {
		command += " -o DIR"
	}
	return command
}

// Mendable reports whether a bundle can be mended in its place: a single folder.
func Mendable(paths []string) bool {
	if len(paths) > 1 || IsURL(paths[0]) {
		return false
	}
	info, err := os.Stat(paths[0])
	return err != nil || info.IsDir()
}

// survey looks for all that is damaged in a bundle that could not be opened
// for damage. Whatever it finds, the bundle is refused.
func survey(cmd *cobra.Command, env *cli.Env, files fs.FS, allowed *trust.AllowedSigners, paths []string, show progress.Sink, cause error) error {
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
		return AsRepairable(err, paths...)
	}
	return cause
}

// Repairs is what of a bundle was damaged or missing, and was made again while
// it was read.
type Repairs struct {
	Blocks int      `json:"blocks"`
	Files  []string `json:"files,omitempty"` // that have these blocks
	Texts  []string `json:"texts,omitempty"` // small files
	blocks map[volume.Block]bool
}

// Add adds what a reader has made again.
func (p *Repairs) Add(space *volume.Reader) {
	if p.blocks == nil {
		p.blocks = map[volume.Block]bool{}
	}
	for _, b := range space.Repaired() {
		p.blocks[b] = true
		p.Files = append(p.Files, b.File)
	}
	p.Blocks = len(p.blocks)
	p.Files = sorted(p.Files)
	p.Texts = sorted(append(p.Texts, space.Verified().Mended()...))
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// Result is for programs: nil if nothing had to be made again.
func (p *Repairs) Result() *Repairs {
	if p.Blocks+len(p.Texts) == 0 {
		return nil
	}
	return p
}

// String names what was made again, a run of blocks once, up to eight things.
func (p *Repairs) String() string {
	var runs []volume.Run
	for _, b := range slices.SortedFunc(maps.Keys(p.blocks), func(a, b volume.Block) int { return cmp.Compare(a.Number, b.Number) }) {
		runs = volume.AppendBlock(runs, b)
	}
	var all []string
	for _, r := range runs {
		all = append(all, r.String())
	}
	all = append(all, p.Texts...)
	const most = 8
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}

// Note tells of it, and how to mend the bundle at these places.
func (p *Repairs) Note(env *cli.Env, paths ...string) {
	if p.Result() == nil {
		return
	}
	fmt.Fprintf(env.Stderr, "unbundle: note: what is damaged or missing was made again while it was read: %s\nunbundle: note: the bundle itself is as it was; to mend it: %s\n",
		cli.Printable(p.String()), cli.Printable(RepairOf(paths...)))
}

// NoteRepairs tells what was bad in a bundle and made again while it was read.
func NoteRepairs(env *cli.Env, space *volume.Reader, paths ...string) {
	var made Repairs
	made.Add(space)
	made.Note(env, paths...)
}
