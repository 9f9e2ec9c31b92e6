package commands

import (
	"airlock/internal/cli"
	"airlock/internal/transfer"
)

// CheckMounted refuses a folder to write to whose medium is not mounted.
func CheckMounted(to string) error {
	return cli.Hint(transfer.Mounted(to), "plug the medium in and mount it, then run the same command again; or name another folder")
}
