package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/inspect"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/repair"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// repairing is the flags of repair.
type repairing struct {
	to      string
	request string
	answer  string
	look    bool // for a request: there is nothing that could be mended in its place
	trusted commands.Trust
	sftp    commands.SFTP
	output  commands.Output
}

func repairCommand(env *cli.Env) *cobra.Command {
	var r repairing
	cmd := &cobra.Command{
		Use:   "repair BUNDLE…",
		Short: "Mend a damaged bundle from its parity",
		Long: `Makes lost and damaged blocks of a bundle again, each exactly as it was signed,
and writes them where they belong; then reads everything back. With -o the
bundle stays as it is, and a whole one is made in another folder. BUNDLE is a
folder; with -o also several (the sticks that it is spread over), a tar file
or sftp://[user@]host[:port]/folder.

Where more is lost than parity can mend, --request writes a small text to carry
to where the bundle was made; bundle send --answer gives a file with just these
blocks for it, and --answer takes that. Of several sticks, --request without -o
looks at all and writes nothing else.`,
		Example: `  unbundle repair /media/usb
  unbundle repair /media/usb -o /srv/bundles/shop-1.4.0
  unbundle repair /media/usb --request lost.txt
  unbundle repair /media/usb1 /media/usb2 --request lost.txt
  unbundle repair /media/usb --answer lost.answer`,
		Args: cli.Args("BUNDLE…"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, env, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&r.to, "output", "o", "", "`DIR` to make a whole bundle in, instead of mending this one")
	f.StringVar(&r.request, "request", "", "`FILE` to write what is asked for to, if more is lost than can be mended")
	f.StringVar(&r.answer, "answer", "", "`FILE` of bundle send --answer with lost blocks")
	r.trusted.Add(cmd)
	r.sftp.Add(cmd)
	r.output.Add(cmd)
	return cmd
}

func (r *repairing) run(cmd *cobra.Command, env *cli.Env, from []string) error {
	if r.to == "" && r.request == "" && !commands.Mendable(from) {
		return cli.Usagef("only one folder can be mended in its place; -o DIR makes a whole bundle of anything")
	}
	if err := r.sftp.Needed(cmd, from...); err != nil {
		return err
	}
	allowed, err := r.trusted.Read()
	if err != nil {
		return err
	}
	files, err := commands.OpenSet(r.sftp.Opener(cmd, env, "."), from)
	if err != nil {
		return err
	}
	defer files.Close()
	verified, err := manifest.Open(files, allowed, env.Now())
	if err != nil {
		return commands.AsIncomplete(err, from[0], files)
	}
	missing, stick, err := files.Missing() // what a stick says of itself is no reason to refuse it
	spread := err == nil && stick != nil && len(missing) > 0
	if spread && r.to == "" && r.request == "" {
		return errors.Join(r.failed(cmd, repaired{Outcome: "incomplete", Missing: missing}),
			cli.Hint(fmt.Errorf("%w: this is %s, and %s of the bundle on others", manifest.ErrIncomplete, stick, cli.Count(len(missing), "file")),
				"name all sticks that there are, and a folder for a whole bundle: unbundle repair STICK… -o DIR"))
	}
	r.look = r.to == "" && (spread || !commands.Mendable(from))
	space, err := volume.NewHurtReader(verified, files)
	if err != nil {
		return err
	}
	defer space.Close()
	closeAnswer, err := r.supply(space)
	if err != nil {
		return err
	}
	defer closeAnswer()
	show, stop := cli.Progress(env.Stderr, r.output.Quiet)
	stop = sync.OnceFunc(stop)
	defer stop()
	done, err := r.repair(cmd.Context(), space, from, show)
	stop()
	if damage := (*volume.Damage)(nil); errors.As(err, &damage) {
		return r.ask(cmd, space, damage, from, err)
	}
	if err != nil {
		return err
	}
	return r.tell(cmd, verified.Manifest().Title(), done)
}

// supply opens the answer, if there is one.
func (r *repairing) supply(space *volume.Reader) (func() error, error) {
	if r.answer == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Open(r.answer)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = space.SupplyAnswer(f, info.Size())
	}
	if err != nil {
		err = cli.Hint(fmt.Errorf("%q: %w", r.answer, err), "it takes the answer to a request of just this bundle: bundle send BUNDLE DIR --answer REQUEST")
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// repaired is repair's result for programs.
type repaired struct {
	Blocks  int      `json:"blocks"`
	Files   []string `json:"files"`
	Texts   []string `json:"texts,omitempty"`
	Outcome string   `json:"outcome"`

	Missing []string        `json:"missing,omitempty"` // on other sticks: the outcome is "incomplete"
	Damage  *inspect.Damage `json:"damage,omitempty"`  // what cannot be mended, and what can: nothing was
	Request string          `json:"request,omitempty"` // the file that asks for what is lost
}

// repair mends, or makes a whole bundle, or only looks and returns the damage.
func (r *repairing) repair(ctx context.Context, space *volume.Reader, from []string, show progress.Sink) (*repaired, error) {
	if r.look {
		d, err := space.Survey(ctx, show, func(volume.Block, []byte) error { return nil })
		if err == nil && d.Any() {
			err = d
		}
		return &repaired{Outcome: "all is there"}, err
	}
	done, to, err := r.mend(ctx, space, from[0], show)
	if err != nil {
		return nil, err
	}
	outcome, _, err := journey.ReadBack(ctx, to, space.Verified().Unproven().Sums(), show)
	if err != nil {
		return nil, err
	}
	return &repaired{Blocks: done.Blocks, Files: done.Files, Texts: done.Texts, Outcome: outcome.String()}, nil
}

func (r *repairing) mend(ctx context.Context, space *volume.Reader, from string, show progress.Sink) (*repair.Result, *transfer.Dir, error) {
	if r.to == "" {
		dir, err := transfer.NewDir(from)
		if err != nil {
			return nil, nil, err
		}
		done, err := repair.InPlace(ctx, space, dir, show)
		if errors.Is(err, fs.ErrPermission) {
			err = cli.Hint(err, "make a whole bundle in another folder: unbundle repair %s -o DIR", from)
		}
		return done, dir, err
	}
	if err := commands.CheckMounted(r.to); err != nil {
		return nil, nil, err
	}
	dir, err := transfer.NewDir(r.to)
	if err != nil {
		return nil, nil, err
	}
	there, err := transfer.OpenDir(r.to)
	if err != nil {
		return nil, nil, err
	}
	if err := checkRoom(r.to, space.Verified().Manifest(), 0); err != nil {
		return nil, nil, err
	}
	done, err := repair.Beside(ctx, space, dir, there, show)
	return done, dir, err
}

// ask writes a request for what is lost, as much of it as parity cannot do without.
func (r *repairing) ask(cmd *cobra.Command, space *volume.Reader, damage *volume.Damage, from []string, err error) error {
	result := repaired{Outcome: "beyond repair", Damage: inspect.DamageOf(damage)}
	if r.request == "" || len(damage.Asked) == 0 {
		return errors.Join(r.failed(cmd, result), commands.AsRepairable(err, from...))
	}
	dir, dirErr := transfer.NewDir(filepath.Dir(r.request))
	if dirErr != nil {
		return dirErr
	}
	q := volume.Request{Root: space.Verified().Root(), Blocks: damage.Asked}
	text := q.Marshal()
	if len(text) > volume.MaxRequest {
		return errors.Join(r.failed(cmd, result), cli.Hint(err, "so much is lost that copying the bundle again is shorter than asking for it"))
	}
	if err := dir.Put(filepath.Base(r.request), text); err != nil {
		return err
	}
	others := ""
	if n := len(damage.Lost) - len(q.Blocks); n > 0 {
		others = fmt.Sprintf("; with that, parity makes %s again", cli.Count(n, "other lost block"))
	}
	if !r.output.JSON {
		fmt.Fprintf(cmd.OutOrStdout(), "wrote a request for %s to %s%s\n", cli.Count(len(q.Blocks), "block"), r.request, others)
	}
	again := "unbundle repair " + commands.Quoted(from)
	if r.look {
		again += " -o DIR"
	} else if r.to != "" {
		again += " -o " + cli.Quote(r.to)
	}
	result.Request = r.request
	return errors.Join(r.failed(cmd, result), cli.Hint(err, "carry %[1]s to where the bundle is whole (bundle send BUNDLE lost.answer --answer %[1]s), and what that gives back here (%[2]s --answer lost.answer)", cli.Quote(r.request), again))
}

// failed prints for programs what could not be mended; people are told by the error.
func (r *repairing) failed(cmd *cobra.Command, result repaired) error {
	if !r.output.JSON {
		return nil
	}
	result.Files = []string{}
	return commands.PrintJSON(cmd, result)
}

func (r *repairing) tell(cmd *cobra.Command, title string, done *repaired) error {
	if r.output.JSON {
		return commands.PrintJSON(cmd, done)
	}
	texts := cli.Count(len(done.Texts), "small file")
	what := fmt.Sprintf("mended %s in %s", cli.Count(done.Blocks, "block"), cli.Count(len(done.Files), "file"))
	switch none := done.Blocks == 0 && len(done.Files) == 0; {
	case r.to != "":
		what = fmt.Sprintf("made whole in %s, %s of it again", r.to, cli.Count(done.Blocks, "block"))
	case none && len(done.Texts) == 0:
		what = "nothing to mend"
	case none:
		what, texts = "mended "+texts, ""
	}
	if len(done.Texts) > 0 && texts != "" {
		what += ", and " + texts
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s; %s\n", title, what, done.Outcome)
	return err
}
