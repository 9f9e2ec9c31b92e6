package transfer

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"airlock/internal/human"

	"golang.org/x/sys/unix"
)

// Medium is what a folder lies on.
type Medium struct {
	// FileSystem is "vfat", "exfat", "ntfs", "ext4" (also for ext2 and ext3),
	// "xfs", "btrfs", "tmpfs", "iso9660", "udf" or else what the kernel calls it.
	FileSystem string
	MaxFile    int64  // bytes that one file may have; math.MaxInt64: no limit that matters
	Cluster    int64  // bytes that a file's space is rounded up to
	Free       int64  // bytes that may still be written
	MountPoint string // where it is mounted, "" if the kernel would not say
	Device     string // what is mounted there, such as /dev/sdb1
	ReadOnly   bool
	Removable  bool // a card, a stick or another device on USB, however encrypted or partitioned; or FAT or exFAT, wherever
}

const noLimit = math.MaxInt64

// fat32Max is 2^32-1: a directory entry has 32 bits for the size
// (Microsoft FAT specification, section 6).
const fat32Max = 1<<32 - 1

// MediumOf returns what the folder at path lies on, or will lie on: if it does
// not exist yet, its nearest existing parent is asked.
func MediumOf(path string) (Medium, error) {
	st, at, err := statfs(path)
	if err != nil {
		return Medium{}, err
	}
	m := Medium{Cluster: st.Bsize, Free: freeBytes(st), ReadOnly: st.Flags&unix.ST_RDONLY != 0}
	mount, err := mountOf(at)
	if err != nil {
		return Medium{}, &fs.PathError{Op: "finding the mount of", Path: at, Err: err}
	}
	m.MountPoint, m.Device = mount.point, mount.source
	m.ReadOnly = m.ReadOnly || mount.readOnly
	dev := linux.deviceNumber(mount)
	m.FileSystem = fileSystem(uint32(st.Type), mount.kind)
	if m.FileSystem == fuse {
		m.FileSystem = linux.behindFUSE(mount, dev)
	}
	m.MaxFile = maxFile(m.FileSystem, m.Cluster)
	m.Removable = linux.removable(dev) || m.FileSystem == "vfat" || m.FileSystem == "exfat"
	return m, nil
}

// fuse is the name of a file system in user space whose kind is not known yet.
const fuse = "fuse"

// fileSystem names a file system by its number (statfs(2)) and, where that
// says nothing, by the kernel's word for it.
func fileSystem(magic uint32, kind string) string {
	switch magic {
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case unix.EXFAT_SUPER_MAGIC:
		return "exfat"
	case 0x7366746e, 0x5346544e: // ntfs3 and the older driver, both "NTFS" in ASCII
		return "ntfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "tmpfs"
	case unix.ISOFS_SUPER_MAGIC:
		return "iso9660"
	case unix.UDF_SUPER_MAGIC:
		return "udf"
	case unix.FUSE_SUPER_MAGIC:
		return fuse
	}
	return kind
}

func maxFile(fileSystem string, cluster int64) int64 {
	switch fileSystem {
	case "vfat", "msdos", "iso9660":
		return fat32Max
	case "ext4": // 2^32 blocks (Linux, Documentation/filesystems/ext4, "Limits")
		return cluster << 32
	}
	return noLimit
}

// Takes returns nil if a file there may have so many bytes. The error wraps
// ErrTooLarge, and names the file, the file system and its limit.
func (m Medium) Takes(name string, size int64) error {
	if size > m.MaxFile {
		return fmt.Errorf("%s: %w: %s has %d bytes, and a file there at most %d", m, ErrTooLarge, name, size, m.MaxFile)
	}
	return nil
}

// Fits returns nil if files of these sizes can be written to the medium, with
// each rounded up to whole clusters and 1 % to spare for what the file system
// itself needs. Otherwise the error wraps ErrReadOnly, ErrTooLarge or ErrFull.
func (m Medium) Fits(sizes ...int64) error {
	if m.ReadOnly {
		return fmt.Errorf("%s: %w", m, ErrReadOnly)
	}
	need := int64(0)
	for _, size := range sizes {
		if size > m.MaxFile {
			return fmt.Errorf("%s: %w: %d bytes, at most %d", m, ErrTooLarge, size, m.MaxFile)
		}
		room := max(size, 1)
		if m.Cluster > 1 {
			room = (room-1)/m.Cluster*m.Cluster + m.Cluster
		}
		if room < size || need > math.MaxInt64/2-room {
			return fmt.Errorf("%s: %w: the files' sizes overflow", m, ErrTooLarge)
		}
		need += room
	}
	if need += need / 100; need > m.Free {
		return fmt.Errorf("%s: %w: %s needed, %s free", m, ErrFull, human.Bytes(need), human.Bytes(m.Free))
	}
	return nil
}

// String is for people: the device, the mount point and the file system.
func (m Medium) String() string {
	return fmt.Sprintf("%s at %s (%s)", m.Device, m.MountPoint, m.FileSystem)
}

// mount is a line of /proc/self/mountinfo.
type mount struct {
	id, device, point, kind, source string
	readOnly                        bool
}

// mountOf returns the mount that path lies on.
func mountOf(path string) (mount, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return mount{}, err
	}
	id := ""
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, real, 0, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID != 0 { // since Linux 5.8
		id = fmt.Sprint(st.Mnt_id)
	}
	return findMount(string(table), id, real)
}

// findMount returns the mount of that id. Without one it goes by the longest
// mount point that path begins with; of those on one point the last covers
// the others.
func findMount(table, id, path string) (mount, error) {
	var best mount
	for line := range strings.Lines(table) {
		m, ok := parseMount(line)
		switch {
		case !ok:
		case id != "" && m.id == id:
			return m, nil
		case id == "" && within(path, m.point) && len(m.point) >= len(best.point):
			best = m
		}
	}
	if best.id == "" {
		return mount{}, fs.ErrNotExist
	}
	return best, nil
}

func within(path, folder string) bool {
	return folder == "/" || path == folder || strings.HasPrefix(path, folder+"/")
}

// parseMount reads one line (proc_pid_mountinfo(5)): six fields, any number of
// optional ones, a hyphen, and three more.
func parseMount(line string) (mount, bool) {
	front, back, ok := strings.Cut(line, " - ")
	f, b := strings.Fields(front), strings.Fields(back)
	if !ok || len(f) < 6 || len(b) < 3 {
		return mount{}, false
	}
	m := mount{id: f[0], device: f[2], point: unescape(f[4]), kind: b[0], source: unescape(b[1])}
	for _, option := range strings.Split(f[5]+","+b[2], ",") {
		m.readOnly = m.readOnly || option == "ro"
	}
	return m, true
}

// unescape turns \040 and its like into the bytes they stand for.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(s)
}
