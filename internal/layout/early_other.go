//go:build !linux

package layout

import "os"

func beginWriting(*os.File, int64, int64) {}
