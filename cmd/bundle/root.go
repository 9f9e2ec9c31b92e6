package main

import (
	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
)

func root(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Pack container releases for the way across an air gap",
		Long: `Bundle pins the images of a release by digest, pulls them, and packs them with
all that belongs to them into a signed, checksummed bundle: a folder of plain
files for a stick, a disk or a stream. On the other side, unbundle proves every
byte and loads the images.

` + cli.ExitCodes,
		Example: `  bundle keygen
  bundle lock -f release.yaml
  bundle create -f release.yaml -o /media/usb`,
	}
	cmd.AddCommand(lockCommand(env), createCommand(env), sendCommand(env), signCommand(env), keygenCommand(env), historyCommand(env),
		commands.Verify(env, "bundle"), commands.Inspect(env, "bundle"), commands.Diff(env, "bundle"))
	return cmd
}
