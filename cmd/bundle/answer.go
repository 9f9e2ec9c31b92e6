package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

func answerCommand(env *cli.Env) *cobra.Command {
	var trusted commands.Trust
	var out string
	cmd := &cobra.Command{
		Use:   "answer BUNDLE REQUEST -o ANSWER",
		Short: "Give the far side the blocks of a bundle that it has lost",
		Long: `Writes the blocks that a request of unbundle repair asks for to a small file,
which unbundle repair --answer takes. BUNDLE is the bundle where it is still
whole, a folder or a tar file; each block is proven before it is written.`,
		Example: "  bundle answer out lost.txt -o answer.bin --trust allowed_signers",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return cli.Usagef("where to? -o ANSWER names a file")
			}
			return answer(cmd, env, args[0], args[1], out, &trusted)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "`ANSWER`: the file to write")
	trusted.Add(cmd)
	return cmd
}

func answer(cmd *cobra.Command, env *cli.Env, path, request, out string, trusted *commands.Trust) error {
	info, err := os.Stat(request)
	if err != nil {
		return err
	}
	if info.Size() > volume.MaxRequest {
		return fmt.Errorf("%q: %w: %d bytes, at most %d are allowed", request, volume.ErrRequest, info.Size(), volume.MaxRequest)
	}
	text, err := os.ReadFile(request)
	if err != nil {
		return err
	}
	q, err := volume.ParseRequest(text)
	if err != nil {
		return fmt.Errorf("%q: %w", request, err)
	}
	allowed, err := trusted.Read()
	if err != nil {
		return err
	}
	files, err := commands.OpenBundle(cmd, path, ".")
	if err != nil {
		return err
	}
	defer files.Close()
	verified, err := manifest.Open(files, allowed, env.Now())
	if err != nil {
		return commands.AsIncomplete(err, path)
	}
	space, err := volume.NewReader(verified, files)
	if err != nil {
		return err
	}
	defer space.Close()
	if err := writeAnswer(space, q, out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s of %s to %s\n", cli.Count(len(q.Blocks), "block"), verified.Manifest().Title(), out)
	return err
}

// writeAnswer writes the answer aside and gives it its name.
func writeAnswer(space *volume.Reader, q *volume.Request, out string) error {
	dir, err := transfer.NewDir(filepath.Dir(out))
	if err != nil {
		return err
	}
	f, err := dir.Rebuild(filepath.Base(out))
	if err != nil {
		return err
	}
	w := &atEnd{file: f}
	if err := space.Answer(q, w); err != nil {
		f.Abandon()
		return err
	}
	return errors.Join(f.Close(), dir.Sync())
}

// atEnd writes one run of bytes behind the other.
type atEnd struct {
	file *transfer.Amendment
	at   int64
}

func (w *atEnd) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}
