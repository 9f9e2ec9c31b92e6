package commands

import (
	"errors"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
)

// AddBase adds the flag that names what a bundle is based on.
func AddBase(cmd *cobra.Command, bases *[]string) {
	cmd.Flags().StringSliceVar(bases, "base", nil, "`BUNDLE` that this one is based on; repeat it for several, and for each stick of one")
}

// BaseHint says what to do about a base that is missing.
func BaseHint(err error) error {
	if errors.Is(err, archive.ErrBase) {
		return cli.Hint(err, "name that bundle too, wherever it is: --base BUNDLE")
	}
	return err
}
