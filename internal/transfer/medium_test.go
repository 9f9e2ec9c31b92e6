package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMediumOf(t *testing.T) {
	here := t.TempDir()
	m, err := MediumOf(filepath.Join(here, "not", "yet"))
	if err != nil {
		t.Fatal(err)
	}
	if m.FileSystem == "" || m.MountPoint == "" || m.Cluster <= 0 || m.MaxFile <= 0 || m.Free <= 0 || m.ReadOnly {
		t.Errorf("%+v", m)
	}
	if p, err := MediumOf("/proc"); err != nil || p.FileSystem != "proc" || p.MountPoint != "/proc" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestMountTable(t *testing.T) {
	const table = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 8:17 / /media/my\040stick rw,nosuid shared:2 master:1 - vfat /dev/sdb1 rw,uid=1000
broken line
23 21 0:40 / /mnt/a rw - fuseblk /dev/sdc1 rw
24 21 0:41 / /mnt/a ro - tmpfs none rw
25 21 7:0 / /cd rw - iso9660 /dev/loop0 ro
`
	for _, c := range []struct {
		id, path, point, kind string
		readOnly              bool
	}{
		{"", "/home/x", "/", "ext4", false},
		{"", "/media/my stick/dir", "/media/my stick", "vfat", false},
		{"", "/media/my stick2", "/", "ext4", false},
		{"", "/mnt/a/b", "/mnt/a", "tmpfs", true}, // the later one covers the earlier
		{"23", "/mnt/a/b", "/mnt/a", "fuseblk", false},
		{"", "/cd", "/cd", "iso9660", true},
	} {
		m, err := findMount(table, c.id, c.path)
		if err != nil || m.point != c.point || m.kind != c.kind || m.readOnly != c.readOnly {
			t.Errorf("%s %s: %+v, %v", c.id, c.path, m, err)
		}
	}
	if _, err := findMount(table, "99", "/"); err == nil {
		t.Error("an unknown mount was found")
	}
}

func TestFileSystem(t *testing.T) {
	// The numbers that real drivers gave under Linux 6.1.
	for magic, want := range map[uint32]string{
		0x4d44: "vfat", 0x2011bab0: "exfat", 0x65735546: fuse, 0xef53: "ext4", 0x58465342: "xfs",
		0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x9660: "iso9660", 0x15013346: "udf", 0x7366746e: "ntfs", 0x6969: "nfs4",
	} {
		if got := fileSystem(magic, "nfs4"); got != want {
			t.Errorf("%#x: %s, want %s", magic, got, want)
		}
	}
	for name, want := range map[string]int64{"vfat": 1<<32 - 1, "ext4": 4096 << 32, "exfat": noLimit, "ntfs": noLimit} {
		if got := maxFile(name, 4096); got != want {
			t.Errorf("%s: at most %d, want %d", name, got, want)
		}
	}
}

// fakeKernel lays out /sys as Linux does for a stick, a USB disk, an SD card,
// a disk, and LUKS on the stick.
func fakeKernel(t *testing.T) kernelAt {
	t.Helper()
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(filepath.Join(root, to), path)); err != nil {
			t.Fatal(err)
		}
	}
	for device, at := range map[string]string{
		"8:17":  "sys/devices/pci/host9/block/sdb/sdb1", // removable, as a floppy or ZIP drive
		"8:33":  "sys/devices/pci/usb2/2-1/host3/block/sdc/sdc1",
		"179:1": "sys/devices/pci/mmc_host/mmc0/block/mmcblk0/mmcblk0p1",
		"8:1":   "sys/devices/pci/ata1/block/sda/sda1",
		"8:0":   "sys/devices/pci/ata1/block/sda",
		"253:0": "sys/devices/virtual/block/dm-0",
		"253:1": "sys/devices/virtual/block/dm-1",
	} {
		put(at+"/dev", device)
		link(at, "sys/dev/block/"+device)
	}
	put("sys/devices/pci/host9/block/sdb/removable", "1\n")
	put("sys/devices/pci/usb2/2-1/host3/block/sdc/removable", "0\n")
	put("sys/devices/pci/ata1/block/sda/removable", "0\n")
	put("sys/devices/virtual/block/dm-0/removable", "0\n")
	put("sys/devices/virtual/block/dm-1/removable", "0\n")
	link("sys/devices/pci/usb2/2-1/host3/block/sdc/sdc1", "sys/devices/virtual/block/dm-0/slaves/sdc1")
	link("sys/devices/pci/ata1/block/sda/sda1", "sys/devices/virtual/block/dm-1/slaves/sda1")
	put("run/udev/data/b8:33", "S:disk/by-id/x\nE:ID_FS_TYPE=exfat\n")
	return kernelAt(root)
}

func TestRemovable(t *testing.T) {
	k := fakeKernel(t)
	for device, want := range map[string]bool{
		"8:17": true, "8:33": true, "179:1": true, "8:1": false, "8:0": false, "253:0": true, "253:1": false, "0:40": false,
	} {
		if got := k.removable(device); got != want {
			t.Errorf("%s: %v, want %v", device, got, want)
		}
	}
}

func TestBehindFUSE(t *testing.T) {
	k := fakeKernel(t)
	image := func(at int, text string) string {
		path := filepath.Join(t.TempDir(), "image")
		b := make([]byte, 1024)
		copy(b[at:], text)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ kind, source, device, want string }{
		{"fuseblk", "/dev/none", "8:33", "exfat"},
		{"fuse.ntfs-3g", "/dev/none", "8:1", "ntfs"},
		{"fuseblk", image(3, "NTFS    "), "8:1", "ntfs"},
		{"fuseblk", image(3, "EXFAT   "), "8:1", "exfat"},
		{"fuse", image(82, "FAT32   "), "8:1", "vfat"},
		{"fuse", image(54, "FAT16   "), "8:1", "vfat"},
		{"fuse.sshfs", "me@host:/", "0:50", "fuse.sshfs"},
		{"fuseblk", image(0, ""), "0:50", "fuse"},
	} {
		if got := k.behindFUSE(mount{kind: c.kind, source: c.source}, c.device); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestFits(t *testing.T) {
	m := Medium{FileSystem: "vfat", MaxFile: fat32Max, Cluster: 32768, Free: 10 << 20}
	for _, c := range []struct {
		sizes []int64
		want  error
	}{
		{[]int64{1 << 20}, nil},
		{nil, nil},
		{[]int64{10 << 20}, ErrFull}, // 1 % is kept free
		{make([]int64, 400), ErrFull},
		{make([]int64, 300), nil},
		{[]int64{fat32Max}, ErrFull},
		{[]int64{fat32Max + 1}, ErrTooLarge},
	} {
		if err := m.Fits(c.sizes...); !errors.Is(err, c.want) {
			t.Errorf("%d files: %v, want %v", len(c.sizes), err, c.want)
		}
	}
	if err := m.Fits(96236032); err == nil || !strings.HasSuffix(err.Error(), ": no space left: 97.2 MB needed, 10.5 MB free") {
		t.Errorf("for people: %v", err)
	}
	if err := m.Takes("a.vol", fat32Max); err != nil {
		t.Error(err)
	}
	if err := m.Takes("a.vol", fat32Max+1); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "a.vol has 4294967296 bytes, and a file there at most 4294967295") {
		t.Error(err)
	}
	big := Medium{MaxFile: noLimit, Cluster: 4096, Free: noLimit}
	if err := big.Fits(noLimit, noLimit); !errors.Is(err, ErrTooLarge) {
		t.Errorf("overflow: %v", err)
	}
	m.ReadOnly = true
	if err := m.Fits(); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if !strings.Contains(m.String(), "vfat") {
		t.Error(m)
	}
}
