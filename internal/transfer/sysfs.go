package transfer

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelAt is a folder with what Linux and udev tell about devices.
type kernelAt string

const linux = kernelAt("/")

func (k kernelAt) path(parts ...string) string {
	return filepath.Join(append([]string{string(k)}, parts...)...)
}

// deviceNumber returns "major:minor" of the block device of a mount. That of
// btrfs and FUSE is made up (major 0); then the node that they name tells.
func (k kernelAt) deviceNumber(m mount) string {
	if !strings.HasPrefix(m.device, "0:") {
		return m.device
	}
	var st unix.Stat_t
	if !filepath.IsAbs(m.source) || unix.Stat(m.source, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return m.device
	}
	return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
}

// removable tells whether a block device is a medium that people carry: sysfs
// calls it removable, or it hangs on USB or a card reader, or lies on such a
// device (LUKS, LVM). What cannot be found out counts as fixed.
func (k kernelAt) removable(device string) bool {
	dir, err := filepath.EvalSymlinks(k.path("sys/dev/block", device))
	if err != nil {
		return false
	}
	return k.carried(dir, 8)
}

func (k kernelAt) carried(dir string, depth int) bool {
	if strings.Contains(dir, "/usb") || strings.Contains(dir, "/mmc_host/") {
		return true
	}
	for _, at := range []string{dir, filepath.Dir(dir)} { // a partition lies in its disk
		if flag, err := os.ReadFile(filepath.Join(at, "removable")); err == nil {
			if strings.TrimSpace(string(flag)) == "1" {
				return true
			}
			break
		}
	}
	below, _ := filepath.Glob(filepath.Join(dir, "slaves", "*"))
	for _, link := range below {
		next, err := filepath.EvalSymlinks(link)
		if err == nil && depth > 0 && k.carried(next, depth-1) {
			return true
		}
	}
	return false
}

// behindFUSE names the file system that a program in user space serves: by
// the mount's subtype, by what udev found on the device, by the device's own
// first sector, which root alone may read. Otherwise it is "fuse".
func (k kernelAt) behindFUSE(m mount, device string) string {
	kind := strings.TrimPrefix(strings.TrimPrefix(m.kind, "fuseblk"), "fuse")
	for _, told := range []string{strings.TrimPrefix(kind, "."), k.udevType(device), bootSector(m.source)} {
		switch told {
		case "ntfs", "ntfs-3g", "ntfs3":
			return "ntfs"
		case "exfat", "vfat":
			return told
		case "fusefat", "fatfuse":
			return "vfat"
		}
	}
	if kind != "" {
		return "fuse" + kind
	}
	return fuse
}

func (k kernelAt) udevType(device string) string {
	data, err := os.ReadFile(k.path("run/udev/data", "b"+device))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "E:ID_FS_TYPE="); ok {
			return kind
		}
	}
	return ""
}

// bootSector tells the file systems of removable media apart by the name in
// their first sector. It reads nothing but block devices and plain files.
func bootSector(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice|os.ModeDir) != 0 {
		return ""
	}
	var sector [512]byte
	if _, err := io.ReadFull(f, sector[:]); err != nil {
		return ""
	}
	switch {
	case string(sector[3:11]) == "NTFS    ":
		return "ntfs"
	case string(sector[3:11]) == "EXFAT   ":
		return "exfat"
	case string(sector[82:87]) == "FAT32", string(sector[54:58]) == "FAT1":
		return "vfat"
	}
	return ""
}
