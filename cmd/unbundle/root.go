package main

import (
	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
)

func root(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unbundle",
		Short: "Prove bundles and load their container images",
		Long: `Unbundle proves every byte of a bundle that came across an air gap and loads its
images into the local Docker Engine, a registry or an OCI layout, with the
digests they left with. It opens no connection but to the places named.

` + cli.ExitCodes,
		Example: `  unbundle verify /media/usb
  unbundle load /media/usb --to docker
  unbundle load /media/usb --to registry://registry.far:5000/mirror`,
	}
	cmd.AddCommand(loadCommand(env), receiveCommand(env), commands.Verify(env, "unbundle"), commands.Inspect(env, "unbundle"), commands.List(env, "unbundle"), commands.Diff(env, "unbundle"))
	cmd.AddCommand(repairCommand(env))
	return cmd
}
