//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped is a device of the kernel's device mapper (linux/dm-ioctl.h).
type mapped struct {
	name, path string
}

// target is one line of a mapped device's table, in sectors of 512 bytes.
type target struct {
	length uint64
	kind   string
	params string
}

const (
	dmHeader     = 312 // struct dm_ioctl
	dmData       = 16 << 10
	dmTargetSize = 40 // struct dm_target_spec

	dmCreate, dmRemove, dmSuspend, dmLoad = 3, 4, 6, 9

	dmSuspendFlag    = 1 << 1
	dmSkipLockFSFlag = 1 << 10
	dmNoFlushFlag    = 1 << 11
)

// control sends one command, and returns the number of the device.
func control(name string, command uintptr, flags uint32, table []target) (uint64, error) {
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, dmData)
	le := binary.LittleEndian
	le.PutUint32(b[0:], 4) // version 4.0.0 of the interface
	le.PutUint32(b[12:], dmData)
	le.PutUint32(b[16:], dmHeader)
	le.PutUint32(b[20:], uint32(len(table)))
	le.PutUint32(b[28:], flags)
	copy(b[48:], name)
	at, start := dmHeader, uint64(0)
	for _, t := range table {
		size := (dmTargetSize + len(t.params) + 1 + 7) / 8 * 8
		le.PutUint64(b[at:], start)
		le.PutUint64(b[at+8:], t.length)
		le.PutUint32(b[at+20:], uint32(size))
		copy(b[at+24:at+39], t.kind)
		copy(b[at+dmTargetSize:], t.params)
		at, start = at+size, start+t.length
	}
	request := uintptr(3<<30 | dmHeader<<16 | 0xfd<<8 | command)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return 0, fmt.Errorf("device mapper, command %d of %s: %w", command, name, errno)
	}
	return le.Uint64(b[40:]), nil
}

// newMapped makes a device with that table.
func newMapped(name string, table ...target) (*mapped, error) {
	number, err := control(name, dmCreate, 0, nil)
	if err != nil {
		return nil, err
	}
	m := &mapped{name, "/dev/dm-" + name}
	_ = os.Remove(m.path)
	if err := unix.Mknod(m.path, unix.S_IFBLK|0o600, int(number)); err != nil {
		return nil, err
	}
	return m, m.load(table...)
}

// load gives the device another table, as it is used, without writing out
// anything first.
func (m *mapped) load(table ...target) error {
	if _, err := control(m.name, dmLoad, 0, table); err != nil {
		return err
	}
	if _, err := control(m.name, dmSuspend, dmSuspendFlag|dmSkipLockFSFlag|dmNoFlushFlag, nil); err != nil {
		return err
	}
	_, err := control(m.name, dmSuspend, 0, nil)
	return err
}

func (m *mapped) remove() error {
	_, err := control(m.name, dmRemove, 0, nil)
	return err
}

// write is one write that a device has seen.
type write struct {
	offset int64
	data   []byte
	flush  bool // all before it is on the medium
	fua    bool // it is on the medium itself
}

// readLog reads what dm-log-writes has recorded
// (Documentation/admin-guide/device-mapper/log-writes.rst; the layout is that
// of struct log_write_super and log_write_entry in drivers/md/dm-log-writes.c).
func readLog(path string) ([]write, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	super := make([]byte, 4096)
	if _, err := f.ReadAt(super, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	const magic, version = 0x6a736677736872, 1
	if le.Uint64(super) != magic || le.Uint64(super[8:]) != version {
		return nil, fmt.Errorf("%s is no log of writes", path)
	}
	count, sector := le.Uint64(super[16:]), int64(le.Uint32(super[24:]))
	at := sector
	var all []write
	entry := make([]byte, sector)
	for range count {
		if _, err := f.ReadAt(entry, at); err != nil {
			return nil, err
		}
		at += sector
		const flush, fua, discard, mark = 1, 2, 4, 8
		flags := le.Uint64(entry[16:])
		w := write{offset: int64(le.Uint64(entry)) * sector, flush: flags&flush != 0, fua: flags&fua != 0}
		if n := int64(le.Uint64(entry[8:])) * sector; n > 0 && flags&(discard|mark) == 0 {
			w.data = make([]byte, n)
			if _, err := f.ReadAt(w.data, at); err != nil {
				return nil, err
			}
			at += n
		}
		if flags&mark == 0 {
			all = append(all, w)
		}
	}
	return all, nil
}

// sectors returns how many sectors of 512 bytes a device has.
func sectors(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	return uint64(size) / 512, err
}

// restore writes an image to the beginning of a device, and zeros to the rest.
func restore(device string, image []byte) error {
	size, err := sectors(device)
	if err != nil {
		return err
	}
	return writeDevice(device, func(f *os.File) error {
		if _, err := f.WriteAt(image, 0); err != nil {
			return err
		}
		zeros := make([]byte, 1<<20)
		for at := int64(len(image)); at < int64(size)*512; at += int64(len(zeros)) {
			if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), int64(size)*512-at)], at); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeDevice writes to a device and drops the kernel's copy of it.
func writeDevice(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0)
}

func trimZeros(b []byte) []byte { return bytes.TrimRight(b, "\x00") }
