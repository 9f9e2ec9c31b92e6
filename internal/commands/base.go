package commands

import (
	"errors"

	"airlock/internal/archive"
	"airlock/internal/cli"
)

// BaseHint says what to do about a base that is missing.
func BaseHint(err error) error {
	if errors.Is(err, archive.ErrBase) {
		return cli.Hint(err, "name that bundle too, wherever it is: --base BUNDLE")
	}
	return err
}
