package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// medium is what --media names: how much one medium takes, and how large the
// volumes are that fill it well.
type medium struct {
	name     string
	capacity int64 // bytes of one medium; 0: whatever the one at hand has
	volume   int64 // bytes of a volume at most, whole blocks
}

// The smallest of the discs that are sold under a name, so that a set fits any
// of them: 74 minutes of a CD-R (333 000 sectors of 2048 bytes, ECMA-394), a
// single-layer DVD+R (ECMA-349; DVD-R has some more).
const (
	cdBytes  = 333_000 * 2048
	dvdBytes = 2_295_104 * 2048
)

// mediumText is the flag's help.
const mediumText = "`KIND` of media the bundle travels on: fat32, dvd, cd, or the size of one medium, such as 16GB"

// addMedium adds the flag to a command.
func addMedium(cmd *cobra.Command, media *string) {
	cmd.Flags().StringVar(media, "media", "", mediumText)
}

// parseMedium reads the flag; without it, nothing is known of the medium.
func parseMedium(flag string) (medium, error) {
	switch flag {
	case "":
		return medium{volume: volume.DefaultSize}, nil
	case "fat32":
		return medium{name: flag, volume: volume.DefaultSize}, nil
	case "dvd":
		return sized(flag, dvdBytes)
	case "cd":
		return sized(flag, cdBytes)
	}
	size, err := cli.ParseSize(flag)
	if err != nil {
		return medium{}, cli.Usagef("--media %q: want fat32, dvd, cd, or the size of one medium, such as 16GB", flag)
	}
	return sized(flag, size)
}

// mediumReserve is what a medium has beside volumes: the small files of a
// bundle, and the file system's own tables.
const mediumReserve = 4 << 20

// sized returns a medium of that size. As few volumes as can be fill it, all
// of one size, so that no medium stays half empty; 2 % are left to the file
// system.
func sized(name string, capacity int64) (medium, error) {
	room := medium{capacity: capacity}.room()
	if room < manifest.BlockSize {
		return medium{}, cli.Usagef("--media %s: want at least %s", name, human.Bytes(6<<20))
	}
	count := (room + volume.DefaultSize - 1) / volume.DefaultSize
	return medium{name: name, capacity: capacity, volume: room / count / manifest.BlockSize * manifest.BlockSize}, nil
}

// room is what one medium has for files.
func (m medium) room() int64 { return m.capacity/50*49 - mediumReserve }

// fits refuses files that one medium of the kind cannot take, the largest of
// which is named.
func (m medium) fits(volumes []manifest.Volume) error {
	limit := int64(math.MaxInt64)
	if m.capacity > 0 {
		limit = m.capacity
	}
	if m.name == "fat32" || m.name == "dvd" || m.name == "cd" {
		limit = min(limit, math.MaxUint32)
	}
	for _, v := range volumes {
		if v.Size > limit {
			return cli.Hint(fmt.Errorf("volume %s has %s, and on %s a file has at most %s", v.Name, human.Bytes(v.Size), m, human.Bytes(limit)),
				"volumes are cut when a bundle is made: bundle create --media %s …", m.name)
		}
	}
	return nil
}

func (m medium) String() string {
	switch m.name {
	case "cd", "dvd":
		return "a " + m.name
	case "fat32":
		return m.name
	}
	return "a medium of " + m.name
}

// checkPlace refuses a folder whose file system cannot take a bundle with
// volumes of that size, by the file system's name, and one whose medium is not
// mounted.
func checkPlace(out string, volume int64) (transfer.Medium, error) {
	if err := commands.CheckMounted(out); err != nil {
		return transfer.Medium{}, err
	}
	at, err := transfer.MediumOf(out)
	if err != nil {
		return at, err
	}
	if at.ReadOnly {
		return at, cli.Hint(fmt.Errorf("%s: %w", at, transfer.ErrReadOnly), "%s", whyReadOnly(at))
	}
	if volume > at.MaxFile {
		return at, cli.Hint(fmt.Errorf("%s: %w: volumes have up to %s, and files there at most %s",
			at, transfer.ErrTooLarge, human.Bytes(volume), human.Bytes(at.MaxFile)), "bundle create --media fat32 makes volumes that fit")
	}
	return at, nil
}

// whyReadOnly says what can be done about a medium that takes no writes.
func whyReadOnly(at transfer.Medium) string {
	check := map[string]string{"vfat": "fsck.vfat -a", "exfat": "fsck.exfat -y", "ntfs": "ntfsfix"}[at.FileSystem]
	switch {
	case at.FileSystem == "iso9660" || at.FileSystem == "udf":
		return "a disc is made from a folder: write the bundle to one, then burn that (xorriso, growisofs)"
	case check != "":
		return "it is locked or mounted so, or the kernel made it so because the file system is in disorder, as after a power cut: " +
			"then unmount it, check it, mount it and run the same command again; to check it: " + check + " " + cli.Quote(at.Device)
	}
	return "mount it for writing, or choose another place"
}

// creationMedium reads --media and --volume-size of create.
func (c *creation) creationMedium() (medium, error) {
	m, err := parseMedium(c.media)
	if err != nil {
		return m, err
	}
	if isTar(c.out) && c.media != "" {
		return m, cli.Usagef("--media is for folders: a tar has volumes of its own size")
	}
	if c.volumeSize != "" || isTar(c.at()) {
		if m.volume, err = volumeSize(c.volumeSize, c.at()); err != nil {
			return m, err
		}
	}
	if isTar(c.at()) || commands.IsURL(c.at()) {
		return m, nil
	}
	_, err = checkPlace(c.at(), m.volume)
	return m, err
}

// several tells, after create, how a bundle that is larger than one medium
// travels.
func (m medium) several(out string, volumes []manifest.Volume) string {
	if m.capacity == 0 {
		return ""
	}
	var sum int64
	for _, v := range volumes {
		sum += v.Size
	}
	if sum <= m.room() {
		return ""
	}
	return fmt.Sprintf("larger than one medium; to spread it: bundle send --span --media %s %s MOUNT…\n", m.name, cli.Quote(out))
}
