package main

import (
	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/diff"
)

func diffCommand(env *cli.Env) *cobra.Command { return diff.Command(env, "bundle") }
