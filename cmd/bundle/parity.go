package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/human"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// protection is the flags about parity.
type protection struct {
	percent string
	spare   int
}

func (p *protection) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.percent, "parity", "", "`PERCENT` of the volumes to add, so that lost blocks can be made again (default 5% on removable media and with --media, else 0%)")
	f.IntVar(&p.spare, "spare-volumes", 0, "`N` files to add, so that any N whole volumes may be lost")
}

// removableParity is how much parity a bundle gets on removable media, in per
// cent: flash loses whole erase blocks of some MiB.
const removableParity = 5

// read reads the flags for that output, which travels on that kind of media
// if one was named.
func (p *protection) read(out, media string) (volume.Protection, error) {
	if p.spare < 0 || p.spare > volume.MaxSpare {
		return volume.Protection{}, cli.Usagef("--spare-volumes %d: want 0 to %d", p.spare, volume.MaxSpare)
	}
	percent, err := p.readPercent(out, media)
	return volume.Protection{Percent: percent, Spare: p.spare}, err
}

// readPercent reads a whole number of per cent up to 100.
func (p *protection) readPercent(out, media string) (int, error) {
	if p.percent == "" && media != "" {
		return removableParity, nil
	}
	if p.percent == "" {
		if isTar(out) || commands.IsURL(out) {
			return 0, nil
		}
		medium, err := transfer.MediumOf(out)
		if err != nil || !medium.Removable {
			return 0, err
		}
		return removableParity, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(p.percent, "%"))
	if err != nil || n < 0 || n > 100 {
		return 0, cli.Usagef("--parity %q: want 0%% to 100%%", p.percent)
	}
	return n, nil
}

// tarVolume is the size of volumes in a tar with parity: each is in memory
// until it is whole, and parity is too.
const tarVolume = 24 << 20

// volumeSize returns the size of volumes for that output, where parity and
// spare volumes are computed in memory.
func (p *protection) volumeSize(parity volume.Protection, size int64, c *creation) (int64, error) {
	most := parity.StreamVolume()
	switch {
	case !parity.Any() || !isTar(c.at()) && !commands.IsURL(c.at()):
		return size, nil
	case parity.Spare == 0 && isTar(c.at()) && c.volumeSize == "":
		return tarVolume, nil
	case parity.Spare == 0 || size <= most:
		return size, nil
	case c.volumeSize != "":
		return 0, cli.Usagef("--volume-size %s: with --spare-volumes %d to anything but a folder, volumes have at most %s", c.volumeSize, p.spare, human.Bytes(most))
	}
	return most, nil
}
