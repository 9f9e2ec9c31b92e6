package main

import (
	"fmt"

	"airlock/internal/cli"
	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// checkRoom refuses a folder that cannot take a bundle, of which it has so many
// bytes already, before anything of it is written.
func checkRoom(to string, m *manifest.Manifest, have int64) error {
	medium, err := transfer.MediumOf(to)
	if err != nil {
		return err
	}
	for _, v := range m.Large() {
		if err := medium.Takes(v.Name, v.Size); err != nil {
			return cli.Hint(err, "choose a folder on another file system")
		}
	}
	if need := m.SpaceSize() + m.Parity.Size() - have; medium.Free < need {
		return cli.Hint(fmt.Errorf("%w: %q has %s free, and the bundle takes %s", transfer.ErrFull, to, human.Bytes(medium.Free), human.Bytes(need)),
			"make room there, or choose another folder")
	}
	return nil
}
