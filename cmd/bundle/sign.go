package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/inspect"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/transfer"
)

func signCommand(env *cli.Env) *cobra.Command {
	var key signing
	cmd := &cobra.Command{
		Use:   "sign BUNDLE",
		Short: "Add your signature to a bundle that is there",
		Long: `Adds a second person's signature: one small file beside the others, while
nothing of what is signed changes; copy.tar, which a bundle with parity has, takes
it in. It shows what you sign. BUNDLE is a folder.`,
		Example: "  bundle sign /media/usb --as bo --key ~/.ssh/id_ed25519",
		Args:    cli.Args("BUNDLE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return sign(cmd, env, args[0], &key) },
	}
	key.add(cmd)
	return cmd
}

func sign(cmd *cobra.Command, env *cli.Env, path string, key *signing) error {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.IsDir() {
		return cli.Usagef("%q is not a folder; a signature can only be added to one", path)
	}
	files, err := media.Open(path)
	if err != nil {
		return err
	}
	defer files.Close()
	report, err := inspect.Unproven(files)
	if err != nil {
		return commands.AsIncomplete(err, path, files)
	}
	signature, err := key.signature(cmd.Context(), env)
	if err != nil {
		return err
	}
	if err := report.Print(env.Stderr); err != nil {
		return err
	}
	sums, err := manifest.ReadSums(files)
	if err != nil {
		return err
	}
	if manifest.DigestOf(sums) != report.Root {
		return fmt.Errorf("%w: %s changed while it was read", manifest.ErrRejected, manifest.SumsName)
	}
	dir, err := transfer.NewDir(path)
	if err != nil {
		return err
	}
	if err := create.Sign(dir, sums, signature); err != nil {
		return err
	}
	if err := copyTexts(dir, path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "signed %s as %s\n", report.Root, signature.Principal)
	return err
}

// copyTexts brings copy.tar up to date, which a bundle with parity has.
func copyTexts(dir *transfer.Dir, path string) error {
	files, err := transfer.OpenDir(path)
	if err != nil {
		return err
	}
	texts, err := manifest.Read(files)
	if err != nil {
		return err
	}
	return (&journey.Bundle{Texts: texts, Files: files}).Copy(dir)
}
