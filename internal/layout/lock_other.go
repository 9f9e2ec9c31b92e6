//go:build !unix

package layout

import (
	"errors"
	"os"
)

func lockFile(*os.File) error {
	return errors.New("layouts cannot be locked, and so not written, on this system")
}
